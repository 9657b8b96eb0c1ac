"""Retrieval metrics (precision at 1, R-precision, MAP@R) from one exact search, and their leave-one-artist-out values.

The values are those of pytorch-metric-learning's ``AccuracyCalculator`` with ``k="max_bin_count"`` (Musgrave et al.,
"A Metric Learning Reality Check", 2020), computed block by block.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from morelli.errors import InputError, UnmeasurableError
from morelli.evaluation._relevance import Labels, Relevance, other_queries, same_label
from morelli.evaluation.intervals import FEWEST_ARTISTS
from morelli.evaluation.metrics import MEAN_AVERAGE_PRECISION, Metric, Ranking
from morelli.evaluation.metrics import METRICS as METRICS_TABLE
from morelli.evaluation.neighbours import Search, knn, knn_blocks
from morelli.evaluation.normalisation import own_scorer
from morelli.evaluation.pairs import Paintings
from morelli.evaluation.validate import refuse_collapsed, refuse_shapeless, refuse_unusable
from morelli.models.heads import DistanceScorer, Scorer

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric for metric in (*METRICS_TABLE, MEAN_AVERAGE_PRECISION) if metric.takes == "ranking"
}
_QUERIES_AT_ONCE: Final = 512


@dataclass(frozen=True)
class Retrieval:
    """What one search found, query by query.

    Attributes:
        values: metric → (Q,) float64, NaN for queries that have no other painting of their artist to find.
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
        """One row an artist: ``artist``, ``paintings`` (queries), and the mean of every metric over them."""
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
    """Search once and measure every query; without a gallery the queries search among themselves.

    Labels are names, or numbers of any size. ``k`` is by default the largest number of paintings that any query has to
    find, which R-precision and MAP@R need; average precision and reciprocal rank see no further than k.

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
    """Raise an InputError for another shape or width, or first references that are not the queries but ought to be."""
    for embeddings in (query, reference):
        refuse_shapeless(embeddings)
    if query.shape[1] != reference.shape[1]:
        raise InputError(f"The queries are {query.shape[1]} wide, the references {reference.shape[1]}.")
    if ref_includes_query and reference is not query:
        first = reference[: len(query)]
        if first.shape != query.shape or not torch.allclose(query, first, equal_nan=True):
            raise other_queries()


def refuse_unmeasurable(query: Tensor, reference: Tensor, relevance: Relevance) -> None:
    """Raise an UnmeasurableError for NaN, infinite or collapsed embeddings, or nothing to find for any query."""
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
    """Return k, or by default as many neighbours as any query has to find; too small a k is an UnmeasurableError."""
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


def measure_retrieval(
    embeddings: Tensor, scorer: Scorer, paintings: Paintings, metrics: Collection[Metric]
) -> tuple[Retrieval, dict[str, np.ndarray]]:
    """Search the embeddings (N, D), in the order of ``paintings``, in the scorer's geometry, and measure.

    That is Euclidean distance for a distance scorer and the cosine for every other. A pair head or a cohort does not
    change who is nearest.

    Returns:
        The values of every painting; and metric → (A + 1,) means, of all artists and then without each.
    """
    own = own_scorer(scorer)
    placed = embeddings if isinstance(own, DistanceScorer) else functional.normalize(embeddings, dim=1)
    codes, counts = paintings.codes.astype(np.int32), paintings.counts
    largest, to_find = int(counts.max()), counts[codes] - 1
    # An artist of the largest size may stand before everything that a query of another such artist is to find.
    _, neighbours = knn(placed, min(2 * largest - 1, len(placed) - 1), placed, True)
    found = codes[neighbours.cpu().numpy()]

    def measure(queries: Any = slice(None), *, left_out: int | None = None, k: int | None = None) -> dict[str, Any]:
        hits = found[queries, :k] == codes[queries, None]
        ranking = Ranking.of(hits, to_find[queries], None if left_out is None else found[queries] != left_out)
        return {metric.name: metric.compute(ranking) for metric in metrics if metric.compute}

    lone = to_find == 0
    values = {name: np.where(lone, np.nan, value) for name, value in measure(k=largest - 1).items()}
    before, artists = measure(), len(counts)
    far = any(metric.looks == "k" and metric.name not in METRICS for metric in metrics)
    changes = {name: np.zeros((artists, artists)) for name in values}  # without each (rows), of each one's queries
    for artist, queries in _in_the_way(found, codes, to_find, far).items():
        for name, again in measure(queries, left_out=artist).items():
            changes[name][artist] = np.bincount(codes[queries], again - before[name][queries], artists)
    searched = paintings.sums(~lone)
    measured = {}
    for name, value in values.items():
        own_sum = paintings.sums(np.where(lone, 0, value))
        with np.errstate(invalid="ignore", divide="ignore"):  # one artist alone may have something to find
            without = (own_sum.sum() - own_sum + _gains(changes[name])) / (searched.sum() - searched)
        without = np.where(sum(counts > 1) < FEWEST_ARTISTS, np.nan, without)
        measured[name] = np.append(own_sum.sum() / searched.sum(), without)
    return Retrieval(values, np.array(paintings.names), codes, lone), measured


_NOISE_TAKEN_OFF: Final = 0.5
"""What one artist does to another's queries is counted twice, once for each of them. Taking all of it off (as dyadic
cluster-robust variances do, Fafchamps and Gubert 2007) covers the truth too rarely with 50 artists, taking off nothing
too often; half of it is what simulation supports."""


def _gains(changes: np.ndarray) -> np.ndarray:
    """What leaving each artist out of the gallery adds to the other artists' queries (A, A) → (A,), less its noise."""
    gains = changes.sum(1)
    apart = gains - gains.mean()
    noise = np.square(changes).sum() - np.square(gains).sum() / len(gains)
    spread = np.square(apart).sum()
    share = max(0.0, 1 - _NOISE_TAKEN_OFF * noise / spread) if spread else 0.0
    sure: np.ndarray = gains.mean() + apart * np.sqrt(share)
    return sure


def _in_the_way(found: np.ndarray, codes: np.ndarray, to_find: np.ndarray, far: bool) -> dict[int, np.ndarray]:
    """The queries that each artist stands in the way of: before the first hit or among the first R, or anywhere."""
    hits = found == codes[:, None]
    first_hit = np.where(hits.any(1), hits.argmax(1), found.shape[1])
    reach = np.full(len(found), found.shape[1]) if far else np.maximum(first_hit, to_find)
    query, place = np.nonzero(~hits & (np.arange(found.shape[1]) < reach[:, None]) & (to_find > 0)[:, None])
    pairs = np.unique(found[query, place].astype(np.int64) * len(found) + query)
    artist, query = np.divmod(pairs, len(found))
    artists, starts = np.unique(artist, return_index=True)
    return dict(zip(artists.tolist(), np.split(query, starts)[1:], strict=True))  # nothing lies before the first start
