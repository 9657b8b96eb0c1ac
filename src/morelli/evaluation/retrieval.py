"""Retrieval: does the nearest painting come from the same hand?

The measures and their values are those of pytorch-metric-learning's ``AccuracyCalculator`` with ``k="max_bin_count"``
(Musgrave et al., "A Metric Learning Reality Check", 2020), computed block by block from one exact search.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli.errors import MorelliError
from morelli.evaluation._checks import refuse_collapsed, refuse_unusable
from morelli.evaluation.neighbours import Search, knn, knn_blocks

METRICS = (
    "precision_at_1",
    "r_precision",
    "mean_average_precision_at_r",
    "mean_average_precision",
    "mean_reciprocal_rank",
)
_QUERIES_AT_ONCE = 512

Labels = Tensor | np.ndarray | Sequence[Any]


@dataclass(frozen=True)
class Retrieval:
    """What one search found, query by query.

    Attributes:
        values: measure → (Q,) float64, NaN for queries that have no other painting of their artist to find.
        artists: the artists' names or labels, sorted.
        codes: (Q,) each query's place in ``artists``.
        lone: (Q,) bool, the queries with nothing to find. No mean counts them, but other queries can find them.
    """

    values: dict[str, np.ndarray]
    artists: np.ndarray
    codes: np.ndarray
    lone: np.ndarray

    @property
    def lone_artists(self) -> list[Any]:
        """The artists whose queries have nothing to find: with one set, those with a single painting."""
        return list(self.artists[np.unique(self.codes[self.lone])])

    def mean(self, metric: str) -> float:
        """Mean over the queries that have something to find."""
        return float(self.values[metric][~self.lone].mean())

    def per_artist(self) -> pd.DataFrame:
        """One row an artist: ``artist``, ``paintings`` (queries), and the mean of every measure over them."""
        grouped = pd.DataFrame({"code": self.codes, "paintings": 1, **self.values}).groupby("code", sort=True)
        table = grouped.agg({"paintings": "sum", **dict.fromkeys(self.values, "mean")})
        table.insert(0, "artist", self.artists[table.index.to_numpy()])
        return table.reset_index(drop=True)


def retrieve(
    query: Tensor,
    query_labels: Labels,
    reference: Tensor | None = None,
    reference_labels: Labels | None = None,
    ref_includes_query: bool = False,
    *,
    metrics: Sequence[str] = METRICS,
    k: int | None = None,
    search: Search = knn,
) -> Retrieval:
    """Search once and measure every query.

    Args:
        query: (Q, D) embeddings.
        query_labels: (Q,) artists: names, or numbers of any size.
        reference, reference_labels: the gallery; without it the queries search among themselves.
        ref_includes_query: the first Q references are the queries.
        metrics: some of :data:`METRICS`.
        k: neighbours to look at. By default the largest number of paintings any query has to find, which is what
            R-precision and MAP@R need; average precision and reciprocal rank see no further than k.
        search: the nearest-neighbour search, with the signature of :func:`~morelli.evaluation.neighbours.knn`.

    Raises:
        MorelliError: embeddings that are not finite (the row is named) or all the same, labels that do not fit, a
            single artist, nothing to find for any query, or a k that would make R-precision or MAP@R wrong.
    """
    if reference is None or reference_labels is None:
        reference, reference_labels, ref_includes_query = query, query_labels, True
    names, codes, gallery_codes = _factorise(query_labels, reference_labels, len(query), len(reference))
    refuse_unusable(query, "query")
    if reference is not query:
        refuse_unusable(reference, "reference")
        if ref_includes_query:
            _refuse_other_queries(query, codes, reference, gallery_codes)
    refuse_collapsed(reference)
    if len(names) < 2:
        raise MorelliError(f"All paintings are by {names[0]}: whatever is found is right. Two artists are needed.")
    to_find = np.bincount(gallery_codes, minlength=len(names))[codes] - int(ref_includes_query)
    k = _enough_neighbours(k, int(to_find.max()), metrics)

    values = {metric: np.full(len(query), np.nan) for metric in metrics}
    for start, rows in _neighbours(search, query, k, reference, ref_includes_query):
        block = slice(start, start + len(rows))
        hits = gallery_codes[rows] == codes[block, None]
        for metric, found in _measure(hits, to_find[block], metrics).items():
            values[metric][block] = found
    return Retrieval(values, names, codes, to_find == 0)


def _neighbours(
    search: Search, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first query of a small block, and the block's neighbours (B, k)."""
    if search is knn:
        found: Iterable[tuple[int, Tensor]] = (
            (block.start, rows) for block, _, rows in knn_blocks(query, k, reference, ref_includes_query)
        )
    else:
        k = min(k, len(reference) - int(ref_includes_query))
        found = [(0, search(query, k, reference, ref_includes_query)[1])]
    for start, rows in found:
        for first in range(0, len(rows), _QUERIES_AT_ONCE):
            yield start + first, rows[first : first + _QUERIES_AT_ONCE].cpu().numpy()


def _measure(hits: np.ndarray, to_find: np.ndarray, metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """Measure a block of queries: ``hits`` (B, k) says which neighbours are right, nearest first; ``to_find`` is R."""
    ranks = np.arange(1, hits.shape[1] + 1)
    within_r = ranks <= to_find[:, None]
    wanted = np.where(to_find > 0, to_find, np.nan)
    values: dict[str, np.ndarray] = {}
    if "precision_at_1" in metrics:
        values["precision_at_1"] = hits[:, 0].astype(float)
    if "r_precision" in metrics:
        values["r_precision"] = (hits & within_r).sum(1) / wanted
    if {"mean_average_precision_at_r", "mean_average_precision"} & set(metrics):
        precision_at_hits = hits.cumsum(1) * hits / ranks
        if "mean_average_precision_at_r" in metrics:
            values["mean_average_precision_at_r"] = (precision_at_hits * within_r).sum(1) / wanted
        if "mean_average_precision" in metrics:
            values["mean_average_precision"] = precision_at_hits.sum(1) / wanted
    if "mean_reciprocal_rank" in metrics:
        values["mean_reciprocal_rank"] = np.where(hits.any(1), 1 / (1 + hits.argmax(1)), 0)
    return {metric: np.where(to_find > 0, found, np.nan) for metric, found in values.items()}


def _factorise(
    query: Labels, reference: Labels, queries: int, references: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sides = [_label_array(query, queries, "query"), _label_array(reference, references, "reference")]
    codes, names = pd.factorize(sides[0] if reference is query else np.concatenate(sides), sort=True)
    if (codes < 0).any():
        raise MorelliError(f"Row {int((codes < 0).argmax())} has no artist. Leave such paintings out before measuring.")
    return np.asarray(names), codes[:queries], codes[len(codes) - references :]


def _label_array(labels: Labels, rows: int, side: str) -> np.ndarray:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (rows,):
        raise MorelliError(f"{rows} {side} embeddings need as many labels; they came in the shape {array.shape}.")
    return array.astype(object) if array.dtype.kind in "US" else array


def _refuse_other_queries(query: Tensor, codes: np.ndarray, reference: Tensor, gallery_codes: np.ndarray) -> None:
    first = reference[: len(query)]
    if first.shape != query.shape or not torch.equal(query, first) or (codes != gallery_codes[: len(codes)]).any():
        raise MorelliError("With ref_includes_query the first references, and their labels, must be the queries.")


def _enough_neighbours(k: int | None, largest: int, metrics: Sequence[str]) -> int:
    if largest < 1:
        raise MorelliError(
            "Nothing can be retrieved: no query has another painting of its artist to find (every artist has a single "
            "painting). At least one artist needs two."
        )
    if k is None:
        return largest
    need_all = sorted({"r_precision", "mean_average_precision_at_r"} & set(metrics))
    if k < largest and need_all:
        raise MorelliError(
            f"k is {k}, but an artist has {largest} paintings to find, so {' and '.join(need_all)} would be wrong. "
            f"Leave k out, or give at least {largest}."
        )
    return k
