"""Exact search of one large set among itself, at half the products: a distance serves both of its paintings.

Each painting gets a limit, read from a sample of the set, below which its k nearest almost surely lie, and few others.
Blocks of distances are then computed once, and the few below a painting's limit are kept for it. A painting of which
fewer than k were kept is reported, to be searched in full: the limits decide the speed, never the result.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray

FEWEST: Final = 8192
"""Below so many paintings the plain search is as quick."""
_ROWS = 1024
_BLOCKS_PER_PRODUCT = 4
_ROW_BIT, _DISTANCE_BIT = np.uint64(52), np.uint64(21)
_LOWEST_31, _LOWEST_21 = np.uint64((1 << 31) - 1), np.uint64((1 << 21) - 1)


def is_worthwhile(paintings: int, k: int) -> bool:
    """Whether the set is large enough, k small enough, and row numbers fit their 21 bits."""
    return FEWEST <= paintings <= int(_LOWEST_21) and k <= paintings // 16


def self_search(embeddings: Tensor, lengths: Array, k: int) -> Iterator[tuple[slice, Array, Array, Array]]:
    """Yield, block by block, which rows it is, squared distances (B, k), neighbours (B, k), and (B,) which to redo.

    Args:
        embeddings: (N, D) float32 on the CPU.
        lengths: (N,) float32, their squared lengths.
        k: neighbours wanted, none of them the painting itself.
    """
    products = _Products(embeddings)
    limits = _limits(products, lengths, k)
    count = len(embeddings)
    blocks = [slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS)]
    kept: list[list[Array]] = [[] for _ in blocks]
    memory = np.empty((_ROWS, _ROWS), np.float32)
    for mine, rows in enumerate(blocks):
        for first in range(mine, len(blocks), _BLOCKS_PER_PRODUCT):
            others = blocks[first : first + _BLOCKS_PER_PRODUCT]
            product = products.between(rows, slice(others[0].start, others[-1].stop))
            for other, columns in enumerate(others, start=first):
                distances = memory[: rows.stop - rows.start, : columns.stop - columns.start]
                np.add.outer(lengths[rows], lengths[columns], out=distances)
                distances += product[:, columns.start - others[0].start : columns.stop - others[0].start]
                if other == mine:
                    np.fill_diagonal(distances, np.inf)
                else:
                    row, column = _below(distances, limits[columns])
                    kept[other].append(_pack(column, distances[row, column], row + rows.start))
                row, column = _below(distances, limits[rows, None])
                kept[mine].append(_pack(row, distances[row, column], column + columns.start))
        yield rows, *_nearest(np.concatenate(kept[mine]), rows.stop - rows.start, k)
        kept[mine] = []


def _limits(products: "_Products", lengths: Array, k: int) -> Array:
    """(N,) distances that are very probably beyond the k-th nearest painting, from a sample of the set."""
    count = len(lengths)
    size = min(30 * count // k, count // 8, _ROWS * _BLOCKS_PER_PRODUCT)
    drawn = np.sort(np.random.default_rng(0).choice(count, size, replace=False))
    expected = k * size / count
    place = int(expected + 4 * np.sqrt(expected)) + 3  # four standard deviations of what the sample may miss
    limits = np.empty(count, np.float32)
    for start in range(0, count, _ROWS):
        rows = slice(start, min(start + _ROWS, count))
        distances = products.between(rows, torch.from_numpy(drawn))
        distances += lengths[drawn]
        mine = np.flatnonzero((drawn >= rows.start) & (drawn < rows.stop))
        distances[drawn[mine] - rows.start, mine] = np.inf
        distances.partition(place, axis=1)
        limits[rows] = distances[:, place] + lengths[rows]
    return limits


class _Products:
    """−2 times the inner products of any rows with any others, written into the same memory every time."""

    def __init__(self, embeddings: Tensor) -> None:
        self._embeddings = embeddings
        self._memory = torch.empty(_ROWS * _ROWS * _BLOCKS_PER_PRODUCT)

    def between(self, rows: slice, columns: slice | Tensor) -> Array:
        """(rows, columns); overwritten by the next call."""
        left, right = self._embeddings[rows], self._embeddings[columns]
        block = self._memory[: len(left) * len(right)].view(len(left), len(right))
        products: Array = torch.addmm(block, left, right.T, beta=0, alpha=-2, out=block).numpy()
        return products


def _below(distances: Array, limits: Array) -> tuple[Array, Array]:
    """Rows and columns of the distances below their limits."""
    row, column = np.divmod(np.flatnonzero(distances < limits), distances.shape[1])
    return row, column


def _pack(row: Array, distance: Array, column: Array) -> Array:
    """One number each, which sorts by row within the block, then distance, then column."""
    bits = np.maximum(distance, np.float32(0)).view(np.uint32).astype(np.uint64) & _LOWEST_31  # −0 has a sign
    packed: Array = (row.astype(np.uint64) << _ROW_BIT) | (bits << _DISTANCE_BIT) | column.astype(np.uint64)
    return packed


def _nearest(packed: Array, rows: int, k: int) -> tuple[Array, Array, Array]:
    packed.sort()
    counts = np.bincount((packed >> _ROW_BIT).astype(np.int64), minlength=rows)
    first = np.cumsum(counts) - counts
    if not len(packed):  # of equal paintings none is below the limit
        packed = np.zeros(1, np.uint64)
    nearest = packed[np.minimum(first[:, None] + np.arange(k), len(packed) - 1)]
    bits = ((nearest >> _DISTANCE_BIT) & _LOWEST_31).astype(np.uint32)
    return bits.view(np.float32), (nearest & _LOWEST_21).astype(np.int64), counts < k
