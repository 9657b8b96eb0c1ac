"""Masses by bin of score for every resample at once."""

import numpy as np

Array = np.ndarray

_PRODUCT_NUMBERS = 1 << 24  # so large may one product be: few large ones are much quicker than many small ones


class ResampledMasses:
    """Masses of positives and negatives by bin of score, for every resample, gathered artist by artist.

    Args:
        weights: (R, A) how often each resample drew each artist.
        bins: how many bins of score.
    """

    def __init__(self, weights: Array, bins: int) -> None:
        self._weights = weights.astype(np.float32)  # whole numbers: exact up to 2²⁴
        self._bins = bins
        self._together = max(1, min(weights.shape[1], _PRODUCT_NUMBERS // (bins * max(weights.shape))))
        self._waiting: list[tuple[int, Array]] = []
        self._negative: Array = np.zeros((len(weights), bins))
        self.positive: Array = np.zeros((len(weights), bins))

    def add_positives(self, artist: Array, bin_of: Array, values: Array | None = None) -> None:
        """Add all positives: (P,) whose, in which bin, and how much each counts (1 if not given)."""
        artists = self._weights.shape[1]
        counts = np.bincount(artist * self._bins + bin_of, values, minlength=artists * self._bins)
        self.positive += self._weights @ counts.reshape(artists, self._bins).astype(np.float32)

    def add_negatives(self, artist: int, others: Array, bin_of: Array, values: Array | None = None) -> None:
        """Add one artist's pairs with other artists: (M,) with whom, in which bin, and how much each counts."""
        artists = self._weights.shape[1]
        counts = np.bincount(others * self._bins + bin_of, values, minlength=artists * self._bins)
        self._waiting.append((artist, counts.reshape(artists, self._bins).astype(np.float32)))
        if len(self._waiting) == self._together:
            self._multiply()

    @property
    def negative(self) -> Array:
        """(R, bins) Σ w_a·w_b over the pairs added so far."""
        if self._waiting:
            self._multiply()
        return self._negative

    def _multiply(self) -> None:
        artists = [artist for artist, _ in self._waiting]
        counts = np.stack([counts for _, counts in self._waiting], axis=1)
        drawn = (self._weights @ counts.reshape(len(counts), -1)).reshape(-1, len(artists), self._bins)
        self._negative += np.einsum("rg,rgb->rb", self._weights[:, artists], drawn, dtype=float)
        self._waiting = []
