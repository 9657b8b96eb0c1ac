"""Pair metrics of a set of paintings and their leave-one-artist-out values, gathered in one pass over the artists.

Each collector counts pairs by what the metrics need (score, threshold, probability), for every artist: the pairs by the
artist, and the pairs with other artists. What all artists but one would have counted is a subtraction.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import pandas as pd

from morelli.evaluation import verification
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.intervals import FEWEST_ARTISTS
from morelli.evaluation.metrics import METRICS, Metric, reliability
from morelli.evaluation.pair_subsets import PairSubset
from morelli.evaluation.pairs import COARSE_BINS, FINE_BINS, Block, Pairs

Array = np.ndarray
Measured = dict[str, Array]
"""Metric → (A + 1,) its value on all artists, then without each artist; NaN where undefined."""

RELIABILITY_BINS: Final = 15
HISTOGRAM_BINS: Final = 200


class Collector(Protocol):
    """Something gathered block by block."""

    def add(self, block: Block) -> None:
        """Take in one artist's block; artists come in order."""

    def measured(self) -> Measured:
        """Give the metrics that the pairs define, once all blocks are in."""


def collect(pairs: Pairs, collectors: Sequence[Collector]) -> Measured:
    """Show all blocks to all collectors and return what they measured."""
    for block in pairs.by_artist():
        for collector in collectors:
            collector.add(block)
    with np.errstate(divide="ignore", invalid="ignore"):  # without one artist there may be no pairs: NaN
        return {name: values for collector in collectors for name, values in collector.measured().items()}


def leave_one_out(same: Array, different: Array) -> tuple[Array, Array]:
    """Counts of each artist's own pairs and of the pairs with others → both (A + 1, …): of all, then without each."""
    totals = same.sum(0), different.sum(0) / 2  # a pair by two artists was counted for both
    return (
        np.concatenate([totals[0][None], totals[0] - same]),
        np.concatenate([totals[1][None], totals[1] - different]),
    )


def undefined_of_few(measured: Array, artists: int) -> Array:
    """Leave no leave-one-out value of a metric that too few ``artists`` define."""
    if artists < FEWEST_ARTISTS:
        measured[1:] = np.nan
    return measured


class ScoreCurves:
    """The metrics of scores (pair AUC, EER, recall at fixed false-accept rates), for several subsets of the pairs.

    All pairs have all these metrics, the other subsets the first one alone. Up to ten million pairs the values are
    exact; beyond, they come from the fine bins.
    """

    def __init__(self, pairs: Pairs, subsets: Iterable[PairSubset], metrics: Iterable[Metric] = METRICS) -> None:
        chosen = [metric for metric in metrics if metric.takes == "scores"]
        self._curves = [_Curve(pairs, subset, chosen[:1] if subset.name else chosen) for subset in subsets]

    def add(self, block: Block) -> None:
        for curve in self._curves:
            curve.add(block)

    def measured(self) -> Measured:
        return {name: values for curve in self._curves for name, values in curve.measured().items()}


class _Curve:
    def __init__(self, pairs: Pairs, subset: PairSubset, metrics: Sequence[Metric]) -> None:
        self._bins, self._subset, self._metrics, self._exact = pairs.bins, subset, metrics, pairs.exact
        positives = pairs.positives
        if subset.positives_too:
            positives = positives.where(subset.of_pairs(positives.first, positives.second))
        self._positives = positives
        artists = len(pairs.paintings.counts)
        bin_of = positives.artist * COARSE_BINS + pairs.bins.coarse[pairs.bins(positives.scores)]
        self._same = np.bincount(bin_of, minlength=artists * COARSE_BINS).reshape(artists, COARSE_BINS)
        self._different = np.zeros((artists, COARSE_BINS), dtype=np.int32)
        self._negatives: list[Array] = []
        self._fine = np.zeros(FINE_BINS + 2, dtype=np.int64)

    def add(self, block: Block) -> None:
        mask = self._subset.between(block.rows, block.columns)
        picked = block.fine.ravel() if mask is None else block.fine[mask]
        self._different[block.artist] = np.bincount(self._bins.coarse[picked], minlength=COARSE_BINS)
        if self._exact:
            later = block.others[:, block.later]
            self._negatives.append(later.ravel() if mask is None else later[mask[:, block.later]])
        else:
            self._fine += np.bincount(picked, minlength=len(self._fine))

    def _masses(self) -> tuple[Array, Array]:
        if self._exact:
            return verification.exact_masses(self._positives.scores, np.concatenate(self._negatives))
        return np.bincount(self._bins(self._positives.scores), minlength=len(self._fine)), self._fine // 2

    def measured(self) -> Measured:
        masses, sides = self._masses(), leave_one_out(self._same, self._different)
        if not all(side.sum() for side in masses):
            return {}
        measured: Measured = {}
        for metric in self._metrics:
            assert metric.compute is not None
            values = metric.compute(*sides)
            # Without an artist it is measured in coarse bins: take off what these put the whole sample off.
            values = values + (metric.compute(*masses) - values[0])
            name = f"{metric.name}_{self._subset.name}".rstrip("_")
            measured[name] = undefined_of_few(values, len(np.unique(self._positives.artist)))
        if not self._exact and not self._subset.name:
            bound = verification.auc_error_bound(*masses)
            measured["pair_auc_error_bound"] = np.append(bound, np.full(len(self._same), np.nan))
        return measured


class Triplets:
    """Triplet accuracy over all triplets: for an anchor, a positive scores above a negative."""

    def __init__(self, pairs: Pairs) -> None:
        self._paintings, self._bins = pairs.paintings, pairs.bins
        artists = len(self._paintings.counts)
        self._exact = 0.0  # sum over the anchors
        self._won: Array = np.zeros((artists, artists))  # by the anchor's artist and the negative's

    def add(self, block: Block) -> None:
        n = len(block.scores)
        if n < 2 or not block.others.size:
            return
        own = block.scores[:, block.rows][~np.eye(n, dtype=bool)].reshape(n, n - 1)
        for positives, negatives in zip(own, np.sort(block.others, axis=1), strict=True):
            below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
            self._exact += below.mean() / (2 * len(negatives))
        bin_of = np.arange(n)[:, None] * COARSE_BINS + self._bins.coarse[self._bins(own)]
        counts = np.bincount(bin_of.ravel(), minlength=n * COARSE_BINS).reshape(n, COARSE_BINS)
        above = 1 - (np.cumsum(counts, axis=1) - counts / 2) / (n - 1)
        won = np.zeros(block.scores.shape[1])
        won[block.columns] = np.take_along_axis(above, self._bins.coarse[block.fine], axis=1).sum(0)
        self._won[block.artist] = self._paintings.sums(won)

    def measured(self) -> Measured:
        counts = self._paintings.counts.astype(float)
        anchors = np.where(counts > 1, counts, 0)
        negatives = counts.sum() - counts
        # Of each anchor's artist (rows), without each other artist (columns): triplets won of all, by anchor.
        accuracy = (self._won.sum(1)[:, None] - self._won) / (negatives[:, None] - counts)
        np.fill_diagonal(accuracy, 0)
        without = accuracy.sum(0) / (anchors.sum() - anchors)
        in_bins = (self._won.sum(1) / negatives).sum() / anchors.sum()
        value = self._exact / anchors.sum()
        values = np.append(value, without + value - in_bins)
        return {"triplet_accuracy": undefined_of_few(values, int((anchors > 0).sum()))}


class AtThresholds:
    """Error rates at thresholds that were chosen elsewhere.

    Args:
        thresholds: by name; each gives ``realised_far_<name>`` and ``realised_recall_<name>``, and the one called
            ``balanced`` the metrics of a threshold too.
    """

    def __init__(self, pairs: Pairs, thresholds: Mapping[str, float], metrics: Iterable[Metric] = METRICS) -> None:
        self._thresholds, self._metrics = thresholds, [metric for metric in metrics if metric.takes == "threshold"]
        artists = len(pairs.paintings.counts)
        positives = pairs.positives
        self._different = {name: np.zeros((artists, 2)) for name in thresholds}
        self._same = {
            name: np.stack(
                [
                    np.bincount(positives.artist, weights, minlength=artists)
                    for weights in (None, positives.scores >= at)
                ],
                axis=1,
            )
            for name, at in thresholds.items()
        }

    def add(self, block: Block) -> None:
        for name, at in self._thresholds.items():
            self._different[name][block.artist] = block.others.size, (block.others >= at).sum()

    def measured(self) -> Measured:
        measured: Measured = {}
        for name in self._thresholds:
            counted = leave_one_out(self._same[name], self._different[name])
            recall, false_accept = (side[:, 1] / side[:, 0] for side in counted)
            values = {f"realised_far_{name}": false_accept, f"realised_recall_{name}": recall}
            if name == "balanced":
                values |= {one.name: one.compute(recall, false_accept) for one in self._metrics if one.compute}
            enough = int((self._same[name][:, 0] > 0).sum())
            measured |= {key: undefined_of_few(value, enough) for key, value in values.items()}
        return measured


class Probabilities:
    """The metrics of calibrated probabilities, and the reliability diagram, at a prior of one half.

    Positives and negatives weigh the same, so that the metrics do not change with the number of artists.
    """

    def __init__(self, pairs: Pairs, calibration: Calibration, metrics: Iterable[Metric] = METRICS) -> None:
        self._calibration = calibration
        self._metrics = [metric for metric in metrics if metric.takes == "probabilities"]
        self._same: Array = np.zeros((len(pairs.paintings.counts), 3, RELIABILITY_BINS))
        self._different = np.zeros_like(self._same)

    def add(self, block: Block) -> None:
        for side, scores in ((self._same, block.positives), (self._different, block.others)):
            probability = self._calibration.probability(scores).ravel()
            bins = np.minimum((probability * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
            moments = (np.bincount(bins, probability**power, RELIABILITY_BINS) for power in range(3))
            side[block.artist] = np.stack(list(moments))

    def measured(self) -> Measured:
        sides = leave_one_out(self._same, self._different)
        enough = int((self._same[:, 0].sum(1) > 0).sum())
        values = {metric.name: metric.compute(*sides) for metric in self._metrics if metric.compute}
        return {name: undefined_of_few(value, enough) for name, value in values.items()}

    def diagram(self) -> pd.DataFrame:
        """A row a bin that holds pairs: mean predicted ``probability``, observed ``share``, and its ``mass`` of all."""
        mass, predicted, observed = reliability(self._same.sum(0), self._different.sum(0) / 2)
        some = mass > 0
        means = {"probability": predicted[some] / mass[some], "share": observed[some] / mass[some]}
        return pd.DataFrame({**means, "mass": mass[some]})


class PerArtist:
    """Metrics of scores for each artist: the artist's own pairs against those with others."""

    def __init__(self, metrics: Iterable[Metric] = METRICS) -> None:
        self._metrics = [metric for metric in metrics if metric.takes == "scores" and metric.per_artist]
        self.columns: dict[str, list[float]] = {metric.name: [] for metric in self._metrics}

    def add(self, block: Block) -> None:
        defined = len(block.positives) and block.others.size
        masses = verification.exact_masses(block.positives, block.others.ravel()) if defined else None
        for metric in self._metrics:
            assert metric.compute is not None
            self.columns[metric.name].append(float(metric.compute(*masses)) if masses else np.nan)

    def measured(self) -> Measured:
        return {}


class ScoreHistogram:
    """How many pairs by the same and by different artists fall into even bins of score, for ROC curves and plots."""

    def __init__(self, pairs: Pairs) -> None:
        scores = pairs.positives.scores
        middle, half = (float(scores.max()) + float(scores.min())) / 2, float(scores.max()) - float(scores.min())
        low, high = pairs.extremes() or (middle - half, middle + half)
        self._low, self._width = low, max((high - low) / HISTOGRAM_BINS, 1e-30)
        self._same, self._different = self._counts(scores), np.zeros(HISTOGRAM_BINS, dtype=np.int64)

    def add(self, block: Block) -> None:
        self._different += self._counts(block.others[:, block.later].ravel())

    def measured(self) -> Measured:
        return {}

    def _counts(self, scores: Array) -> Array:
        place = np.clip((scores - self._low) / self._width, 0, HISTOGRAM_BINS - 1).astype(np.int64)
        return np.bincount(place, minlength=HISTOGRAM_BINS)

    def table(self) -> pd.DataFrame:
        """A row a bin, lowest first: the ``score`` in its middle, and how many ``same`` and ``different`` pairs it has.

        Empty bins at either end are left out. Where not all scores are kept, the last bin at each end also holds what
        lies beyond it.
        """
        middles = self._low + (np.arange(HISTOGRAM_BINS) + 0.5) * self._width
        table = pd.DataFrame({"score": middles, "same": self._same, "different": self._different})
        held = np.flatnonzero(self._same + self._different)
        return table[held[0] : held[-1] + 1].reset_index(drop=True)
