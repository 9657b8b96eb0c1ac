"""Download *Painter by Numbers* with the official client: chosen, measured against the disk, resumed, verified.

The client fetches and resumes. Files grow in ``.downloading`` and are moved out only when whole, so that what has a
file's own name is never half of it. No message quotes the client's own: they hold signed addresses, which open a file
to anybody who reads them.
"""

import errno
import io
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

import requests
from rich.console import Console
from rich.filesize import decimal
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from morelli._locks import only_writer
from morelli._progress import progress_bar
from morelli.errors import MorelliError, did_you_mean

COMPETITION: Final = "painter-by-numbers"
_UNFINISHED: Final = ".downloading"
_USED: Final = re.compile(
    r"(all_data_info|train_info|submission_info)\.csv(\.zip)?|replacements_for_corrupted_files\.zip|(train|test)(_\d+)?\.zip"
)
_FILES_PER_PAGE: Final = 200
_SITE: Final = f"https://www.kaggle.com/c/{COMPETITION}"
_SIGN_IN: Final = (
    "Make a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN to it (or save it in "
    "~/.kaggle/access_token); an older key goes into KAGGLE_USERNAME and KAGGLE_KEY, or into ~/.kaggle/kaggle.json."
)
_KEPT: Final = "What arrived is kept: run the same command again and it goes on from there."
_REFUSED: Final = {
    401: f"Kaggle does not accept the credentials (401). {_SIGN_IN}",
    403: f"Kaggle refuses the files (403): accept the competition's rules at {_SITE}/rules, signed in as the account "
    "whose token you use, then run the same command again.",
    404: f"Kaggle does not know the competition or the file (404). See {_SITE}/data.",
    429: f"Kaggle asks for a pause: too many requests (429). Wait some minutes. {_KEPT}",
}


def download(out: Path, only: Sequence[str] = ()) -> list[Path]:
    """Download the competition's files into a folder, with progress on stderr.

    Without ``only`` that is every file that morelli uses: the tables of paintings and pairs, the pictures and the
    replacements of damaged ones. Where ``train.zip`` is offered whole, its parts ``train_1.zip``… are not fetched
    (the same holds for ``test.zip``). A file that is there in its full size is not fetched again, and one that was
    cut goes on where it stopped.

    Args:
        out: folder for the files; made if missing.
        only: names of files to fetch instead, as the competition lists them.

    Returns:
        The files in ``out``, in the competition's order.

    Raises:
        MorelliError: no or refused credentials, rules not accepted, no network, an unknown name in ``only``, too
            little disk, or a file of another length than announced. The message says what to do next.
    """
    out = Path(out)
    unfinished = out / _UNFINISHED
    with _explained(out):
        client = _client()
        offered = _list_files(client)
        wanted = _choose(offered, only)
        with only_writer(out):
            unfinished.mkdir(exist_ok=True)
            missing = [name for name in wanted if not _finished(out, name, offered[name])]
            console = Console(stderr=True)
            for name, size in offered.items():
                state = "to download" if name in missing else f"in {out}" if name in wanted else "not asked for"
                line = f"{name:<40} {decimal(size):>10}  {state}"
                console.print(line, highlight=False, soft_wrap=True, markup=False)
            needed = sum(max(offered[name] - _size(unfinished / name), 0) for name in missing)
            if needed > (free := shutil.disk_usage(out).free):
                raise MorelliError(
                    f"The disk of {out} is too small: {decimal(needed)} are still to download, {decimal(free)} are "
                    "free. Make room, choose another folder with --out, or fetch fewer files with --only."
                )
            with progress_bar(DownloadColumn(), TransferSpeedColumn(), lasting=True) as progress:
                for name in missing:
                    _fetch(client, name, offered[name], out, progress)
            with suppress(OSError):  # it stays while another file lies there unfinished
                unfinished.rmdir()
    return [path for name in wanted if (path := _finished(out, name, offered[name]))]


def _client() -> Any:
    """The official client, signed in, that prints neither its help nor any request."""
    with redirect_stdout(io.StringIO()):  # the client prints to stdout, already while it is imported
        from kaggle.api.kaggle_api_extended import KaggleApi

        client = KaggleApi()
        client.args = [argument for argument in client.args if argument != "--verbose"]  # it would print credentials
        client.authenticate()
    return client


def _list_files(client: Any) -> dict[str, int]:
    """The names and sizes in bytes of what the competition offers."""
    files: dict[str, int] = {}
    page: str | None = None
    while page is None or page:
        answer = client.competition_list_files(COMPETITION, page_token=page, page_size=_FILES_PER_PAGE)
        files |= {PurePosixPath(file.name).name: file.total_bytes for file in answer.files}
        page = answer.next_page_token or ""
    return files


def _choose(offered: dict[str, int], only: Sequence[str]) -> list[str]:
    there = f"It has: {', '.join(sorted(offered)) or 'nothing'}."
    if unknown := [name for name in only if name not in offered]:
        hint = did_you_mean(unknown[0], offered)
        raise MorelliError(f'The competition {COMPETITION} has no file "{unknown[0]}".{hint} {there}')
    if only:
        return [name for name in offered if name in only]
    # Where train.zip is offered whole, train_1.zip and the like are parts of it.
    parts = {name for name in offered if re.sub(r"_\d+(?=\.zip$)", "", name) in offered.keys() - {name}}
    wanted = [name for name in offered if _USED.fullmatch(name) and name not in parts]
    if not wanted:
        raise MorelliError(
            f"The competition {COMPETITION} lists none of the files that morelli uses. {there} Name what you want with "
            "--only."
        )
    return wanted


def _finished(out: Path, name: str, size: int) -> Path | None:
    """Where a file lies whole, if it does."""
    path, zipped = out / name, out / f"{name}.zip"
    if path.is_file() and path.stat().st_size == size:
        return path
    return zipped if zipped.is_file() else None  # some plain files are sent zipped, in a size that is not announced


def _fetch(client: Any, name: str, size: int, out: Path, progress: Progress) -> None:
    """Download one file and move it into place if its length is right."""
    folder = out / _UNFINISHED
    arrived, zipped = folder / name, folder / f"{name}.zip"
    with _watched(progress, arrived, size), redirect_stdout(progress.console.file):
        try:
            client.competition_download_file(COMPETITION, name, path=str(folder), quiet=True)
        except requests.RequestException:
            raise
        except ValueError:  # the client's word for a wrong length, which is looked at below
            pass
    if arrived.is_file() and (length := _size(arrived)) != size:
        arrived.unlink()
        raise MorelliError(
            f"{name} has a wrong length: {length:,} bytes arrived, the competition lists {size:,}. "
            "It was not kept. Run the same command again; if it happens again, the file changed at Kaggle just now."
        )
    found = next((path for path in (arrived, zipped) if path.is_file()), None)
    if not found:
        raise MorelliError(f"Kaggle sent {name} under another name; see what lies in {folder}.")
    found.replace(out / found.name)


@contextmanager
def _watched(progress: Progress, path: Path, size: int) -> Iterator[None]:
    """Show how a file grows on disk; the client's own bar would come with messages that show signed addresses."""
    task = progress.add_task(path.name, total=size, completed=_size(path))
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            progress.update(task, completed=_size(path))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        progress.update(task, completed=size)
    finally:
        done.set()
        watcher.join()


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Turn the client's errors into :class:`MorelliError` with the next step.

    ``from None``: the client's errors quote signed addresses, and a traceback would show them.
    """
    try:
        yield
    except SystemExit:  # the client's way to say that it found no credentials
        raise MorelliError(_not_signed_in()) from None
    except requests.exceptions.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        if error.response is not None and status < 400:  # the client found it in the body of an answer
            status = int(error.response.json().get("code", 0))
        other = f"Kaggle answered with status {status}. Try again later. {_KEPT}"
        raise MorelliError(_REFUSED.get(status, other)) from None
    except requests.exceptions.RequestException as error:
        raise MorelliError(
            f"Kaggle cannot be reached ({type(error).__name__}). Check the network, a proxy (HTTPS_PROXY) or a "
            f"firewall. {_KEPT}"
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MorelliError(f"The disk of {out} is full. Make room. {_KEPT}") from error
        raise MorelliError(f"{out} cannot be written: {error}. Choose another folder with --out.") from error


def _not_signed_in() -> str:
    from kagglesdk.kaggle_env import get_access_token_from_env

    token, place = get_access_token_from_env()
    if not token:
        return f"No Kaggle credentials were found. {_SIGN_IN} An account is free."
    where = place if place == "KAGGLE_API_TOKEN" else "~/.kaggle/access_token"
    return f"Kaggle does not accept the token in {where}: it is mistyped, expired or withdrawn. {_SIGN_IN}"
