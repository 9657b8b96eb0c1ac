"""CSV files of ours: written whole, and read with the types that their columns must have."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
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
        UnreadableError: it is damaged, or a column is missing, there twice, of another type or not finite.
    """
    with reading(path, remedy):
        lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        header, *rows = [row for row in lines if row] or [[]]
        if ragged := [place for place, row in enumerate(rows, 1) if len(row) != len(header)]:
            raise ValueError(f"its row {ragged[0]} has {len(rows[ragged[0] - 1])} cells instead of {len(header)}")
        if len(set(header)) < len(header):
            raise ValueError("it has two columns of one name")
        table = pd.DataFrame(rows, columns=header, dtype=str)
        if missing := [name for name in columns if name not in table]:
            raise ValueError(f"it has no column {missing[0]}")
        for name in map(str, table):
            if (kind := columns.get(name, others)) is not str:
                numbers = pd.to_numeric(table[name].mask(table[name] == "")).astype(kind)
                if (strange := ~np.isfinite(numbers) & (table[name] != "")).any():
                    raise ValueError(f"column {name} holds {table[name][strange].iloc[0]}, no finite number")
                table[name] = numbers
        return table
