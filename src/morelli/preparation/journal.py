"""The journal of a prepared folder: a run that was cut goes on by it, and a finished one adds what is new."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, NotRequired
from zlib import crc32

from pydantic import ConfigDict, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from morelli._files import is_free
from morelli._json import parsed_json, read_json, write_json
from morelli.data.prepared import OPTIONS, TABLE, read_left_out, read_paintings
from morelli.errors import MorelliError
from morelli.preparation.pool import Record

JOURNAL = "progress.jsonl"
_FINGERPRINT, _VERSIONS = "fingerprint", "originals"


@with_config(ConfigDict(extra="allow"))
class _Claimed(TypedDict):
    """The file :data:`~morelli.data.prepared.OPTIONS`: beside the options of the run, what finished it."""

    fingerprint: NotRequired[str]
    originals: NotRequired[dict[str, str]]


@dataclass(frozen=True)
class Finished:
    """What an earlier run finished.

    Attributes:
        fingerprint: of the source as it was; empty where no run was finished.
        versions: of its originals, by id; None from a morelli that kept none.
        records: what became of them.
    """

    fingerprint: str = ""
    versions: dict[str, str] | None = None
    records: dict[str, Record] = field(default_factory=dict)


def claim(out: Path, options: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Make ``out`` the folder of a run with these options, or find that it already is; return what stands there.

    A source of another name is the same if it has the same originals in the same ``versions``. A folder of an earlier
    format counts as one in which nothing is finished, so that all of it is read again.
    """
    path = out / OPTIONS
    if not path.is_file():
        if not is_free(out):
            raise MorelliError(f"{out} is already there and was not made by morelli. Choose another --out.")
        write_json(path, options)
        return options
    earlier = dict(read_json(path, _Claimed, "Choose another --out."))
    differ = [key for key, now in options.items() if earlier.get(key) != now and key != "format"]
    if differ and (differ != ["name"] or earlier.get(_VERSIONS) != versions):
        raise another_source(out, "\n".join(f"  {key}: {earlier.get(key)} then, {options[key]} now" for key in differ))
    return earlier if earlier.get("format") == options["format"] else options


def another_source(out: Path, differences: str) -> MorelliError:
    """The refusal to write over what was prepared from something else."""
    return MorelliError(
        f"{out} was prepared from another source or with other options:\n{differences}\nChoose another --out."
    )


def finished(out: Path, claimed: dict[str, Any]) -> Finished:
    """What was prepared earlier, by what :func:`claim` found; nothing where no run came to its end."""
    if not (out / TABLE).is_file():
        return Finished()
    versions = claimed.get(_VERSIONS)
    known = versions or {}
    records = {}
    try:
        columns = [field.name for field in fields(Record)]
        for row in read_paintings(out).to_dict("records"):
            kept = {str(key): value for key, value in row.items() if key in columns}
            size = (out / row["file"]).stat().st_size if (out / row["file"]).is_file() else -1
            records[row["id"]] = Record(**kept, jpeg_bytes=size, version=known.get(row["id"], ""))
        for row in read_left_out(out).to_dict("records"):
            if row["id"] in known:
                records[row["id"]] = Record(row["id"], left_out=row["reason"], version=known[row["id"]])
    except (MorelliError, OSError):  # of another format or damaged: all is read again
        return Finished()
    return Finished(claimed.get(_FINGERPRINT, ""), versions, records)


def finish(out: Path, options: dict[str, Any], fingerprint: str, versions: dict[str, str]) -> None:
    """Note that the folder is finished, and what it was made from."""
    write_json(out / OPTIONS, {**options, _FINGERPRINT: fingerprint, _VERSIONS: versions})
    (out / JOURNAL).unlink(missing_ok=True)


class Journal:
    """The records of finished originals: one line each, written just before the picture is moved into place."""

    def __init__(self, stream: BinaryIO, records: dict[str, Record]) -> None:
        self._stream = stream
        self.records = dict(records)
        whole = 0
        stream.seek(0)
        with suppress(ValueError):  # of the first line that is torn or changed, and with it those after it
            for line in stream.read().splitlines(keepends=True):
                checksum, record = parsed_json(line if line.endswith(b"\n") else b"", tuple[int, Record])
                if checksum != crc32(to_json(asdict(record))):
                    break
                self.records[record.id] = record
                whole += len(line)
        stream.truncate(whole)  # a line torn by a kill would spoil the next one

    def add(self, record: Record) -> None:
        """Remember one finished original."""
        content = asdict(record)
        line = to_json([crc32(to_json(content)), content]) + b"\n"
        while line:  # a nearly full disk takes a part, then refuses
            line = line[self._stream.write(line) :]
        self.records[record.id] = record


@contextmanager
def opened_journal(out: Path, records: dict[str, Record]) -> Iterator[Journal]:
    """Hold the journal of ``out`` open, beginning with the records of what was finished before it."""
    with (out / JOURNAL).open("a+b", buffering=0) as stream:
        yield Journal(stream, records)
