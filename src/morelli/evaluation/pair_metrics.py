"""The pair measures gathered in one pass over the artists, each with its value on every resample."""

from typing import Protocol

import numpy as np

from morelli.evaluation import verification
from morelli.evaluation._blocks import COARSE_BINS, COARSEST_BINS, FINE_BINS, Bins, Block, Positives
from morelli.evaluation._pairs import Pairs
from morelli.evaluation._resampled import ResampledMasses
from morelli.evaluation.metrics import FALSE_ACCEPT_RATES
from morelli.evaluation.pair_subsets import Question
from morelli.evaluation.resampling import undefined_of_few

Array = np.ndarray
Measured = dict[str, tuple[float, Array]]
"""Measure → its value, and its (R + 1,) values on the resamples, the sample itself in front."""


class Measure(Protocol):
    """Something gathered block by block."""

    def add(self, block: Block) -> None:
        """Take in one artist's block; artists come in order."""

    def measure(self) -> Measured:
        """Give the measures that the pairs define, once all blocks are in."""


def gather(pairs: Pairs, positives: Positives, measures: list[Measure]) -> Measured:
    """Show all blocks to all measures and collect what they measured."""
    bins = Bins(positives.scores)
    for artist, scores in pairs.by_artist():
        block = Block(pairs, artist, scores, bins)
        for measure in measures:
            measure.add(block)
    return {name: values for measure in measures for name, values in measure.measure().items()}


class Curve:
    """Pair AUC of one question; for all pairs also the equal error rate and recall at fixed false-accept rates."""

    def __init__(self, question: Question, pairs: Pairs, positives: Positives, weights: Array) -> None:
        self._question = question
        self._positives = positives.asked(question)
        self._bins = COARSEST_BINS if question.name else COARSE_BINS
        self._resampled = ResampledMasses(weights, self._bins)
        self._exact = pairs.exact
        self._negatives = [np.empty(0, np.float32)]
        self._histogram: Array = np.zeros(FINE_BINS + 2, dtype=np.int64)
        self._grid: Bins | None = None

    def add(self, block: Block) -> None:
        self._grid = block.bins
        mask = self._question.asks(block.rows, block.later)
        scores, fine = block.scores[:, block.later], block.fine[:, block.later]
        artists = np.broadcast_to(block.later_artists, scores.shape)
        if mask is None:
            scores, fine, artists = scores.ravel(), fine.ravel(), artists.ravel()
        else:
            scores, fine, artists = scores[mask], fine[mask], artists[mask]
        if self._exact:
            self._negatives.append(scores)
        else:
            self._histogram += np.bincount(fine, minlength=FINE_BINS + 2)
        self._resampled.add_negatives(block.artist, artists, block.bins.coarse(fine, self._bins))

    def measure(self) -> Measured:
        assert self._grid is not None
        fine = self._grid.fine(self._positives.scores)
        self._resampled.add_positives(self._positives.artist, self._grid.coarse(fine, self._bins))
        resampled = self._resampled.positive, self._resampled.negative
        if self._exact:
            masses = verification.exact_masses(self._positives.scores, np.concatenate(self._negatives))
        else:
            masses = np.bincount(fine, minlength=FINE_BINS + 2), self._histogram
        if not masses[0].sum() or not masses[1].sum():
            return {}
        name = f"pair_auc_{self._question.name}".rstrip("_")
        value, drawn = _both(verification.pair_auc(*masses), verification.pair_auc(*resampled))
        measured = {name: (value, undefined_of_few(drawn, self._positives.artist))}
        if self._question.name:
            return measured
        measured["eer"] = _both(verification.eer(*masses), verification.eer(*resampled))
        for rate in FALSE_ACCEPT_RATES:
            if masses[1].sum() * rate >= 1:
                values = (verification.recall_at_false_accept(*side, rate) for side in (masses, resampled))
                measured[f"recall_at_far_{rate}"] = _both(*values)
        if not self._exact:
            bound = verification.auc_error_bound(*masses)
            measured["pair_auc_error_bound"] = bound, np.full(len(resampled[0]), np.nan)
        return measured


def _both(exact: Array, resampled: Array) -> tuple[float, Array]:
    """Resamples are measured in coarse bins: move them by what that puts the sample itself off."""
    return float(exact), resampled + (exact - resampled[0])


class Triplets:
    """True triplet accuracy, and every artist's own pair AUC.

    Attributes:
        artist_auc: (A,) the artist's positives against all pairs of one painting by the artist and one by another.
    """

    def __init__(self, pairs: Pairs, weights: Array) -> None:
        self._paintings = pairs.paintings
        self._weights = weights
        artists = len(self._paintings.counts)
        self._anchor_auc_sum = 0.0
        self._won: Array = np.zeros((artists, artists))  # by the anchor's artist and the negative's
        self.artist_auc: Array = np.full(artists, np.nan)

    def add(self, block: Block) -> None:
        own, others = block.scores[:, block.rows], block.against_others(block.scores)
        n = len(own)
        if n < 2 or not others.size:
            return
        not_itself = ~np.eye(n, dtype=bool)
        for negatives, scores, positive in zip(np.sort(others, axis=1), own, not_itself, strict=True):
            self._anchor_auc_sum += float(_share_below(negatives, scores[positive]).mean())
        self.artist_auc[block.artist] = _share_below(np.sort(others, axis=None), own[np.triu_indices(n, 1)]).mean()

        bins = block.bins.coarse(block.fine, COARSE_BINS)
        anchor = np.repeat(np.arange(n) * COARSE_BINS, n - 1)
        own_bins = bins[:, block.rows][not_itself]
        counts = np.bincount(anchor + own_bins, minlength=n * COARSE_BINS).reshape(n, COARSE_BINS)
        above = 1 - (np.cumsum(counts, axis=1) - counts / 2) / (n - 1)
        won = np.take_along_axis(above, bins, axis=1).sum(0)
        won[block.rows] = 0
        self._won[block.artist] = self._paintings.column_sums(won)

    def measure(self) -> Measured:
        counts = self._paintings.counts.astype(float)
        anchors = np.where(counts > 1, counts, 0)
        negatives = (self._weights @ counts)[:, None] - self._weights * counts
        with np.errstate(invalid="ignore", divide="ignore"):
            auc_sums = np.where(anchors > 0, (self._weights @ self._won.T) / negatives, 0)
            accuracy = (self._weights * auc_sums).sum(1) / (self._weights @ anchors)
        return {"triplet_accuracy": _both(np.array(self._anchor_auc_sum / anchors.sum()), accuracy)}


def _share_below(ordered: Array, scores: Array) -> Array:
    """Share of ``ordered`` (M,) that lies below each of ``scores`` (P,), ties half."""
    below: Array = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return below / (2 * len(ordered))
