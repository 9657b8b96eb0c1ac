"""Samplers: m paintings of each artist, or the seed project's random tuples; never a painting twice in a batch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import Tensor
from torch.utils.data import Sampler

from morelli.errors import MorelliError

Labels = Iterable[Any] | Tensor | np.ndarray
"""The artist of each painting, as numbers, names, or anything else that can be told apart."""


class _DrawnAnew(Sampler[int]):
    """A sampler whose every pass is another draw, decided by ``seed`` and ``epoch`` alone.

    Each pass leaves the next one another epoch; :meth:`set_epoch` goes back to any, as Accelerate and Lightning do.
    """

    seed: int
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose which epoch's draw the next pass gives; those after it go on from there."""
        self.epoch = epoch

    def _seeds_of_pass(self) -> list[int]:
        self.epoch += 1
        return [self.seed, self.epoch - 1]


class ArtistBalancedSampler(MPerClassSampler, _DrawnAnew):  # type: ignore[misc]
    """PML's ``MPerClassSampler`` behind a guard, with the same arguments in the same places.

    PML pads an artist with fewer than ``m`` paintings with duplicates, so that a painting becomes its own positive;
    here such artists are left out (``left_out_artists``). PML draws from a global generator; here each pass is another
    draw that depends on ``seed`` and the pass's number alone (:meth:`set_epoch`). The length is exactly what is drawn.

    Args:
        labels: the artist of each painting: numbers, names, a tensor, an array or a column of a table.
        m: paintings of each artist in a batch, at least 2.
        batch_size: a multiple of ``m``; by default all artists fill a batch.
        length_before_new_iter: paintings in an epoch at most, a whole number of batches; by default as many as the
            usable paintings fill, at least one batch.
        batches: batches in an epoch, in place of ``length_before_new_iter``.
        groups: the group of each artist, by label. A batch is then filled group by group, that of an artist drawn at
            random first, so that its artists are alike and hard to tell apart.
        seed: with the epoch, determines every draw.

    Raises:
        MorelliError: ``m``, ``batch_size`` and the artists do not fit; the message names numbers that would. Or a label
            is missing.
    """

    labels: list[Any]
    labels_to_indices: dict[Any, np.ndarray]

    def __init__(
        self,
        labels: Labels,
        m: int,
        batch_size: int | None = None,
        length_before_new_iter: int | None = None,
        *,
        batches: int | None = None,
        groups: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        own, values, counts = _by_artist(labels)
        usable = int((counts >= m).sum())
        size = max(2, usable) * m if batch_size is None else batch_size
        check_batch(m, size)
        if usable * m < size:
            raise MorelliError(
                f"A batch of {size} with m={m} needs {size // m} artists with {m} or more paintings; there "
                f"are {usable} of {len(values)}. {_what_fits(counts, m)}"
            )
        rows = np.flatnonzero(counts[own] >= m)
        length = size * (max(1, len(rows) // size) if batches is None else batches)
        if length_before_new_iter is not None:
            if batches is not None:
                raise MorelliError("Give batches or length_before_new_iter, not both: each is the length of an epoch.")
            if (wanted := length_before_new_iter) < size:
                raise MorelliError(
                    f"length_before_new_iter is {wanted}, less than a batch of {size}. Set it to {size} or more."
                )
            length = wanted - wanted % size
        super().__init__(own[rows], m, size, length)
        self.left_out_artists = [value for value, count in zip(values, counts, strict=True) if count < m]
        self.labels_to_indices = {values[own]: rows[self.labels_to_indices[own]] for own in sorted(self.labels)}
        self.labels = list(self.labels_to_indices)
        self.groups, self.seed = groups, seed

    def __iter__(self) -> Iterator[int]:
        return self._draw(np.random.RandomState(self._seeds_of_pass()))

    def _draw(self, random: np.random.RandomState) -> Iterator[int]:
        drawn = artists = np.arange(len(self.labels))
        groups = None if self.groups is None else np.array([self.groups[label] for label in self.labels])
        for _ in range(len(self) // self.batch_size):
            random.shuffle(artists)
            if groups is not None:
                _, first, own = np.unique(groups[artists], return_index=True, return_inverse=True)
                drawn = artists[np.argsort(first[own], kind="stable")]
            for artist in drawn[: self.batch_size // self.m_per_class]:
                rows = self.labels_to_indices[self.labels[artist]]
                yield from random.choice(rows, self.m_per_class, replace=False).tolist()


def _by_artist(labels: Labels) -> tuple[np.ndarray, list[Any], np.ndarray]:
    """The number of each painting's artist; the artists in the order of their labels; how many paintings each has."""
    if isinstance(labels, Tensor):
        labels = labels.cpu().numpy()
    elif not isinstance(labels, np.ndarray):
        items = [label.item() if isinstance(label, Tensor) else label for label in labels]
        labels = pd.Series(items, dtype=object).to_numpy()  # numpy itself would make 1 and "1" one artist
    if labels.ndim != 1:
        raise MorelliError(f"Labels have the shape {tuple(labels.shape)}, but a sampler needs one label a painting.")
    own, values = pd.factorize(labels)
    if (own < 0).any():
        raise MorelliError(f"The label of painting {int(np.argmin(own))} is missing. Leave that painting out.")
    try:
        order = np.argsort(values, kind="stable")
    except TypeError:  # labels of several types have no order but that in which they come
        order = np.arange(len(values))
    own = np.argsort(order)[own]
    return own, values[order].tolist(), np.bincount(own, minlength=len(values))


def check_batch(m: int, batch_size: int) -> None:
    """Check that a batch can hold ``m`` paintings of each of two artists or more, whoever they are."""
    if m < 2:
        raise MorelliError(f"m is {m}: a batch needs at least 2 paintings of an artist to hold a positive pair.")
    if batch_size % m or batch_size < 2 * m:
        fitting = max(2, round(batch_size / m)) * m
        raise MorelliError(
            f"Batch size {batch_size} does not hold whole artists of m={m} paintings, two or more of them. "
            f"A batch size of {fitting} would."
        )


def fit_batch(labels: Sequence[Labels], m: int, batch_size: int, *, multiple_of: int = 1) -> tuple[int, int]:
    """The ``m`` and batch size nearest to what is asked for that the artists of all folds can fill.

    What can be had stays as it is. Else ``m`` is lowered until half of the artists who have a pair take part, and the
    batch holds as many of them as the fold with fewest has. Where there are not two such artists nothing fits, and the
    numbers come back as they are.
    """
    counts = [_by_artist(of_fold)[2] for of_fold in labels]
    if all((of_fold >= m).sum() * m >= batch_size for of_fold in counts):
        return m, batch_size
    fitting = [_fitting(of_fold, m) for of_fold in counts]
    if min(fitting) < 2:
        return m, batch_size
    m = min(fitting)
    artists = min(batch_size // m, *(int((of_fold >= m).sum()) for of_fold in counts))
    while artists > 2 and artists * m % multiple_of:
        artists -= 1
    return m, artists * m


def _fitting(counts: np.ndarray, m: int) -> int:
    """The highest m, up to that asked for, that half of the artists with a pair have paintings for; 0 if none."""
    fewest = max(2, (counts > 1).sum() / 2)
    return next((lower for lower in range(m, 1, -1) if (counts >= lower).sum() >= fewest), 0)


def _what_fits(counts: np.ndarray, m: int) -> str:
    if not (fitting := _fitting(counts, m)):
        return "No m fits: fewer than two artists have two paintings."
    return f"m={fitting} with a batch size of {int((counts >= fitting).sum()) * fitting} or less would fit."


class RandomTupleSampler(_DrawnAnew):
    """The seed project's draw: every painting once an epoch as an anchor, with random partners, laid end to end.

    ``triplets``: anchor, positive, negative. ``pairs``: anchor and partner, of the same artist for every second pair.
    Every other painting of the anchor's artist is as likely to be the positive, and every painting of another artist to
    be the negative. Artists with one painting are left out, since they have no positive. Each pass is another draw.
    """

    def __init__(self, labels: Labels, *, kind: Literal["triplets", "pairs"], seed: int = 0) -> None:
        own, values, counts = _by_artist(labels)
        if (counts > 1).sum() < 2:
            raise MorelliError("Random tuples need at least two artists with two or more paintings each.")
        self.left_out_artists = [value for value, count in zip(values, counts, strict=True) if count < 2]
        self.anchors = np.flatnonzero(counts[own] > 1)
        self._sorted = self.anchors[np.argsort(own[self.anchors], kind="stable")]
        sizes = counts[counts > 1]
        self._start, self._count = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
        self.kind, self.seed = kind, seed

    def __len__(self) -> int:
        return len(self.anchors) * (3 if self.kind == "triplets" else 2)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng(self._seeds_of_pass())
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
