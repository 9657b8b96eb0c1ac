"""What the scores mean once a threshold or a probability is chosen: error rates, Brier score, calibration error."""

from typing import Final

import numpy as np
import pandas as pd

from morelli.evaluation._blocks import Block, Positives
from morelli.evaluation._pairs import Pairs
from morelli.evaluation._resampled import ResampledMasses
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.pair_metrics import Measured
from morelli.evaluation.resampling import painting_mean, pair_sum

Array = np.ndarray

RELIABILITY_BINS: Final = 15


class Accepted:
    """Error rates at thresholds that were chosen elsewhere.

    Args:
        thresholds: by name; each gives ``realised_far_<name>`` and ``realised_recall_<name>``, and the one called
            ``balanced`` the measure ``balanced_accuracy`` too.
    """

    def __init__(self, pairs: Pairs, positives: Positives, weights: Array, thresholds: dict[str, float]) -> None:
        self._paintings = pairs.paintings
        self._positives = positives
        self._weights = weights
        self._thresholds = thresholds
        artists = len(self._paintings.counts)
        self._accepted: dict[str, Array] = {name: np.zeros((artists, artists)) for name in thresholds}

    def add(self, block: Block) -> None:
        for name, threshold in self._thresholds.items():
            accepted = (block.scores >= threshold).sum(0)
            accepted[: block.rows.stop] = 0
            self._accepted[name][block.artist] = self._paintings.column_sums(accepted)

    def measure(self) -> Measured:
        counts = self._paintings.counts.astype(float)
        positives = self._by_artist(None)
        negatives = pair_sum(self._weights, np.triu(np.outer(counts, counts), 1))
        measured: Measured = {}
        for name, threshold in self._thresholds.items():
            recall = painting_mean(self._weights, self._by_artist(threshold), positives)
            with np.errstate(invalid="ignore"):
                false_accept = pair_sum(self._weights, self._accepted[name]) / negatives
            values = {f"realised_far_{name}": false_accept, f"realised_recall_{name}": recall}
            if name == "balanced":
                values["balanced_accuracy"] = (recall + 1 - false_accept) / 2
            measured |= {key: (float(value[0]), value) for key, value in values.items()}
        return measured

    def _by_artist(self, threshold: float | None) -> Array:
        accepted = None if threshold is None else (self._positives.scores >= threshold).astype(float)
        return np.bincount(self._positives.artist, accepted, minlength=len(self._paintings.counts)).astype(float)


class Probabilities:
    """Brier score, expected calibration error and the reliability diagram, at a prior of one half.

    Positives and negatives weigh the same, so that the measures do not change with the number of artists.
    """

    def __init__(self, pairs: Pairs, positives: Positives, weights: Array, calibration: Calibration) -> None:
        self._weights = weights
        self._calibration = calibration
        self._paintings = pairs.paintings
        self._positives = positives
        artists = len(self._paintings.counts)
        self._squares: Array = np.zeros((artists, artists))  # of what negatives are off
        self._counts = ResampledMasses(weights, RELIABILITY_BINS)
        self._sums = ResampledMasses(weights, RELIABILITY_BINS)

    def add(self, block: Block) -> None:
        if not len(block.later_artists):
            return
        probability = self._calibration.probability(block.scores[:, block.later])
        squares = np.zeros(block.scores.shape[1])
        squares[block.later] = np.square(probability).sum(0)
        self._squares[block.artist] = self._paintings.column_sums(squares)
        others = np.broadcast_to(block.later_artists, probability.shape).ravel()
        bins, flat = _reliability_bin(probability).ravel(), probability.ravel()
        self._counts.add_negatives(block.artist, others, bins)
        self._sums.add_negatives(block.artist, others, bins, flat)

    def measure(self) -> Measured:
        artists = len(self._paintings.counts)
        mine, probability = self._positives.artist, self._calibration.probability(self._positives.scores)
        self._counts.add_positives(mine, _reliability_bin(probability))
        self._sums.add_positives(mine, _reliability_bin(probability), probability)
        off = np.bincount(mine, np.square(1 - probability), minlength=artists)
        positives, negatives = (side.sum(1) for side in (self._counts.positive, self._counts.negative))
        with np.errstate(invalid="ignore", divide="ignore"):
            brier = (self._weights @ off) / positives / 2 + pair_sum(self._weights, self._squares) / negatives / 2
        _, predicted, observed = self._diagram()
        ece = np.abs(observed - predicted).sum(1)
        return {"brier": (float(brier[0]), brier), "ece": (float(ece[0]), ece)}

    def _diagram(self) -> tuple[Array, Array, Array]:
        """(R, bins) the share of pairs in each bin, and the parts of it that are predicted and observed same-hand."""
        with np.errstate(invalid="ignore", divide="ignore"):
            to_share = [0.5 / side.sum(1, keepdims=True) for side in (self._counts.positive, self._counts.negative)]
            observed = self._counts.positive * to_share[0]
            mass = observed + self._counts.negative * to_share[1]
            return mass, self._sums.positive * to_share[0] + self._sums.negative * to_share[1], observed

    def reliability(self) -> pd.DataFrame:
        """A row a bin that holds pairs: mean predicted ``probability``, observed ``share``, and its ``mass`` of all."""
        mass, predicted, observed = (side[0] for side in self._diagram())
        some = mass > 0
        return pd.DataFrame(
            {"probability": predicted[some] / mass[some], "share": observed[some] / mass[some], "mass": mass[some]}
        )


def _reliability_bin(probability: Array) -> Array:
    bins: Array = np.minimum((probability * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    return bins
