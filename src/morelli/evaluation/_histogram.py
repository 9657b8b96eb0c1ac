"""How the scores of same and of different hands lie: a small histogram, for ROC curves and plots of both."""

from typing import Final

import numpy as np
import pandas as pd

from morelli.evaluation._blocks import Block, Positives
from morelli.evaluation._pairs import Pairs
from morelli.evaluation.pair_metrics import Measured

Array = np.ndarray

HISTOGRAM_BINS: Final = 200


class ScoreHistogram:
    """Counts of positives and negatives in even bins of score."""

    def __init__(self, pairs: Pairs, positives: Positives) -> None:
        low, high = pairs.extremes() or _widened(positives.scores)
        self._low, self._width = low, max((high - low) / HISTOGRAM_BINS, 1e-30)
        self._same = self._counts(positives.scores)
        self._different: Array = np.zeros(HISTOGRAM_BINS, dtype=np.int64)

    def add(self, block: Block) -> None:
        self._different += self._counts(block.scores[:, block.later].ravel())

    def measure(self) -> Measured:
        return {}

    def table(self) -> pd.DataFrame:
        """A row a bin, lowest first: the ``score`` in its middle, and how many ``same`` and ``different`` pairs it has.

        Empty bins at either end are left out. Where not all scores are kept, the last bin at each end also holds what
        lies beyond it.
        """
        middles = self._low + (np.arange(HISTOGRAM_BINS) + 0.5) * self._width
        table = pd.DataFrame({"score": middles, "same": self._same, "different": self._different})
        held = np.flatnonzero(self._same + self._different)
        return table[held[0] : held[-1] + 1].reset_index(drop=True)

    def _counts(self, scores: Array) -> Array:
        place = np.clip((scores - self._low) / self._width, 0, HISTOGRAM_BINS - 1).astype(np.int64)
        return np.bincount(place, minlength=HISTOGRAM_BINS)


def _widened(scores: Array) -> tuple[float, float]:
    """The range of these scores with half of it again at either end."""
    low, high = float(scores.min()), float(scores.max())
    return low - (high - low) / 2, high + (high - low) / 2
