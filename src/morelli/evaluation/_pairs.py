"""All unordered pairs of one set of paintings, scored once and visited artist by artist."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli.data.artists import artist_keys
from morelli.errors import MorelliError
from morelli.evaluation.normalisation import CohortScorer
from morelli.models.heads import Scorer

EXACT_PAIRS: Final = 10_000_000
"""Up to so many pairs all scores are kept and measures are exact; beyond, negatives go into a histogram."""
_ROWS_AT_ONCE = 256

Array = np.ndarray


class Paintings:
    """The paintings' artists, put in order: paintings sorted by artist, artists by folded name.

    Attributes:
        names: (A,) each artist's name as first written.
        order: (N,) row numbers of the caller's paintings, artist by artist.
        starts: (A + 1,) where each artist begins in ``order``.
    """

    def __init__(self, artists: pd.Series) -> None:
        if artists.isna().any():
            row = int(artists.isna().to_numpy().argmax())
            raise MorelliError(f"Painting row {row} has no artist. Leave such paintings out before measuring.")
        keys = artist_keys(artists)
        codes, folded = pd.factorize(keys, sort=True)
        self.order: Array = np.argsort(codes, kind="stable")
        self.starts: Array = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(folded)))])
        self.names: list[str] = artists.iloc[self.order[self.starts[:-1]]].tolist()

    @property
    def counts(self) -> Array:
        """(A,) paintings of each artist."""
        counts: Array = np.diff(self.starts)
        return counts

    def rows(self, artist: int) -> slice:
        """Where an artist's paintings lie in ``order``."""
        return slice(int(self.starts[artist]), int(self.starts[artist + 1]))

    def sort(self, embeddings: Tensor) -> Tensor:
        """(N, D) in the caller's order → the same as float32 in ``order``."""
        return embeddings.float()[torch.from_numpy(self.order).to(embeddings.device)]

    def column_sums(self, values: Array) -> Array:
        """(…, N) values in ``order`` → (…, A) sums over each artist's paintings."""
        sums: Array = np.add.reduceat(values, self.starts[:-1], axis=-1)
        return sums


class Pairs:
    """Scores of every painting with every other; the embeddings come as :meth:`Paintings.sort` gives them."""

    def __init__(self, embeddings: Tensor, paintings: Paintings, scorer: Scorer) -> None:
        self.paintings = paintings
        self._embeddings = embeddings
        self._scorer = scorer
        n = len(embeddings)
        self.exact = n * (n - 1) // 2 <= EXACT_PAIRS
        self._kept = self._all() if self.exact else None

    def _score(self, rows: slice, columns: slice) -> Array:
        with _measuring(self._scorer):
            return _finite(self._scorer.matrix(self._embeddings[rows], self._embeddings[columns]))

    def scores(self, rows: slice, columns: slice) -> Array:
        """Scores of some paintings with others, rows × columns, in ``order``."""
        return self._score(rows, columns) if self._kept is None else self._kept[rows, columns]

    def _all(self) -> Array:
        n = len(self._embeddings)
        scores = np.empty((n, n), dtype=np.float32)
        for start in range(0, n, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, n)
            block = self._score(slice(start, stop), slice(start, n))
            scores[start:stop, start:] = block
            scores[start:, start:stop] = block.T
            square = block[:, : stop - start]
            scores[start:stop, start:stop] = np.triu(square) + np.triu(square, 1).T
        return scores

    def extremes(self) -> tuple[float, float] | None:
        """The lowest and highest score, a painting's with itself included; None where not all are kept."""
        return None if self._kept is None else (float(self._kept.min()), float(self._kept.max()))

    def within(self, artist: int) -> Array:
        """(n, n) scores among one artist's own paintings."""
        rows = self.paintings.rows(artist)
        return self.scores(rows, rows)

    def by_artist(self) -> Iterator[tuple[int, Array]]:
        """Yield every artist with the (n, N) scores of the artist's paintings against all paintings."""
        starts = self.paintings.starts
        first = 0
        while first < len(starts) - 1:
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + _ROWS_AT_ONCE, side="right")) - 1)
            rows = slice(int(starts[first]), int(starts[last]))
            scores = self.scores(rows, slice(None))
            for artist in range(first, last):
                yield artist, scores[starts[artist] - rows.start : starts[artist + 1] - rows.start]
            first = last


class NormalisedPairs(Pairs):
    """The same pairs with normalised scores; their own scores, and each painting's with the cohort, are taken once."""

    def __init__(self, own: Pairs, scorer: CohortScorer) -> None:
        self._own = own
        with _measuring(scorer):
            self._closeness = scorer.closeness(own._embeddings)
        self._cohort_scorer = scorer
        super().__init__(own._embeddings, own.paintings, scorer)

    def _score(self, rows: slice, columns: slice) -> Array:
        own = torch.from_numpy(self._own.scores(rows, columns)).to(self._closeness.device)
        left, right = self._closeness[rows, None], self._closeness[None, columns]
        return _finite(self._cohort_scorer.normalise(own, left, right))


@contextmanager
def _measuring(scorer: Scorer) -> Iterator[None]:
    """No gradient, and no dropout, whatever the scorer is doing otherwise."""
    training = scorer.training
    scorer.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        scorer.train(training)


def _finite(scores: Tensor) -> Array:
    array: Array = scores.float().cpu().numpy()
    if not np.isfinite(array).all():
        raise MorelliError("The scorer gave NaN or an infinite score; nothing can be measured with it.")
    return array
