"""What goes into a batch: m paintings of each artist, or the seed project's random tuples; never a painting twice."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions
from torch.utils.data import Sampler

from morelli.errors import MorelliError


class ArtistBalancedSampler(MPerClassSampler):  # type: ignore[misc]
    """PML's ``MPerClassSampler`` behind a guard.

    PML pads an artist with fewer than ``m`` paintings with duplicates, so that a painting becomes its own positive;
    here such artists are left out (``left_out_artists``). PML draws from a global generator; here each epoch's draw
    depends on ``seed`` and ``epoch`` alone. The length is exactly ``batches * batch_size``.

    Args:
        labels: the artist of each painting.
        m: paintings of each artist in a batch, at least 2.
        batch_size: a multiple of ``m``.
        batches: batches in an epoch; by default as many as the usable paintings fill, at least one.
        groups: the group of each artist, by label. A batch is then filled group by group, that of an artist drawn at
            random first, so that its artists are alike and hard to tell apart.
        seed: with ``epoch``, determines every draw.

    Raises:
        MorelliError: ``m``, ``batch_size`` and the artists do not fit; the message names numbers that would.
    """

    labels_to_indices: dict[int, np.ndarray]

    def __init__(
        self,
        labels: Sequence[int],
        *,
        m: int,
        batch_size: int,
        batches: int | None = None,
        groups: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        values, counts = np.unique(np.asarray(labels), return_counts=True)
        usable = values[counts >= m]
        if m < 2:
            raise MorelliError(f"m is {m}: a batch needs at least 2 paintings of an artist to hold a positive pair.")
        if batch_size % m or batch_size < 2 * m:
            fitting = max(2, round(batch_size / m)) * m
            raise MorelliError(
                f"Batch size {batch_size} does not hold whole artists of m={m} paintings, two or more of them. "
                f"A batch size of {fitting} would."
            )
        if len(usable) * m < batch_size:
            raise MorelliError(
                f"A batch of {batch_size} with m={m} needs {batch_size // m} artists with {m} or more paintings; there "
                f"are {len(usable)} of {len(values)}. {_what_fits(counts, m)}"
            )
        self.left_out_artists = [int(value) for value in values[counts < m]]
        self.groups, self.seed, self.epoch = groups, seed, 0
        rows = np.flatnonzero(np.isin(labels, usable))
        length = batch_size * (max(1, len(rows) // batch_size) if batches is None else batches)
        super().__init__(np.asarray(labels)[rows], m, batch_size, length)
        for label, places in self.labels_to_indices.items():
            self.labels_to_indices[label] = rows[places]

    def set_epoch(self, epoch: int) -> None:
        """Choose which epoch's draw the next iteration gives."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.RandomState([self.seed, self.epoch])
        if self.groups is not None:
            return self._group_by_group(np.asarray(self.groups), random)
        self.labels = sorted(self.labels_to_indices)
        generator_before = common_functions.NUMPY_RANDOM
        common_functions.NUMPY_RANDOM = random
        try:
            drawn = [int(index) for index in super().__iter__()]
        finally:
            common_functions.NUMPY_RANDOM = generator_before
        return iter(drawn)

    def _group_by_group(self, groups: np.ndarray, random: np.random.RandomState) -> Iterator[int]:
        artists = np.array(sorted(self.labels_to_indices))
        for _ in range(len(self) // self.batch_size):
            random.shuffle(artists)
            _, first, own = np.unique(groups[artists], return_index=True, return_inverse=True)
            together = artists[np.argsort(first[own], kind="stable")]
            for artist in together[: self.batch_size // self.m_per_class]:
                yield from random.choice(self.labels_to_indices[artist], self.m_per_class, replace=False).tolist()


def _what_fits(counts: np.ndarray, m: int) -> str:
    for smaller_m in range(m, 1, -1):
        artists = int((counts >= smaller_m).sum())
        if artists >= 2:
            return f"m={smaller_m} with a batch size of {artists * smaller_m} or less would fit."
    return "No m fits: fewer than two artists have two paintings."


class RandomTupleSampler(Sampler[int]):
    """The seed project's draw: every painting once an epoch as an anchor, with random partners, laid end to end.

    ``triplets``: anchor, positive, negative. ``pairs``: anchor and partner, of the same artist for every second pair.
    Every other painting of the anchor's artist is as likely to be the positive, and every painting of another artist to
    be the negative. Artists with one painting are left out, since they have no positive.
    """

    def __init__(self, labels: Sequence[int], *, kind: Literal["triplets", "pairs"], seed: int = 0) -> None:
        values, counts = np.unique(np.asarray(labels), return_counts=True)
        self.left_out_artists = [int(value) for value in values[counts < 2]]
        self.anchors = np.flatnonzero(~np.isin(labels, self.left_out_artists))
        if len(values) - len(self.left_out_artists) < 2:
            raise MorelliError("Random tuples need at least two artists with two or more paintings each.")
        own = np.asarray(labels)[self.anchors]
        self._sorted = self.anchors[np.argsort(own, kind="stable")]
        sizes = counts[counts > 1]
        self._start, self._count = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
        self.kind, self.seed, self.epoch = kind, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose which epoch's draw the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.anchors) * (3 if self.kind == "triplets" else 2)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        place = random.permutation(len(self._sorted))  # of each anchor among the paintings in the artists' order
        start, count = self._start[place], self._count[place]
        positive = start + (place - start + 1 + random.integers(count - 1)) % count
        other = random.integers(len(place) - count)
        negative = np.where(other < start, other, other + count)  # steps over the anchor's own artist
        if self.kind == "triplets":
            places = np.stack([place, positive, negative], axis=1)
        else:
            places = np.stack([place, np.where(np.arange(len(place)) % 2, positive, negative)], axis=1)
        return iter(self._sorted[places].ravel().tolist())
