"""Scores as the pair measures take them: the positives, bins of score, and one artist's block at a time."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from morelli.evaluation._pairs import Pairs
from morelli.evaluation.pair_subsets import Question

Array = np.ndarray

FINE_BINS: Final = 65_536
COARSE_BINS: Final = 256
COARSEST_BINS: Final = 64


@dataclass(frozen=True)
class Positives:
    """All pairs by one artist.

    Attributes:
        scores, artist: (P,) their scores and whose they are.
        first, second: (P,) which paintings, in the order of the scores.
    """

    scores: Array
    artist: Array
    first: Array
    second: Array

    @classmethod
    def of(cls, pairs: Pairs) -> "Positives":
        """Collect them from all artists with two paintings or more."""
        scores, artists, firsts, seconds = [], [], [], []
        for artist, paintings in enumerate(pairs.paintings.counts):
            first, second = np.triu_indices(paintings, 1)
            start = pairs.paintings.starts[artist]
            scores.append(pairs.within(artist)[first, second])
            artists.append(np.full(len(first), artist))
            firsts.append(first + start)
            seconds.append(second + start)
        return cls(*(np.concatenate(part) for part in (scores, artists, firsts, seconds)))

    def asked(self, question: Question) -> "Positives":
        """Those that a question asks about."""
        mask = question.asks(self.first, self.second, by_pair=True) if question.positives_too else None
        if mask is None:
            return self
        return Positives(self.scores[mask], self.artist[mask], self.first[mask], self.second[mask])


class Bins:
    """Bins of score, lowest first: a fine even grid between the lowest and the highest positive.

    Negatives outside that range fall into a bin of their own at either end, where nothing is lost. The coarse bins,
    in which resamples are measured, are runs of fine ones that hold about equally many positives.
    """

    def __init__(self, positives: Array) -> None:
        self._low, self._high = positives.min(), positives.max()
        self._scale = np.float32(FINE_BINS) / max(self._high - self._low, np.float32(1e-30))
        share = np.cumsum(np.bincount(self.fine(positives), minlength=FINE_BINS + 2)) / len(positives)
        self._coarse = {n: np.minimum((share * n).astype(np.int32), n - 1) for n in (COARSE_BINS, COARSEST_BINS)}

    def fine(self, scores: Array) -> Array:
        """The bin of each score among ``FINE_BINS + 2``."""
        with np.errstate(over="ignore"):
            place = np.clip((scores - self._low) * self._scale, -1, FINE_BINS - 1)
        bins: Array = np.floor(place).astype(np.int32) + 1
        bins[scores > self._high] = FINE_BINS + 1
        return bins

    def coarse(self, fine: Array, bins: int) -> Array:
        """The coarse bin of each fine one, among ``COARSE_BINS`` or ``COARSEST_BINS``."""
        coarse: Array = self._coarse[bins][fine]
        return coarse


class Block:
    """One artist's scores.

    Attributes:
        rows: where the artist's paintings lie.
        scores, fine: (n, N) against all paintings, and their fine bins.
        later: where the paintings of the artists after this one lie; with them every pair is met once.
        later_artists: whose those are.
    """

    def __init__(self, pairs: Pairs, artist: int, scores: Array, bins: Bins) -> None:
        paintings = pairs.paintings
        self.artist = artist
        self.scores = scores
        self.fine = bins.fine(scores)
        self.bins = bins
        self.rows = paintings.rows(artist)
        self.later = slice(self.rows.stop, None)
        self.later_artists = np.repeat(np.arange(artist + 1, len(paintings.counts)), paintings.counts[artist + 1 :])

    def against_others(self, values: Array) -> Array:
        """(n, N) → (n, N − n): without the columns of the artist's own paintings."""
        return np.concatenate([values[:, : self.rows.start], values[:, self.rows.stop :]], axis=1)
