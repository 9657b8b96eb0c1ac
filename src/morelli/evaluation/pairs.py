"""Scores of all unordered pairs of one set of paintings, visited artist by artist."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli._progress import progress_bar
from morelli.data.artists import artist_keys
from morelli.errors import MorelliError
from morelli.evaluation.normalisation import NEAREST, CohortScorer, NormalisedScorer
from morelli.evaluation.pair_subsets import PairSubset
from morelli.models.heads import Scorer

EXACT_PAIRS: Final = 10_000_000
"""Up to so many pairs metrics are exact; beyond, negatives go into a histogram."""
KEPT_SCORES: Final = 2**28
"""Up to so many (1 GB, 16,384 paintings) all scores are kept, and every pair is scored once; beyond, for each pass."""
FINE_BINS: Final = 65_536
COARSE_BINS: Final = 512
_ROWS_AT_ONCE = 256

Array = np.ndarray


class Paintings:
    """Paintings in order: sorted by artist, artists by folded name.

    Attributes:
        names: (A,) each artist's name as first written.
        counts: (A,) paintings of each artist.
        codes: (N,) the artist of each painting, in ``order``.
        order: (N,) row numbers of the caller's paintings, artist by artist.
        starts: (A + 1,) where each artist begins in ``order``.
    """

    def __init__(self, artists: pd.Series) -> None:
        if artists.isna().any():
            row = int(artists.isna().to_numpy().argmax())
            raise MorelliError(f"Painting row {row} has no artist. Leave such paintings out before measuring.")
        codes, folded = pd.factorize(artist_keys(artists), sort=True)
        self.order: Array = np.argsort(codes, kind="stable")
        self.codes: Array = codes[self.order]
        self.counts: Array = np.bincount(codes, minlength=len(folded))
        self.starts: Array = np.concatenate([[0], np.cumsum(self.counts)])
        self.names: list[str] = artists.iloc[self.order[self.starts[:-1]]].tolist()

    def rows(self, artist: int) -> slice:
        """Where an artist's paintings lie in ``order``."""
        return slice(int(self.starts[artist]), int(self.starts[artist + 1]))

    def sort(self, embeddings: Tensor) -> Tensor:
        """(N, D) in the caller's order → the same as float32 in ``order``."""
        return embeddings.float()[torch.from_numpy(self.order).to(embeddings.device)]

    def sums(self, values: Array) -> Array:
        """(N,) values in ``order`` → (A,) sums over each artist's paintings."""
        return np.bincount(self.codes, values, minlength=len(self.counts))


class ScoreBins:
    """Bins of score, lowest first: a fine even grid between the lowest and the highest positive.

    Negatives outside that range fall into a bin of their own at either end, where nothing is lost. ``coarse`` (fine
    bins,) puts them into runs that hold about equally many positives; in these, metrics are taken without each artist.
    """

    def __init__(self, positives: Array) -> None:
        self._low, self._high = positives.min(), positives.max()
        self._scale = np.float32(FINE_BINS) / max(self._high - self._low, np.float32(1e-30))
        counts = np.bincount(self(positives), minlength=FINE_BINS + 2)
        share = (np.cumsum(counts) - counts / 2) / len(positives)  # few positives have a bin each, and so have the gaps
        self.coarse = np.minimum((share * COARSE_BINS).astype(np.int32), COARSE_BINS - 1)

    def __call__(self, scores: Array) -> Array:
        """The bin of each score among ``FINE_BINS + 2``."""
        with np.errstate(over="ignore"):
            place = np.clip((scores - self._low) * self._scale, -1, FINE_BINS - 1)
        bins: Array = np.floor(place).astype(np.int32) + 1
        bins[scores > self._high] = FINE_BINS + 1
        return bins


@dataclass(frozen=True)
class Block:
    """One artist's scores.

    Attributes:
        artist, rows: who, and where the artist's paintings lie.
        scores: (n, N) with all paintings.
        columns: (N − n,) where the other artists' paintings lie.
        bins: of all scores.
    """

    artist: int
    rows: slice
    scores: Array
    columns: Array
    bins: ScoreBins

    @cached_property
    def fine(self) -> Array:
        """(n, N − n) the fine bins of ``others``."""
        return self.bins(self.others)

    @cached_property
    def others(self) -> Array:
        """(n, N − n) scores with other artists' paintings."""
        return self.scores[:, self.columns]

    @property
    def later(self) -> slice:
        """The columns of ``others`` that belong to artists after this one; with them every pair is met once."""
        return slice(self.rows.start, None)

    @cached_property
    def positives(self) -> Array:
        """(n·(n − 1)/2,) scores of the artist's own pairs."""
        return self.scores[:, self.rows][np.triu_indices(len(self.scores), 1)]

    def positives_of(self, subset: PairSubset) -> Array:
        """(P,) those of ``positives`` that belong to a subset."""
        mask = subset.between(self.rows, self.rows) if subset.positives_too else None
        return self.positives if mask is None else self.positives[mask[np.triu_indices(len(mask), 1)]]

    def later_of(self, subset: PairSubset) -> Array:
        """(M,) the ``later`` of ``others`` that belong to a subset."""
        later, mask = self.others[:, self.later], subset.between(self.rows, self.columns[self.later])
        return (later if mask is None else later[mask]).ravel()


class Pairs:
    """Scores of every painting with every other; the embeddings come as :meth:`Paintings.sort` gives them."""

    def __init__(self, embeddings: Tensor, paintings: Paintings, scorer: Scorer) -> None:
        self.paintings, self.embeddings, self.scorer = paintings, embeddings, scorer
        n = len(embeddings)
        self.exact = n * (n - 1) // 2 <= EXACT_PAIRS
        self._kept: Array | None = None
        if n * n <= KEPT_SCORES:
            self._kept = self._all()

    def scores(self, rows: slice, columns: slice) -> Array:
        """Scores of some paintings with others, rows × columns, in ``order``."""
        if self._kept is not None:
            return self._kept[rows, columns]
        with _measuring(self.scorer):
            return _finite(self.scorer.matrix(self.embeddings[rows], self.embeddings[columns]))

    def _all(self) -> Array:
        n = len(self.embeddings)
        scores = np.empty((n, n), dtype=np.float32)
        with progress_bar(hidden=n <= _ROWS_AT_ONCE) as progress:
            for start in progress.track(range(0, n, _ROWS_AT_ONCE), description="Scoring pairs"):
                stop = min(start + _ROWS_AT_ONCE, n)
                block = self.scores(slice(start, stop), slice(start, n))
                scores[start:stop, start:] = block
                scores[start:, start:stop] = block.T
                square = block[:, : stop - start]
                scores[start:stop, start:stop] = np.triu(square) + np.triu(square, 1).T
        return scores

    @property
    def is_kept(self) -> bool:
        """Whether all scores are kept."""
        return self._kept is not None

    def extremes(self) -> tuple[float, float] | None:
        """The lowest and highest score, a painting's with itself included; None where not all are kept."""
        if not self.is_kept:
            return None
        starts = range(0, len(self.embeddings), _ROWS_AT_ONCE)
        blocks = (self.scores(slice(start, start + _ROWS_AT_ONCE), slice(None)) for start in starts)
        lowest, highest = zip(*((block.min(), block.max()) for block in blocks), strict=True)
        return float(min(lowest)), float(max(highest))

    @cached_property
    def positives(self) -> Array:
        """(P,) the scores of all pairs by one artist."""
        rows = [self.paintings.rows(artist) for artist, count in enumerate(self.paintings.counts) if count > 1]
        squares = (self.scores(one, one) for one in rows)
        return np.concatenate([square[np.triu_indices(len(square), 1)] for square in squares])

    @cached_property
    def bins(self) -> ScoreBins:
        """Bins that suit these scores."""
        return ScoreBins(self.positives)

    def by_artist(self) -> Iterator[Block]:
        """Yield every artist's block, several artists scored at once."""
        starts, everywhere = self.paintings.starts, np.arange(self.paintings.starts[-1])
        first = 0
        while first < len(starts) - 1:
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + _ROWS_AT_ONCE, side="right")) - 1)
            together = slice(int(starts[first]), int(starts[last]))
            scores = self.scores(together, slice(None))
            for artist in range(first, last):
                rows = self.paintings.rows(artist)
                own = scores[rows.start - together.start : rows.stop - together.start]
                yield Block(artist, rows, own, np.delete(everywhere, rows), self.bins)
            first = last

    def of(self, subset: PairSubset) -> tuple[Array, Array]:
        """(P,) and (M,) the scores of a subset's pairs by the same and by different artists, each pair once."""
        parts = [(block.positives_of(subset), block.later_of(subset)) for block in self.by_artist()]
        positives, negatives = zip(*parts, strict=True)
        return np.concatenate(positives), np.concatenate(negatives)

    def within(self, groups: Sequence[Array]) -> tuple[Array, Array]:
        """As :meth:`of`, of the pairs within each of some groups, which are rows of the caller's paintings."""
        group = np.full(len(self.embeddings), np.nan)
        for number, rows in enumerate(groups):
            group[rows] = number
        return self.of(PairSubset(values=group[self.paintings.order], positives_too=True))


class NormalisedPairs(Pairs):
    """The same pairs with normalised scores, made from the network's own whenever they are asked for.

    ``closeness`` (N, 2) is each painting's, as :meth:`NormalisedScorer.closeness` gives it.
    """

    def __init__(self, own: Pairs, scorer: NormalisedScorer, closeness: Tensor) -> None:
        self.paintings, self.embeddings, self.scorer, self.exact = own.paintings, own.embeddings, scorer, own.exact
        self.own, self._closeness, self._normalise = own, closeness, scorer.normalise

    @property
    def is_kept(self) -> bool:
        return self.own.is_kept

    def scores(self, rows: slice, columns: slice) -> Array:
        return self._normalised(self.own.scores(rows, columns), rows, columns)

    def of_block(self, block: Block) -> Block:
        """An artist's block of the network's own scores, normalised."""
        scores = self._normalised(block.scores, block.rows, slice(None))
        return Block(block.artist, block.rows, scores, block.columns, self.bins)

    def _normalised(self, own: Array, rows: slice, columns: slice) -> Array:
        left, right = self._closeness[rows, None], self._closeness[None, columns]
        return _finite(self._normalise(torch.from_numpy(own).to(left.device), left, right))


class ScoredPairs:
    """The pairs of one set of embeddings by any scorers, in which nothing is scored twice.

    Args:
        embeddings: (N, D) in the caller's order.
        paintings: theirs.
    """

    def __init__(self, embeddings: Tensor, paintings: Paintings) -> None:
        self.paintings, self.embeddings = paintings, paintings.sort(embeddings)
        self._by: dict[Scorer, Pairs] = {}
        self._highest: list[tuple[CohortScorer, Tensor]] = []

    def by(self, scorer: Scorer) -> Pairs:
        """The pairs by one scorer."""
        if isinstance(scorer, NormalisedScorer):
            return self.normalised_by(scorer)
        if scorer not in self._by:
            self._by[scorer] = Pairs(self.embeddings, self.paintings, scorer)
        return self._by[scorer]

    def normalised_by(self, scorer: NormalisedScorer) -> NormalisedPairs:
        """The pairs by a scorer that normalises another one's scores."""
        if isinstance(scorer, CohortScorer):
            closeness = scorer.closeness_of(self._highest_with(scorer))
        else:
            with _measuring(scorer):
                closeness = scorer.closeness(self.embeddings)
        return NormalisedPairs(self.by(scorer.base), scorer, closeness)

    def _highest_with(self, scorer: CohortScorer) -> Tensor:
        """Every painting's highest scores with a cohort, at least ``k`` of them."""
        for other, highest in self._highest:
            if other.base is scorer.base and highest.shape[1] >= scorer.k and torch.equal(other.cohort, scorer.cohort):
                return highest
        with _measuring(scorer):
            self._highest.append((scorer, scorer.highest(self.embeddings, max(scorer.k, *NEAREST.values()))))
        return self._highest[-1][1]


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
