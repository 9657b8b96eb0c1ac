"""Parquet tables with checksums: a bit that flips anywhere in the file is noticed when it is read.

Parquet's own checksums (CRC-32) cover its pages and not its footer, where names, types and metadata stand. So the
footer's metadata keep one more, of the whole file with eight zeros in the checksum's own place.
"""

import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from morelli._files import sentence_of, written_whole
from morelli.errors import MorelliError, first_line

_MARK: Final = b"morelli-crc32:"
_DIGITS: Final = 8


class DamagedTableError(MorelliError):
    """A table cannot be read as it was written; the message says why, and the caller what to do."""


def write_table(
    path: Path, table: pa.Table, metadata: Mapping[bytes, bytes], *, durable: bool = False, **options: Any
) -> None:
    """Write a table with its checksums, whole or not at all; ``options`` are those of ``pyarrow.parquet.write_table``.

    Raises:
        UnwritableError: as :func:`morelli._files.written_whole`.
    """
    about = {**metadata, b"checksum": _MARK + b"0" * _DIGITS}
    with written_whole(path, durable=durable) as temporary:
        pq.write_table(table.replace_schema_metadata(about), temporary, write_page_checksum=True, **options)
        with temporary.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            place = content.rfind(_MARK) + len(_MARK)
            content[place : place + _DIGITS] = _checksum(content, place)


def read_table(path: Path, *, schema: pa.Schema | None = None) -> pa.Table:
    """Read a table that :func:`write_table` or any other program wrote; its checksums are checked if it has some.

    Args:
        path: the file.
        schema: names and types that it must have.

    Raises:
        DamagedTableError: the file changed since it was written, is no table, or has other columns.
        MorelliError: the system does not let it be read.
        FileNotFoundError: it is not there.
    """
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _check(content)
        table = pq.read_table(pa.BufferReader(pa.py_buffer(content)), page_checksum_verification=True)
        table.validate(full=True)  # text that is not UTF-8
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise MorelliError(sentence_of(error)) from error
        raise DamagedTableError(f"{path} is damaged ({first_line(error)}).") from error
    if schema is not None and not table.schema.equals(schema):
        lacking = [name for name in schema.names if name not in table.schema.names]
        why = f"it lacks {', '.join(lacking)}" if lacking else "its columns have other types"
        raise DamagedTableError(f"{path} is not such a table: {why}.")
    return table


def _check(content: mmap.mmap) -> None:
    place = content.rfind(_MARK) + len(_MARK)
    if place >= len(_MARK) and content[place : place + _DIGITS] != _checksum(content, place):
        raise ValueError("its checksum does not fit")


def _checksum(content: mmap.mmap, place: int) -> bytes:
    """The CRC-32 of a file, in hexadecimal digits, without those that stand at ``place``."""
    with memoryview(content) as whole:
        before, after = whole[:place], whole[place + _DIGITS :]
        digits = b"%08x" % zlib.crc32(after, zlib.crc32(before))
        before.release()
        after.release()
    return digits
