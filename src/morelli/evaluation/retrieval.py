"""Retrieval: does the nearest painting come from the same hand?

The measures and their values are those of pytorch-metric-learning's ``AccuracyCalculator`` with ``k="max_bin_count"``
(Musgrave et al., "A Metric Learning Reality Check", 2020), computed block by block from one exact search.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli.errors import InputError, UnmeasurableError
from morelli.evaluation._relevance import Labels, Relevance, other_queries, same_label
from morelli.evaluation.metrics import MEAN_AVERAGE_PRECISION, Metric, Ranking
from morelli.evaluation.metrics import METRICS as METRICS_TABLE
from morelli.evaluation.neighbours import Search, knn, knn_blocks
from morelli.evaluation.validate import refuse_collapsed, refuse_shapeless, refuse_unusable

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric for metric in (*METRICS_TABLE, MEAN_AVERAGE_PRECISION) if metric.takes == "ranking"
}
_QUERIES_AT_ONCE: Final = 512


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
    metrics: Collection[Metric] = tuple(METRICS.values()),
    k: int | None = None,
    search: Search = knn,
) -> Retrieval:
    """Search once and measure every query.

    Args:
        query: (Q, D) embeddings.
        query_labels: (Q,) artists: names, or numbers of any size.
        reference, reference_labels: the gallery; without it the queries search among themselves.
        ref_includes_query: the first Q references are the queries.
        metrics: those that take a ranking; by default :data:`METRICS`.
        k: neighbours to look at. By default the largest number of paintings any query has to find, which is what
            R-precision and MAP@R need; average precision and reciprocal rank see no further than k.
        search: the nearest-neighbour search, with the signature of :func:`~morelli.evaluation.neighbours.knn`.

    Raises:
        InputError: labels or a gallery that do not fit.
        UnmeasurableError: embeddings that are not finite (the row is named) or all the same, a single artist, nothing
            to find for any query, or a k that would make R-precision or MAP@R wrong.
    """
    if reference is None or reference_labels is None:
        reference, reference_labels, ref_includes_query = query, query_labels, True
    refuse_unfit(query, reference, ref_includes_query)
    relevance = same_label(query_labels, reference_labels, len(query), len(reference), ref_includes_query)
    refuse_unmeasurable(query, reference, relevance)
    k = enough_neighbours(k, relevance, metrics)
    return search_and_measure(query, reference, relevance, ref_includes_query, metrics=metrics, k=k, search=search)


def search_and_measure(
    query: Tensor,
    reference: Tensor,
    relevance: Relevance,
    ref_includes_query: bool,
    *,
    metrics: Collection[Metric],
    k: int,
    search: Search = knn,
    see: Callable[[slice, Tensor, Tensor], None] | None = None,
) -> Retrieval:
    """As :func:`retrieve`, of what was checked; ``see`` gets each block: its queries, distances and rows, (B, k)."""
    values = {metric.name: np.full(len(query), np.nan) for metric in metrics}
    lone = relevance.to_find == 0
    for block, distances, rows in _neighbours(search, query, k, reference, ref_includes_query):
        if see is not None:
            see(block, distances, rows)
        ranking = Ranking.of(relevance.hits(block, rows), relevance.to_find[block])
        for metric in metrics:
            assert metric.compute is not None
            values[metric.name][block] = np.where(lone[block], np.nan, metric.compute(ranking))
    return Retrieval(values, relevance.artists, relevance.codes, lone)


def refuse_unfit(query: Tensor, reference: Tensor, ref_includes_query: bool) -> None:
    """Refuse embeddings that do not go together.

    Raises:
        InputError: another shape or width, or the first references are not the queries though they ought to be.
    """
    for embeddings in (query, reference):
        refuse_shapeless(embeddings)
    if query.shape[1] != reference.shape[1]:
        raise InputError(f"The queries are {query.shape[1]} wide, the references {reference.shape[1]}.")
    if ref_includes_query and reference is not query:
        first = reference[: len(query)]
        if first.shape != query.shape or not torch.allclose(query, first, equal_nan=True):
            raise other_queries()


def refuse_unmeasurable(query: Tensor, reference: Tensor, relevance: Relevance) -> None:
    """Refuse what no number could be believed of.

    Raises:
        UnmeasurableError: NaN or infinite embeddings, all the same ones, or nothing to find for any query.
    """
    refuse_unusable(query, "query")
    if reference is not query:
        refuse_unusable(reference, "reference")
    refuse_collapsed(reference)
    if relevance.to_find.max() < 1:
        raise UnmeasurableError(
            "Nothing can be retrieved: no query has another painting of its artist to find (every artist has a single "
            "painting). At least one artist needs two."
        )


def enough_neighbours(k: int | None, relevance: Relevance, metrics: Collection[Metric]) -> int:
    """Return k, or by default as many neighbours as any query has to find.

    Raises:
        UnmeasurableError: k is too small for what is to be measured.
    """
    largest = int(relevance.to_find.max())
    if k is None:
        return largest
    if k < largest and (need_all := sorted(metric.name for metric in metrics if metric.looks == "r")):
        raise UnmeasurableError(
            f"k is {k}, but an artist has {largest} paintings to find, so {' and '.join(need_all)} would be wrong. "
            f"Leave k out, give at least {largest}, or exclude {'it' if len(need_all) == 1 else 'them'}."
        )
    return k


def _neighbours(
    search: Search, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield small blocks: which queries, their distances and their neighbours' rows, (B, k)."""
    if search is knn:
        found = knn_blocks(query, k, reference, ref_includes_query)
    else:
        k = min(k, len(reference) - int(ref_includes_query))
        found = iter([(slice(0, len(query)), *search(query, k, reference, ref_includes_query))])
    for whole, distances, rows in found:
        for first in range(0, len(rows), _QUERIES_AT_ONCE):
            part = slice(first, min(first + _QUERIES_AT_ONCE, len(rows)))
            yield slice(whole.start + part.start, whole.start + part.stop), distances[part], rows[part]
