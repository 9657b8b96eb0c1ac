"""The pictures in the rows of a Parquet file, as originals; apart from the source, as workers need no pandas."""

import io
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from morelli.preparation.picture_files import UnusableError

_IN_MEMORY: Final = 16
"""Pictures of a row group that are unpacked at a time."""


class ParquetPictures:
    """The pictures in a Parquet file, a few of a row group in memory at a time; made to be asked for in order."""

    def __init__(self, path: str) -> None:
        self._file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)
        self.close = self._file.close
        self._group: tuple[str, int] | None = None
        self._start, self._cells = 0, pa.array([])

    def open(self, place: tuple[str, int, int]) -> IO[bytes]:
        """The picture in a column, a row group and a row of that."""
        column, group, row = place
        if self._group != (column, group) or row < self._start:
            self._batches = self._file.iter_batches(_IN_MEMORY, [group], [column], use_threads=False)
            self._group, self._start, self._cells = (column, group), 0, pa.array([])
        while row >= self._start + len(self._cells):
            self._start += len(self._cells)
            if (batch := next(self._batches, None)) is None:
                raise EOFError("the row group ends before its last row")
            cells = batch.column(0)
            self._cells = cells.field(0) if pa.types.is_struct(cells.type) else cells
        content = self._cells[row - self._start].as_py()
        if not content:
            raise UnusableError("its row holds no picture")
        return io.BytesIO(content)
