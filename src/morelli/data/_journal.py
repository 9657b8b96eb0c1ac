"""What an unfinished prepared folder remembers, so that a run that was cut goes on instead of starting again."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from morelli._files import write_text_whole
from morelli.data.prepared import TABLE
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
        if out.exists() and (not out.is_dir() or any(".partial" not in path.name for path in out.iterdir())):
            raise MorelliError(
                f"{out} is already there and was not made by morelli data prepare. Choose another --out, "
                "or delete it first."
            )
        write_text_whole(path, json.dumps(options, indent=2, ensure_ascii=False) + "\n")
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MorelliError(f"{path} is damaged ({error}). Delete {out} and prepare it again.") from error
    differences = [
        f"  {key}: {earlier.get(key)} then, {options[key]} now" for key in options if earlier.get(key) != options[key]
    ]
    if differences:
        listed = "\n".join(differences)
        raise MorelliError(
            f"{out} was prepared from another source or with other options:\n{listed}\n"
            "Choose another --out, or delete that folder to prepare it anew."
        )


def is_finished(out: Path) -> bool:
    """Tell whether the table, which is written last, is there."""
    return (out / TABLE).is_file()


class Journal:
    """The records of finished originals: one line each, written just before the picture is moved into place."""

    def __init__(self, out: Path) -> None:
        self._path = out / JOURNAL
        self.records: dict[str, Record] = {}
        whole = 0
        if self._path.is_file():
            for line in self._path.read_bytes().splitlines(keepends=True):
                record = _parse(line)
                if record is None:
                    break
                self.records[record.id] = record
                whole += len(line)
            os.truncate(self._path, whole)  # a line torn by a kill would spoil the next one

    @contextmanager
    def writing(self) -> Iterator["Journal"]:
        """Hold the journal open for :meth:`add`."""
        with self._path.open("ab", buffering=0) as self._stream:
            yield self

    def add(self, record: Record) -> None:
        """Remember one finished original."""
        self._stream.write(json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n")
        self.records[record.id] = record

    def delete(self) -> None:
        """Forget everything: the folder is finished."""
        self._path.unlink(missing_ok=True)


def _parse(line: bytes) -> Record | None:
    with suppress(ValueError, TypeError):
        if line.endswith(b"\n"):
            return Record(**json.loads(line))
    return None
