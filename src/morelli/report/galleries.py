"""Galleries of nearest paintings: some paintings, and what the network finds nearest to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from morelli.report.neighbours import Neighbours

Array = np.ndarray
_WORST, _MIDDLE, _BEST = 12, 4, 4  # how many queries of each


@dataclass(frozen=True)
class Neighbour:
    """A painting found near a query: its row, whether it is by the same hand, and at which place it came."""

    row: int
    is_right: bool
    place: int


@dataclass(frozen=True)
class Query:
    """One gallery: a painting, what was found nearest to it, and the first by the same hand if that came later."""

    row: int
    rank: int
    found: list[Neighbour]
    later: Neighbour | None

    @property
    def rows(self) -> list[int]:
        """All paintings that it shows."""
        return [self.row, *(one.row for one in self.found), *([self.later.row] if self.later else [])]


def galleries_of(around: Neighbours, names: pd.Series) -> list[tuple[str, list[Query]]]:
    """The worst query of each artist, worst first; then queries from the middle and from the other end."""
    right = (names.to_numpy()[around.nearest] == names.to_numpy()[:, None]).sum(1)
    ranked = np.flatnonzero(around.rank > 0)
    order = ranked[np.lexsort((right[ranked], -around.rank[ranked]))]  # of equals, the one with fewer right ones
    parts = {"Worst": _one_of_each(order, names)[:_WORST]}
    rest = order[~np.isin(order, parts["Worst"])]
    if len(rest) >= 2 * (_MIDDLE + _BEST):
        start = (len(rest) - _MIDDLE) // 2
        parts["In the middle"] = rest[start : start + _MIDDLE]
        parts["Best"] = _one_of_each(rest[::-1], names)[:_BEST]
    return [
        (heading, [_query(int(row), around, names) for row in rows]) for heading, rows in parts.items() if len(rows)
    ]


def _one_of_each(rows: Array, names: pd.Series) -> Array:
    """The first row of each artist, in order."""
    kept: Array = rows[~names.iloc[rows].duplicated().to_numpy()]
    return kept


def _query(row: int, around: Neighbours, names: pd.Series) -> Query:
    nearest: Sequence[int] = around.nearest[row].tolist()
    found = [
        Neighbour(other, bool(names.iloc[other] == names.iloc[row]), place) for place, other in enumerate(nearest, 1)
    ]
    rank = int(around.rank[row])
    later = None if any(one.is_right for one in found) else Neighbour(int(around.right[row]), True, rank)
    return Query(row, rank, found, later)
