"""The competition's list of pairs, ``index,image1,image2``: its rows, its order, and pairs that stand twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morelli.competition.csv_blocks import INTEGER, NAME, Block, mapped_blocks, parse
from morelli.errors import MorelliError

Array = np.ndarray
COLUMNS: Final = ("index", "image1", "image2")


@dataclass(frozen=True)
class PairBlock:
    """Consecutive pairs: ``index`` (P,) as in the file, ``first`` and ``second`` (P,) numbers of images."""

    index: pa.Array
    first: Array
    second: Array


def parse_pairs(block: Block, numbers: Mapping[str, int]) -> PairBlock:
    """Turn image names into numbers. An image ``123.jpg`` has the id ``123``.

    Raises:
        MorelliError: a malformed line, an image whose id is not in ``numbers``, or a picture paired with itself.
    """
    index, *names = parse(block, dict(zip(COLUMNS, (INTEGER, NAME, NAME), strict=True)))
    first, second = (_numbered(block, column, numbers) for column in names)
    if (same := first == second).any():
        row = int(same.argmax())
        raise MorelliError(f"{block.at(row)}: pairs the picture {names[0][row].as_py()} with itself. Remove the line.")
    return PairBlock(index, first, second)


def _numbered(block: Block, names: pa.DictionaryArray, numbers: Mapping[str, int]) -> Array:
    known = [numbers.get(name.rpartition(".")[0] or name, -1) for name in names.dictionary.to_pylist()]
    rows: Array = np.array(known, dtype=np.int32)[names.indices.to_numpy()]
    if -1 in known:
        unknown = int((rows < 0).argmax())
        more = known.count(-1) - 1
        raise MorelliError(
            f"{block.at(unknown)}: no picture has the id of {names[unknown].as_py()}"
            f"{f', nor of {more} other names near it' if more else ''}. The prepared folder must hold every picture "
            "that the pairs name: see its left_out.csv, or prepare it again without --limit and --only-artists."
        )
    return rows


class PairOrder:
    """The order of the pairs, block after block; memory grows with the images, never with the pairs.

    Images are numbered as they first appear. A list that goes through its groups one after the other, and through each
    as ``itertools.combinations`` does, then has strictly ascending pairs of numbers: no pair can stand twice, and only
    the last needs to be remembered.

    Attributes:
        pairs: how many have passed.
        ascending: whether all of them came in that order.
    """

    def __init__(self, images: int) -> None:
        self.pairs = 0
        self.ascending = True
        self._appearance = np.full(images, -1, dtype=np.int64)
        self._appeared = 0
        self._last = -1
        self._group = np.arange(images, dtype=np.int32)

    def add(self, first: Array, second: Array) -> None:
        """Take note of the next pairs."""
        if self._appearance[first].min() < 0 or self._appearance[second].min() < 0:
            self._number(first, second)
        keys = pair_keys(self._appearance[first], self._appearance[second], len(self._appearance))
        self.ascending = self.ascending and int(keys[0]) > self._last and bool((keys[1:] > keys[:-1]).all())
        self._last = int(keys[-1])
        self.pairs += len(keys)
        self._join(self._group[first], self._group[second])

    @property
    def images(self) -> int:
        """How many images have appeared."""
        return self._appeared

    @property
    def groups(self) -> int | None:
        """How many groups the list holds all pairs of, in any order; None if it is no such list or pairs repeat."""
        sizes = np.bincount(self._group[self._appearance >= 0])
        complete = int((sizes * (sizes - 1) // 2).sum()) == self.pairs
        return int((sizes > 0).sum()) if complete else None

    def _number(self, first: Array, second: Array) -> None:
        images = np.stack([first, second], axis=1).ravel()
        new, places = np.unique(images[self._appearance[images] < 0], return_index=True)
        self._appearance[new[np.argsort(places)]] = self._appeared + np.arange(len(new))
        self._appeared += len(new)

    def _join(self, left: Array, right: Array) -> None:
        apart = left != right
        if apart.any():
            n = len(self._group)
            links = coo_array((np.ones(int(apart.sum()), dtype=bool), (left[apart], right[apart])), shape=(n, n))
            _, joined = connected_components(links, directed=False)
            self._group = joined[self._group]


def pair_keys(first: Array, second: Array, images: int) -> Array:
    """(P,) one int64 for each unordered pair."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    keys: Array = low.astype(np.int64) * images + high
    return keys


def refuse_repeats(path: Path, numbers: Mapping[str, int], pairs: int) -> None:
    """Read the list again, keeping 8 bytes a pair; a pair that stands twice is a MorelliError with both lines."""
    keyed = partial(_keyed, numbers=numbers)
    keys = np.empty(pairs, dtype=np.int64)
    done = 0
    with mapped_blocks(path, COLUMNS, keyed) as blocks:
        for _, block_keys in blocks:
            keys[done : done + len(block_keys)] = block_keys
            done += len(block_keys)
    keys.sort()
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if not len(repeated):
        return
    with mapped_blocks(path, COLUMNS, keyed) as blocks:
        lines = [block.line_of(int(row)) for block, found in blocks for row in np.flatnonzero(found == repeated[0])]
    ids = list(numbers)
    one, other = divmod(int(repeated[0]), len(numbers))
    raise MorelliError(
        f"{path}, line {lines[1]}: the pair of {ids[one]} and {ids[other]} stands already in line {lines[0]} "
        f"(repeated lines in all: {len(repeated)}). Each pair may stand once, whichever image comes first."
    )


def _keyed(block: Block, numbers: Mapping[str, int]) -> tuple[Block, Array]:
    pairs = parse_pairs(block, numbers)
    return block, pair_keys(pairs.first, pairs.second, len(numbers))
