"""Pair subsets: all pairs, negatives of the same style, genre or period, pairs of one source."""

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
class PairSubset:
    """Some of the pairs.

    Attributes:
        name: what follows the metric's name, for example ``same_style``; empty for all pairs.
        values: (N,) what a painting must share with its partner: a code or a year; NaN where unknown.
        within: how far the two values may differ.
        positives_too: the condition holds for positives as well as negatives.
    """

    name: str = ""
    values: Array | None = None
    within: float = 0
    positives_too: bool = False

    def of_pairs(self, first: Array, second: Array) -> Array:
        """(P,) bool, which of these pairs belong to the subset."""
        if self.values is None:
            return np.ones(len(first), dtype=bool)
        belongs: Array = np.abs(self.values[first] - self.values[second]) <= self.within
        return belongs

    def between(self, rows: slice | Array, columns: slice | Array) -> Array | None:
        """Bool mask of the pairs, rows × columns, that belong to the subset; None for all."""
        if self.values is None:
            return None
        mask: Array = np.abs(self.values[rows, None] - self.values[columns]) <= self.within
        return mask


def pair_subsets(paintings: pd.DataFrame) -> list[PairSubset]:
    """The subsets that these paintings' columns define, all pairs first; ``paintings`` in the order of the scores."""
    subsets = [PairSubset()]
    for column in ("style", "genre"):
        if column in paintings and paintings[column].notna().any():
            codes, _ = pd.factorize(_folded(paintings[column]))
            subsets.append(PairSubset(f"same_{column}", np.where(codes < 0, np.nan, codes)))
    if "date" in paintings:
        years = np.array([year(date) for date in paintings["date"]])
        if not np.isnan(years).all():
            subsets.append(PairSubset("same_period", years, within=PERIOD))
    if "source" in paintings:
        folded = _folded(paintings["source"])
        for source in sorted(folded.dropna().unique()):
            mine = np.where(folded.eq(source).fillna(False).to_numpy(dtype=bool), 0.0, np.nan)
            subsets.append(PairSubset(f"source_{source}", mine, positives_too=True))
    return subsets


def _folded(column: pd.Series) -> pd.Series:
    return column.astype("string").str.strip().str.casefold()
