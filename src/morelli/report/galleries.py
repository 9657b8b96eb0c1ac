"""The galleries of a report: some paintings, and what the network finds nearest to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from morelli.report.neighbours import Neighbours

Array = np.ndarray

_GROUPS: Final = (("Worst", 12), ("In the middle", 4), ("Best", 4))


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


def galleries_of(around: Neighbours, names: pd.Series) -> list[tuple[str, list[Query]]]:
    """The worst query of each artist, worst first; then queries from the middle and from the other end."""
    right = (names.to_numpy()[around.nearest] == names.to_numpy()[:, None]).sum(1)
    ranked = np.flatnonzero(around.rank > 0)
    order = ranked[np.lexsort((right[ranked], -around.rank[ranked]))]  # of equals, the one with fewer right ones
    (worst, most), (middle, some), (best, few) = _GROUPS
    parts = [(worst, _one_of_each(order, names)[:most])]
    rest = order[~np.isin(order, parts[0][1])]
    if len(rest) >= 2 * (some + few):
        start = (len(rest) - some) // 2
        parts += [(middle, rest[start : start + some]), (best, _one_of_each(rest[::-1], names)[:few])]
    return [(heading, [_query(int(row), around, names) for row in rows]) for heading, rows in parts if len(rows)]


def _one_of_each(rows: Array, names: pd.Series) -> Array:
    """The first row of each artist, in order."""
    kept: Array = rows[np.sort(np.unique(names.to_numpy()[rows], return_index=True)[1])]
    return kept


def _query(row: int, around: Neighbours, names: pd.Series) -> Query:
    own = names.iloc[row]
    nearest = enumerate(around.nearest[row].tolist(), 1)
    found = [Neighbour(other, bool(names.iloc[other] == own), place) for place, other in nearest]
    rank, right = int(around.rank[row]), int(around.right[row])
    later = None if any(one.is_right for one in found) else Neighbour(right, True, rank)
    return Query(row, rank, found, later)


def rows_in(galleries: Sequence[tuple[str, Sequence[Query]]]) -> set[int]:
    """All rows that the galleries show."""
    queries = [query for _, part in galleries for query in part]
    found = {one.row for query in queries for one in [*query.found, *([query.later] if query.later else [])]}
    return found | {query.row for query in queries}
