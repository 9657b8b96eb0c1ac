"""Big CSV files in blocks: plain, zipped or gzipped, parsed by pyarrow in several threads, every error with its line.

A block is some megabytes of whole lines, so memory depends on the size of a block and not on that of the file.
"""

import csv
import gzip
import os
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
from rich.progress import DownloadColumn

from morelli._progress import progress_bar
from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.archives import DAMAGE

Result = TypeVar("Result")

INTEGER: Final = pa.int64()
NUMBER: Final = pa.float64()
NAME: Final = pa.dictionary(pa.int32(), pa.string())  # a few thousand names stand millions of times
WORKERS: Final = max(2, min(8, os.cpu_count() or 2))
_BLOCK_BYTES: Final = 4 << 20
_READ_ERRORS = (OSError, zlib.error, *DAMAGE)
_ROW_IN_ERROR = re.compile(r"^(?:In CSV column #(?P<column>\d+)|CSV parse error): Row #(?P<row>\d+): (?P<why>.*)", re.S)


@dataclass(frozen=True)
class Block:
    """Whole lines of ``path``; ``line`` is the number of the first, the header being line 1."""

    path: Path
    header: tuple[str, ...]
    line: int
    text: bytes

    def line_of(self, row: int) -> int:
        """The line of row ``row`` of the parsed block; empty lines are no rows."""
        filled = (number for number, line in enumerate(self.text.split(b"\n")) if line.strip(b"\r"))
        return self.line + next((number for place, number in enumerate(filled) if place == row), 0)

    def at(self, row: int) -> str:
        """File and line of row ``row``, for an error message."""
        return f"{self.path}, line {self.line_of(row)}"


def read_blocks(path: Path, columns: Sequence[str]) -> Generator[Block, None, None]:
    """Yield the blocks of a CSV file, which may lie in a zip or gzip file, and show progress on stderr.

    Raises:
        MorelliError: the file is missing, empty, damaged, encrypted, no CSV, has no rows or lacks one of ``columns``.
    """
    with _opened(path) as stream:
        header = _header(path, stream.readline(_BLOCK_BYTES), columns)
        line, is_bare = 2, True
        while text := stream.read(_BLOCK_BYTES):
            rest = stream.readline(_BLOCK_BYTES)
            text += rest
            lines = int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))
            if len(rest) == _BLOCK_BYTES and not rest.endswith(b"\n"):
                raise MorelliError(
                    f"{path}, line {line + lines}: longer than {_BLOCK_BYTES} bytes. This is no CSV file."
                )
            if not text.isspace():
                is_bare = False
                yield Block(path, header, line, text)
            line += lines
        if is_bare:
            raise MorelliError(f"{path} has a header but no rows. Was it cut off? Download or write it again.")


@contextmanager
def mapped_blocks(
    path: Path, columns: Sequence[str], function: Callable[[Block], Result]
) -> Iterator[Iterator[Result]]:
    """Give an iterator over ``function(block)`` for all blocks, in their order, worked out in several threads.

    Raises what :func:`read_blocks` and ``function`` raise, when their block's turn comes.
    """
    waiting: deque[Future[Result]] = deque()

    def in_order() -> Iterator[Result]:
        for block in blocks:
            waiting.append(pool.submit(function, block))
            if len(waiting) > WORKERS + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    with ThreadPoolExecutor(WORKERS) as pool, closing(read_blocks(path, columns)) as blocks:
        try:
            yield in_order()
        finally:
            for future in waiting:
                future.cancel()


def parse(block: Block, types: Mapping[str, pa.DataType]) -> list[pa.Array]:
    """Return the columns named in ``types``, in that order.

    Raises:
        MorelliError: a line has another number of fields or a value of another type, or a number is not finite.
    """
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block.text),
            read_options=pyarrow.csv.ReadOptions(
                column_names=block.header, use_threads=False, block_size=len(block.text) + 1
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
        )
    except pa.ArrowInvalid as error:
        raise MorelliError(_explained(block, str(error))) from error
    columns = [table[name].combine_chunks() for name in types]
    for name, column in zip(types, columns, strict=True):
        if types[name] == NUMBER and not (finite := np.isfinite(column.to_numpy())).all():
            raise MorelliError(f"{block.at(int(finite.argmin()))}: column {name} must hold a finite number.")
    return columns


def _explained(block: Block, message: str) -> str:
    found = _ROW_IN_ERROR.match(message)
    if not found:
        return f"{block.path}, after line {block.line - 1}: {message}."
    column = f"column {block.header[int(found['column'])]}: " if found["column"] else ""
    return f"{block.at(int(found['row']) - 1)}: {column}{found['why'][:200]}."


def _header(path: Path, line: bytes, columns: Sequence[str]) -> tuple[str, ...]:
    if not line:
        raise MorelliError(f"{path} is empty. Download or write it again.")
    try:
        header = tuple(next(csv.reader([line.decode("utf-8-sig")])))
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise MorelliError(f"{path} does not begin with a header line. This is no CSV file.") from error
    if not "".join(header).isprintable():
        raise MorelliError(f"{path} does not begin with a header line. This is no CSV file.")
    for column in columns:
        if column not in header:
            raise MorelliError(
                f"{path} has no column {column}; its columns are {', '.join(header)[:200]}."
                f"{did_you_mean(column, header)} It needs {', '.join(columns)}."
            )
    return header


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a CSV file, or the only CSV file in an archive; every way of being damaged becomes one error."""
    if not path.is_file():
        raise MorelliError(f"There is no file {path}.")
    try:
        with path.open("rb") as raw, progress_bar(DownloadColumn()) as progress:
            tracked = progress.wrap_file(raw, path.stat().st_size, description=f"Reading {path.name}")
            if path.suffix == ".zip":
                with zipfile.ZipFile(tracked) as archive, archive.open(_only_csv(path, archive)) as member:
                    yield member
            elif path.suffix == ".gz":
                with gzip.open(tracked) as member:
                    yield cast(IO[bytes], member)
            else:
                yield tracked
    except _READ_ERRORS as error:
        raise MorelliError(f"{path} cannot be read, or is damaged ({error}). Download or write it again.") from error


def _only_csv(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    entries = [
        entry
        for entry in archive.infolist()
        if entry.filename.endswith(".csv") and not entry.filename.startswith("__MACOSX/")
    ]
    if len(entries) != 1:
        raise MorelliError(f"{path} holds {len(entries)} CSV files; one is needed. Unpack it and name the right one.")
    if entries[0].flag_bits & 1:
        raise MorelliError(f"{path} is encrypted. Unpack it with its password and give the CSV file.")
    return entries[0]
