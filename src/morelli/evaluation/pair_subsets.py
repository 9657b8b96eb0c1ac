"""Which pairs a verification measure asks about: all, or only hard or only like ones."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

Array = np.ndarray

PERIOD = 25
"""Two paintings are of the same period when their years differ by at most so many."""
_YEAR = re.compile(r"(?<!\d)(\d{3,4})(?:\.0)?(?:\s*[-–—/]\s*(\d{2,4}))?(?!\d)")


def year(date: object) -> float:
    """The year of a date as the tables write it; NaN when none can be read.

    >>> year("c.1910"), year("1910.0"), year("September 1919"), year("1905-1907"), year("1905-07"), year("spring")
    (1910.0, 1910.0, 1919.0, 1906.0, 1906.0, nan)
    """
    found = _YEAR.search(date) if isinstance(date, str) else None
    if not found:
        return float("nan")
    first, last = found.group(1), found.group(2) or found.group(1)
    if len(last) < len(first):
        last = first[: len(first) - len(last)] + last
    return (int(first) + int(last)) / 2 if int(last) >= int(first) else float(first)


@dataclass(frozen=True)
class Question:
    """A measure's pairs.

    Attributes:
        name: what follows the measure's name, for example ``same_style``; empty for all pairs.
        values: (N,) what a painting must share with its partner: a code (−1 unknown) or a year (NaN unknown).
        within: how far the two values may differ.
        positives_too: the condition holds for positives as well as negatives.
    """

    name: str
    values: Array | None = None
    within: float = 0
    positives_too: bool = False

    def asks(self, rows: slice | Array, columns: slice | Array, *, by_pair: bool = False) -> Array | None:
        """Bool mask of the pairs asked about, rows × columns (or row by row with ``by_pair``); None for all."""
        if self.values is None:
            return None
        left, right = self.values[rows], self.values[columns]
        mask: Array = np.abs((left if by_pair else left[:, None]) - right) <= self.within
        return mask


def questions(paintings: pd.DataFrame) -> list[Question]:
    """The questions these paintings' columns can answer; ``paintings`` in the order of the scores."""
    asked = [Question("")]
    for column in ("style", "genre"):
        if column in paintings and paintings[column].notna().any():
            asked.append(Question(f"same_{column}", _codes(paintings[column])))
    if "date" in paintings:
        years = np.array([year(date) for date in paintings["date"]])
        if not np.isnan(years).all():
            asked.append(Question("same_period", years, within=PERIOD))
    if "source" in paintings:
        folded = paintings["source"].astype("string").str.strip().str.casefold()
        for source in sorted(folded.dropna().unique()):
            mine = np.where(folded.eq(source).fillna(False).to_numpy(dtype=bool), 0.0, np.nan)
            asked.append(Question(f"source_{source}", mine, positives_too=True))
    return asked


def _codes(column: pd.Series) -> Array:
    codes, _ = pd.factorize(column.astype("string").str.strip().str.casefold(), sort=True)
    return np.where(codes < 0, np.nan, codes.astype(float))
