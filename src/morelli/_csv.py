"""CSV files of ours: written whole, and read with the types that their columns must have."""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from morelli._files import read_text, reading, write_text_whole


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    write_text_whole(path, table.to_csv(index=False, lineterminator="\n"))


def read_csv(path: Path, columns: Mapping[str, type], others: type = float, remedy: str = "") -> pd.DataFrame:
    """Read a CSV file of ours: text is text, also "NA" and "007"; a cell that is empty is "" or NaN.

    Args:
        path: of the file.
        columns: those that it must have, with their types: ``str``, ``float`` or ``int``.
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
        for name in map(str, table):
            if (kind := columns.get(name, others)) is not str:
                table[name] = pd.to_numeric(table[name].mask(table[name] == "")).astype(kind)
        return table
