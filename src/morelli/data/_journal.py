"""What an unfinished prepared folder remembers, so that a run that was cut goes on instead of starting again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from morelli._files import write_text_whole
from morelli.errors import MorelliError

OPTIONS = "prepare.json"
JOURNAL = "progress.jsonl"


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one original: a picture in the folder (``jpeg_bytes`` long), or a reason for leaving it out."""

    id: str
    status: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    jpeg_bytes: int = 0
    left_out: str = ""


def claim(out: Path, options: dict[str, Any]) -> None:
    """Make ``out`` the folder of a run with these options, or find that it already is.

    Raises:
        MorelliError: the folder holds something else, or was prepared with other options or from another source.
    """
    path = out / OPTIONS
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(".partial" not in inner.name for inner in out.iterdir())):
            raise MorelliError(
                f"{out} is already there and was not made by morelli data prepare. Choose another --out, "
                "or delete it first."
            )
        write_text_whole(path, json.dumps(options, indent=2, ensure_ascii=False) + "\n")
        return
    try:
        earlier = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise MorelliError(f"{path} is damaged ({error}). Delete {out} and prepare it again.") from error
    differences = [_difference(key, earlier.get(key), options[key]) for key in options]
    listed = "\n".join(difference for difference in differences if difference)
    if listed:
        raise MorelliError(
            f"{out} was prepared from another source or with other options:\n{listed}\n"
            "Choose another --out, or delete that folder to prepare it anew."
        )


def _difference(key: str, then: object, now: object) -> str:
    if then == now:
        return ""
    if key == "fingerprint":
        return "  the files or tables of the source are not the same"
    return f"  {key}: {then} then, {now} now"


class Journal:
    """The records of finished originals: one line each, written just before the picture is moved into place."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.records: dict[str, Record] = {}
        whole = 0
        stream.seek(0)
        for line in stream.read().splitlines(keepends=True):
            record = _parse(line)
            if record is None:
                break
            self.records[record.id] = record
            whole += len(line)
        stream.truncate(whole)  # a line torn by a kill would spoil the next one

    def add(self, record: Record) -> None:
        """Remember one finished original."""
        line = json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n"
        while line:  # a nearly full disk takes a part, then refuses
            line = line[self._stream.write(line) :]
        self.records[record.id] = record


@contextmanager
def opened_journal(out: Path) -> Iterator[Journal]:
    """Hold the journal of ``out`` open, and delete it when the block ends without an error.

    Raises:
        MorelliError: another process is preparing the same folder.
    """
    with (out / JOURNAL).open("a+b", buffering=0) as stream:
        _lock(stream, out)
        yield Journal(stream)
    forget(out)


def forget(out: Path) -> None:
    """Delete the journal: the folder is finished."""
    (out / JOURNAL).unlink(missing_ok=True)


def _lock(stream: BinaryIO, out: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MorelliError(f"Another run is preparing {out} at this moment. Wait for it, or stop it.") from error


def _parse(line: bytes) -> Record | None:
    with suppress(ValueError, TypeError):
        if line.endswith(b"\n"):
            return Record(**json.loads(line))
    return None
