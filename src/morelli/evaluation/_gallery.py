"""How retrieval measures vary with the artists, who are both what is looked for and what stands in the way.

Resampling the queries' artists alone takes the gallery for granted and gives intervals that are too narrow; resampling
the gallery would change its size, on which every retrieval measure depends. So each artist is left out once, as query
and from the gallery, and a resample is the sample plus what the drawn artists' influences add up to (the infinitesimal
jackknife, Efron 1982).
"""

from typing import Final

import numpy as np
from torch import Tensor
from torch.nn import functional

from morelli.evaluation._pairs import Paintings
from morelli.evaluation.metrics import METRICS, Ranking
from morelli.evaluation.neighbours import knn
from morelli.evaluation.normalisation import CohortScorer
from morelli.evaluation.pair_metrics import Measured
from morelli.evaluation.retrieval import Retrieval, retrieve
from morelli.models.heads import DistanceScorer, Scorer

Array = np.ndarray

_NOISE_TAKEN_OFF: Final = 0.5
"""What one artist does to another's queries is counted twice, once for each of them. Taking all of it off (as dyadic
cluster-robust variances do, Fafchamps and Gubert 2007) covers the truth too rarely with 50 artists, taking off nothing
too often; half of it is what simulation supports."""


RETRIEVAL: Final = tuple(metric for metric in METRICS if metric.takes == "ranking")


def measure_retrieval(
    embeddings: Tensor, scorer: Scorer, paintings: Paintings, weights: Array
) -> tuple[Retrieval, Measured]:
    """Search the embeddings (N, D), in the order of ``paintings``, in the scorer's geometry, and measure.

    That is Euclidean distance for a distance scorer and the cosine for every other. A pair head or a cohort does not
    change who is nearest.
    """
    own = scorer.base if isinstance(scorer, CohortScorer) else scorer
    placed = embeddings if isinstance(own, DistanceScorer) else functional.normalize(embeddings, dim=1)
    # An artist of the largest size may stand before everything that a query of another such artist is to find.
    reach = min(2 * int(paintings.counts.max()) - 1, len(embeddings) - 1)
    _, neighbours = knn(placed, reach, placed, True)

    def found(_query: Tensor, k: int, _reference: Tensor, _includes: bool) -> tuple[Tensor, Tensor]:
        return neighbours, neighbours[:, :k]

    codes = np.repeat(np.arange(len(paintings.counts)), paintings.counts)
    retrieval = retrieve(placed, codes, metrics=RETRIEVAL, search=found)
    if len(weights) == 1:
        return retrieval, {
            metric.name: (retrieval.mean(metric.name), np.array([retrieval.mean(metric.name)])) for metric in RETRIEVAL
        }
    resampled = _resample(neighbours.cpu().numpy(), retrieval, paintings, weights)
    return retrieval, {name: (retrieval.mean(name), values) for name, values in resampled.items()}


def _resample(neighbours: Array, retrieval: Retrieval, paintings: Paintings, weights: Array) -> dict[str, Array]:
    """Measure → (R,) values on the resamples."""
    values, lone = retrieval.values, retrieval.lone
    gains, noise = _gains(neighbours, list(values), paintings)
    artists = len(paintings.counts)
    searched = paintings.column_sums((~lone).astype(float))
    resampled = {}
    for metric, found in values.items():
        own = paintings.column_sums(np.where(lone, 0.0, found))
        gain = gains[metric] - gains[metric].mean()
        spread = np.square(gain).sum()
        sure = np.sqrt(max(0.0, 1 - _NOISE_TAKEN_OFF * noise[metric] / spread)) if spread else 0.0
        with np.errstate(invalid="ignore", divide="ignore"):  # one artist alone may have something to find
            without = (own.sum() - own + gains[metric].mean() + sure * gain) / (searched.sum() - searched)
            influence = (artists - 1) / artists * (without.mean() - without)
            resampled[metric] = own.sum() / searched.sum() + (weights - 1) @ influence
    return resampled


def _gains(neighbours: Array, metrics: list[str], paintings: Paintings) -> tuple[dict[str, Array], dict[str, float]]:
    """What leaving each artist (A,) out of the gallery adds to the others' queries; and how much of that is noise."""
    artists = len(paintings.counts)
    codes = np.repeat(np.arange(artists, dtype=np.int32), paintings.counts)
    found, to_find = codes[neighbours], paintings.counts[codes] - 1
    before = _measure(found == codes[:, None], np.ones_like(found, dtype=bool), to_find)
    gains = {metric: np.zeros(artists) for metric in metrics}
    noise = dict.fromkeys(metrics, 0.0)
    for artist, queries in _in_the_way(found, codes, to_find):
        others = found[queries]
        after = _measure(others == codes[queries, None], others != artist, to_find[queries])
        for metric in metrics:
            by_artist = np.bincount(codes[queries], after[metric] - before[metric][queries], minlength=artists)
            gains[metric][artist] = by_artist.sum()
            noise[metric] += np.square(by_artist).sum() - by_artist.sum() ** 2 / artists
    return gains, noise


def _in_the_way(found: Array, codes: Array, to_find: Array) -> list[tuple[int, Array]]:
    """The queries that each artist's paintings stand in the way of: before the first hit, or among the first R."""
    hits = found == codes[:, None]
    first_hit = np.where(hits.any(1), hits.argmax(1), found.shape[1])
    reach = np.maximum(first_hit, to_find)
    query, place = np.nonzero(~hits & (np.arange(found.shape[1]) < reach[:, None]) & (to_find > 0)[:, None])
    pairs = np.unique(found[query, place].astype(np.int64) * len(found) + query)
    artist, query = np.divmod(pairs, len(found))
    artists, starts = np.unique(artist, return_index=True)
    parts = np.split(query, starts)[1:]  # nothing lies before the first start; where all is found, there is none
    return list(zip(artists.tolist(), parts, strict=True))


def _measure(hits: Array, kept: Array, to_find: Array) -> dict[str, Array]:
    """The retrieval measures when only the ``kept`` neighbours are there."""
    ranking = Ranking.of(hits, to_find, kept)
    return {metric.name: metric.compute(ranking) for metric in RETRIEVAL if metric.compute}
