"""Pair metrics of a set of paintings and their leave-one-artist-out values, gathered in one pass over the artists.

Each collector counts pairs by what the metrics need (score, threshold, probability), for every artist: the pairs by the
artist, and the pairs with other artists. What all artists but one would have counted is a subtraction.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from morelli.evaluation import verification
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.intervals import FEWEST_ARTISTS
from morelli.evaluation.likelihood_ratios import cllr_costs
from morelli.evaluation.metrics import METRICS, Metric, reliability
from morelli.evaluation.pair_subsets import PairSubset
from morelli.evaluation.pairs import COARSE_BINS, FINE_BINS, Block, NormalisedPairs, Pairs

Array = np.ndarray
Measured = dict[str, Array]
"""Metric → (A + 1,) its value on all artists, then without each artist; NaN where undefined."""

RELIABILITY_BINS: Final = 15
HISTOGRAM_BINS: Final = 200


class Collector:
    """Something gathered block by block."""

    def add(self, block: Block) -> None:
        """Take in one artist's block; artists come in order."""
        raise NotImplementedError

    def measured(self) -> Measured:
        """Give the metrics that the pairs define, once all blocks are in."""
        return {}


def collect(pairs: Pairs, collectors: Sequence[Collector]) -> Measured:
    """Show all blocks to all collectors and return what they measured."""
    for block in pairs.by_artist():
        for collector in collectors:
            collector.add(block)
    with np.errstate(divide="ignore", invalid="ignore"):  # without one artist there may be no pairs: NaN
        return {name: values for collector in collectors for name, values in collector.measured().items()}


def undefined_of_few(measured: Array, artists: int) -> Array:
    """Leave no leave-one-out value of a metric that too few ``artists`` define."""
    if artists < FEWEST_ARTISTS:
        measured[1:] = np.nan
    return measured


class _Tally(Collector):
    """Counts, of any shape: ``same`` (A, …) of each artist's own pairs, ``different`` (A, …) of those with others."""

    def __init__(self, pairs: Pairs, *shape: int) -> None:
        self.same: Array = np.zeros((len(pairs.paintings.counts), *shape))
        self.different: Array = np.zeros_like(self.same)

    def of(self, same: Array, different: Array) -> Measured:
        """The metrics of counts (B, …) → (B,)."""
        raise NotImplementedError

    def measured(self) -> Measured:
        totals = self.same.sum(0), self.different.sum(0) / 2  # a pair by two artists was counted for both
        sides = zip(totals, (self.same, self.different), strict=True)
        values = self.of(*(np.concatenate([total[None], total - side]) for total, side in sides))
        artists = int(self.same.reshape(len(self.same), -1).any(1).sum())
        return {name: undefined_of_few(one, artists) for name, one in values.items()}


class ScoreCurve(_Tally):
    """The metrics of scores (pair AUC, EER, recall at fixed false-accept rates) for a subset of the pairs.

    Up to ten million pairs the values are exact; beyond, they come from the fine bins. Without each artist the metrics
    are taken in coarse bins, and moved by what these put the whole sample off.
    """

    def __init__(self, pairs: Pairs, subset: PairSubset, metrics: Iterable[Metric] = METRICS) -> None:
        super().__init__(pairs, COARSE_BINS)
        self._bins, self._subset, self._exact = pairs.bins, subset, pairs.exact
        self._metrics = [metric for metric in metrics if metric.takes == "scores"][: 1 if subset.name else None]
        self._scores: tuple[list[Array], list[Array]] = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
        self._fine = np.zeros(FINE_BINS + 2, dtype=np.int64)

    def add(self, block: Block) -> None:
        positives, mask = block.positives_of(self._subset), self._subset.between(block.rows, block.columns)
        fine = block.fine if mask is None else block.fine[mask]
        for side, bins in ((self.same, self._bins(positives)), (self.different, fine.ravel())):
            side[block.artist] = np.bincount(self._bins.coarse[bins], minlength=COARSE_BINS)
        self._scores[0].append(positives)
        if self._exact:
            self._scores[1].append(block.later_of(self._subset))
        else:
            self._fine += np.bincount(fine.ravel(), minlength=len(self._fine))

    def of(self, same: Array, different: Array) -> Measured:
        positives = np.concatenate(self._scores[0])
        if self._exact:
            masses = verification.exact_masses(positives, np.concatenate(self._scores[1]))
        else:
            masses = np.bincount(self._bins(positives), minlength=len(self._fine)), self._fine / 2
        if not all(side.sum() for side in masses):
            return {}
        measured: Measured = {}
        for metric in self._metrics:
            assert metric.compute is not None
            values = metric.compute(same, different)
            measured[f"{metric.name}_{self._subset.name}".rstrip("_")] = values + (metric.compute(*masses) - values[0])
        if not self._exact and not self._subset.name:
            bound = verification.auc_error_bound(*masses)
            measured["pair_auc_error_bound"] = np.append(bound, np.full(len(same) - 1, np.nan))
        return measured


class AtThresholds(_Tally):
    """Error rates at thresholds that were chosen elsewhere.

    Each threshold gives ``realised_far_<name>`` and ``realised_recall_<name>``, the one called ``balanced`` also the
    metrics of a threshold.
    """

    def __init__(self, pairs: Pairs, thresholds: Mapping[str, float], metrics: Iterable[Metric] = METRICS) -> None:
        super().__init__(pairs, len(thresholds), 2)
        self._thresholds, self._metrics = thresholds, [metric for metric in metrics if metric.takes == "threshold"]

    def add(self, block: Block) -> None:
        for side, scores in ((self.same, block.positives), (self.different, block.others)):
            for place, threshold in enumerate(self._thresholds.values()):
                side[block.artist, place] = scores.size, (scores >= threshold).sum()

    def of(self, same: Array, different: Array) -> Measured:
        measured: Measured = {}
        for place, name in enumerate(self._thresholds):
            recall, false_accept = (side[:, place, 1] / side[:, place, 0] for side in (same, different))
            measured |= {f"realised_far_{name}": false_accept, f"realised_recall_{name}": recall}
            if name == "balanced":
                measured |= {one.name: one.compute(recall, false_accept) for one in self._metrics if one.compute}
        return measured


class Probabilities(_Tally):
    """The metrics of calibrated probabilities, and the reliability diagram, at a prior of one half.

    Positives and negatives weigh the same, so that the metrics do not change with the number of artists.
    """

    def __init__(self, pairs: Pairs, calibration: Calibration, metrics: Iterable[Metric] = METRICS) -> None:
        super().__init__(pairs, 4, RELIABILITY_BINS)
        self._calibration = calibration
        self._metrics = [metric for metric in metrics if metric.takes == "probabilities"]

    def add(self, block: Block) -> None:
        for side, scores in ((self.same, block.positives), (self.different, block.others)):
            probability = self._calibration.probability(scores).ravel()
            bins = np.minimum((probability * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
            costs = cllr_costs(self._calibration.log_likelihood_ratio(scores).ravel(), same=side is self.same)
            for row, values in enumerate((np.ones(len(bins)), probability, probability**2, costs)):
                side[block.artist, row] = np.bincount(bins, values, RELIABILITY_BINS)

    def of(self, same: Array, different: Array) -> Measured:
        return {metric.name: metric.compute(same, different) for metric in self._metrics if metric.compute}

    def diagram(self) -> pd.DataFrame:
        """A row a bin that holds pairs: mean predicted ``probability``, observed ``share``, and its ``mass`` of all."""
        mass, predicted, observed = reliability(self.same.sum(0), self.different.sum(0) / 2)
        some = mass > 0
        means = {"probability": predicted[some] / mass[some], "share": observed[some] / mass[some]}
        return pd.DataFrame({**means, "mass": mass[some]})


class Normalised(Collector):
    """The metrics of pairs once more, of scores normalised by a cohort: ``<metric>_<name>``."""

    def __init__(
        self,
        pairs: NormalisedPairs,
        name: str,
        metrics: Iterable[Metric] = METRICS,
        calibration: Calibration | None = None,
    ) -> None:
        self._pairs, self._name = pairs, name
        self._collectors: list[Collector] = [ScoreCurve(pairs, PairSubset(), metrics)]
        if calibration:
            self._collectors.append(AtThresholds(pairs, calibration.thresholds, metrics))
            self._collectors.append(Probabilities(pairs, calibration, metrics))

    def add(self, block: Block) -> None:
        normalised = self._pairs.of_block(block)
        for collector in self._collectors:
            collector.add(normalised)

    def measured(self) -> Measured:
        return {
            f"{metric}_{self._name}": values
            for collector in self._collectors
            for metric, values in collector.measured().items()
        }


class Triplets(Collector):
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


class ArtistCurves(Collector):
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


class ScoreHistogram(Collector):
    """How many pairs by the same and by different artists fall into even bins of score, for ROC curves and plots."""

    def __init__(self, pairs: Pairs) -> None:
        scores = pairs.positives
        middle, half = (float(scores.max()) + float(scores.min())) / 2, float(scores.max()) - float(scores.min())
        low, high = pairs.extremes() or (middle - half, middle + half)
        self._low, self._width = low, max((high - low) / HISTOGRAM_BINS, 1e-30)
        self._same, self._different = self._counts(scores), np.zeros(HISTOGRAM_BINS, dtype=np.int64)

    def add(self, block: Block) -> None:
        self._different += self._counts(block.others[:, block.later].ravel())

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
