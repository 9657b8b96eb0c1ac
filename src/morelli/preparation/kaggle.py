"""Download *Painter by Numbers* with the official client: chosen, measured against the disk, resumed, verified.

The client fetches and resumes. Files grow in ``.downloading`` and are moved out only when whole, so that what has a
file's own name is never half of it.
"""

import io
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import requests
from rich.console import Console
from rich.filesize import decimal
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from morelli._progress import progress_bar
from morelli.errors import MorelliError, did_you_mean
from morelli.preparation import kaggle_errors

COMPETITION = "painter-by-numbers"
UNFINISHED = ".downloading"
_USED = re.compile(
    r"(all_data_info|train_info|submission_info)\.csv(\.zip)?|replacements_for_corrupted_files\.zip|(train|test)(_\d+)?\.zip"
)
_PART = re.compile(r"(train|test)_\d+\.zip")
_FILES_PER_PAGE = 200


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that the competition offers."""

    name: str
    size: int  # bytes


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
    unfinished = out / UNFINISHED
    console = Console(stderr=True)
    with kaggle_errors.explained(out):
        client = _client()
        offered = _list_files(client)
        wanted = _choose(offered, only)
        unfinished.mkdir(parents=True, exist_ok=True)
        missing = [file for file in wanted if _finished(out, file) is None]
        _say_what_happens(console, out, offered, wanted, missing)
        _check_disk(out, missing)
        with _alone(out), progress_bar(DownloadColumn(), TransferSpeedColumn(), lasting=True) as progress:
            for file in missing:
                _fetch(client, file, out, progress)
        with suppress(OSError):  # it stays while another file lies there unfinished
            unfinished.rmdir()
    return [path for file in wanted if (path := _finished(out, file))]


def _client() -> Any:
    """The official client, signed in, that prints neither its help nor any request."""
    with redirect_stdout(io.StringIO()):  # the client prints to stdout, already while it is imported
        from kaggle.api.kaggle_api_extended import KaggleApi

        client = KaggleApi()
        client.args = [argument for argument in client.args if argument != "--verbose"]  # it would print credentials
        client.authenticate()
    return client


def _list_files(client: Any) -> list[RemoteFile]:
    files: list[RemoteFile] = []
    page: str | None = None
    while page is None or page:
        answer = client.competition_list_files(COMPETITION, page_token=page, page_size=_FILES_PER_PAGE)
        files += [RemoteFile(PurePosixPath(file.name).name, file.total_bytes) for file in answer.files]
        page = answer.next_page_token or ""
    return files


def _choose(offered: list[RemoteFile], only: Sequence[str]) -> list[RemoteFile]:
    names = {file.name for file in offered}
    for name in only:
        if name not in names:
            raise MorelliError(
                f'The competition {COMPETITION} has no file "{name}".{did_you_mean(name, names)} '
                f"It has: {', '.join(sorted(names))}."
            )
    if only:
        return [file for file in offered if file.name in only]
    wanted = [file for file in offered if _USED.fullmatch(file.name) and not _is_part_of_another(file.name, names)]
    if not wanted:
        raise MorelliError(
            f"The competition {COMPETITION} lists none of the files that morelli uses. "
            f"It has: {', '.join(sorted(names)) or 'nothing'}. Name what you want with --only."
        )
    return wanted


def _is_part_of_another(name: str, names: set[str]) -> bool:
    part = _PART.fullmatch(name)
    return part is not None and f"{part[1]}.zip" in names


def _finished(out: Path, file: RemoteFile) -> Path | None:
    """Where a file lies whole, if it does."""
    path, zipped = out / file.name, out / f"{file.name}.zip"
    if path.is_file() and path.stat().st_size == file.size:
        return path
    return zipped if zipped.is_file() else None  # some plain files are sent zipped, in a size that is not announced


def _say_what_happens(
    console: Console, out: Path, offered: list[RemoteFile], wanted: list[RemoteFile], missing: list[RemoteFile]
) -> None:
    for file in offered:
        state = "to download" if file in missing else f"in {out}" if file in wanted else "not asked for"
        console.print(
            f"{file.name:<40} {decimal(file.size):>10}  {state}", highlight=False, soft_wrap=True, markup=False
        )


def _check_disk(out: Path, missing: list[RemoteFile]) -> None:
    needed = sum(max(file.size - _size(out / UNFINISHED / file.name), 0) for file in missing)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise MorelliError(
            f"The disk of {out} is too small: {decimal(needed)} are still to download, {decimal(free)} are free. "
            "Make room, choose another folder with --out, or fetch fewer files with --only."
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second run from growing the same files."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder = os.open(out / UNFINISHED, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise MorelliError(f"Another run is downloading to {out} at this moment. Wait for it, or stop it.") from error
    finally:
        os.close(folder)


def _fetch(client: Any, file: RemoteFile, out: Path, progress: Progress) -> None:
    """Download one file and move it into place if its length is right."""
    folder = out / UNFINISHED
    with _watched(progress, file, folder / file.name), redirect_stdout(progress.console.file):
        try:
            client.competition_download_file(COMPETITION, file.name, path=str(folder), quiet=True)
        except requests.RequestException:
            raise
        except ValueError:  # the client's word for a wrong length, which is looked at below
            pass
    arrived, zipped = folder / file.name, folder / f"{file.name}.zip"
    if arrived.is_file():
        length = _size(arrived)
        if length != file.size:
            arrived.unlink()
            raise MorelliError(
                f"{file.name} has a wrong length: {length:,} bytes arrived, the competition lists {file.size:,}. "
                "It was not kept. Run the same command again; if it happens again, the file changed at Kaggle just now."
            )
        arrived.replace(out / file.name)
    elif zipped.is_file():
        zipped.replace(out / zipped.name)
    else:
        raise MorelliError(f"Kaggle sent {file.name} under another name; see what lies in {folder}.")


@contextmanager
def _watched(progress: Progress, file: RemoteFile, path: Path) -> Iterator[None]:
    """Show how a file grows on disk; the client's own bar would come with messages that show signed addresses."""
    task = progress.add_task(file.name, total=file.size, completed=_size(path))
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            progress.update(task, completed=_size(path))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        progress.update(task, completed=file.size)
    finally:
        done.set()
        watcher.join()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
