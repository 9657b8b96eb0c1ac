"""Parquet tables with checksums: a bit that flips anywhere in the file is noticed when it is read.

Parquet's own checksums (CRC-32) cover its pages and not its footer, where names, types and metadata stand. So the
footer's metadata keep one more, of the whole file without the checksum's own place, and the file's length: a program
that edits a table may copy the metadata, and what it wrote has another length.
"""

import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from morelli._files import UnreadableError, sentence_of, written_whole
from morelli._text import one_line
from morelli.errors import MorelliError, first_line

_MARK: Final = b"morelli-crc32:"
_DIGITS: Final = 8
_LENGTH_DIGITS: Final = 12

_MOST_BYTES: Final = 4 << 30
_MOST_CELLS: Final = 1 << 30
"""Of a table when unpacked: one of ten million paintings has less."""


class DamagedTableError(UnreadableError):
    """A table cannot be read as it was written; the message says why, and the caller what to do."""


def write_table(
    path: Path, table: pa.Table, metadata: Mapping[bytes, bytes], *, durable: bool = True, **options: Any
) -> None:
    """Write a table with its checksums, whole or not at all; ``options`` are those of ``pyarrow.parquet.write_table``.

    Raises:
        UnwritableError: as :func:`morelli._files.written_whole`.
    """
    about = {**metadata, b"checksum": _MARK + b"0" * (_DIGITS + _LENGTH_DIGITS)}
    with written_whole(path, durable=durable) as temporary:
        with temporary.open("wb") as stream:  # pyarrow takes a name that begins with ~ for another, and not every byte
            pq.write_table(table.replace_schema_metadata(about), stream, write_page_checksum=True, **options)
        with temporary.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            place = content.rfind(_MARK) + len(_MARK)
            content[place + _DIGITS : place + _DIGITS + _LENGTH_DIGITS] = b"%012d" % len(content)
            content[place : place + _DIGITS] = _checksum(content, place)


def read_table(path: Path, remedy: str = "", *, schema: pa.Schema | None = None) -> pa.Table:
    """Read a table that :func:`write_table` or any other program wrote; its checksums are checked if it has some.

    Args:
        path: the file.
        remedy: the last sentence of the error.
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
        opened = pq.ParquetFile(pa.BufferReader(pa.py_buffer(content)), page_checksum_verification=True)
        _refuse_bomb(opened.metadata)
        table = opened.read()
        table.validate(full=True)  # text that is not UTF-8
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise MorelliError(sentence_of(error)) from error
        raise DamagedTableError(f"{path} is damaged ({one_line(first_line(error))}). {remedy}".strip()) from error
    if schema is not None and not table.schema.equals(schema):
        lacking = [name for name in schema.names if name not in table.schema.names]
        why = f"it lacks {', '.join(lacking)}" if lacking else "its columns have other types"
        raise DamagedTableError(f"{path} is not such a table: {why}. {remedy}".strip())
    return table


def _refuse_bomb(metadata: pq.FileMetaData) -> None:
    size = sum(metadata.row_group(one).total_byte_size for one in range(metadata.num_row_groups))
    if size > _MOST_BYTES or metadata.num_rows * metadata.num_columns > _MOST_CELLS:
        raise ValueError(f"unpacked, it would have {metadata.num_rows:,} rows and {size:,} bytes")


def _check(content: mmap.mmap) -> None:
    place = content.rfind(_MARK) + len(_MARK)
    if place < len(_MARK) or content[place + _DIGITS : place + _DIGITS + _LENGTH_DIGITS] != b"%012d" % len(content):
        return  # another program wrote it
    if content[place : place + _DIGITS] != _checksum(content, place):
        raise ValueError("its checksum does not fit")


def _checksum(content: mmap.mmap, place: int) -> bytes:
    """The CRC-32 of a file, in hexadecimal digits, without those that stand at ``place``."""
    with memoryview(content) as whole:
        before, after = whole[:place], whole[place + _DIGITS :]
        digits = b"%08x" % zlib.crc32(after, zlib.crc32(before))
        before.release()
        after.release()
    return digits
