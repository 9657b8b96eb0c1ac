"""Tables on disk: Parquet with checksums and a schema, and CSV whose columns have declared types."""

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from morelli._files import read_text, reading, write_text_whole, written_whole

_DIGEST: Final = b"morelli_digest"
_MOST_BYTES: Final = 4 << 30
_MOST_CELLS: Final = 1 << 30
"""Of a Parquet table when unpacked: ten million paintings have less."""


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, whole or not at all; :func:`read_table` notices every change of a bit in it.

    Parquet has checksums of its pages; a digest covers what stands beside them, the schema and its metadata.
    """
    metadata = table.schema.metadata or {}
    table = table.replace_schema_metadata({**metadata, _DIGEST: _digest(table.schema, table.num_rows)})
    with written_whole(path) as temporary:
        pq.write_table(table, temporary.absolute(), write_page_checksum=True)


def read_table(path: Path, remedy: str = "") -> pa.Table:
    """Read a Parquet file whole.

    Raises:
        UnreadableError: it is damaged, was changed, or would fill the memory; the message ends with ``remedy``.
    """
    with reading(path, remedy), path.open("rb") as stream:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        size = sum(file.metadata.row_group(one).total_byte_size for one in range(file.num_row_groups))
        if size > _MOST_BYTES or file.metadata.num_rows * file.metadata.num_columns > _MOST_CELLS:
            raise ValueError(f"unpacked, it would have {file.metadata.num_rows:,} rows and {size:,} bytes")
        table = file.read()
        table.validate(full=True)
        metadata = dict(table.schema.metadata or {})
        if metadata.pop(_DIGEST, None) not in (None, _digest(table.schema, table.num_rows)):
            raise ValueError("its schema or metadata were changed since it was written")
        return table.replace_schema_metadata(metadata)


def _digest(schema: pa.Schema, rows: int) -> bytes:
    metadata = sorted((key, value) for key, value in (schema.metadata or {}).items() if key != _DIGEST)
    about = repr((rows, [(field.name, str(field.type)) for field in schema], metadata))
    return hashlib.sha256(about.encode()).hexdigest().encode()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    write_text_whole(path, table.to_csv(index=False, lineterminator="\n"))


def read_csv(path: Path, columns: Mapping[str, type], others: type = float, remedy: str = "") -> pd.DataFrame:
    """Read a CSV file of ours: text is text, also "NA" and "007"; a cell that is empty is "" or NaN.

    Args:
        path: of the file.
        columns: those that it must have, with their types: ``str`` or ``float``.
        others: the type of all others.
        remedy: the last sentence of the error.

    Raises:
        UnreadableError: it is damaged, or a column is missing or of another type.
    """
    with reading(path, remedy):
        text = io.StringIO(read_text(path), newline="")
        table = pd.read_csv(text, dtype=str, keep_default_na=False, index_col=False)
        if missing := [name for name in columns if name not in table]:
            raise ValueError(f"it has no column {missing[0]}")
        return table.assign(**_numbers(table, [name for name in map(str, table) if columns.get(name, others) is float]))


def _numbers(table: pd.DataFrame, names: Iterable[str]) -> dict[str, pd.Series]:
    return {name: pd.to_numeric(table[name].replace("", "nan")) for name in names}
