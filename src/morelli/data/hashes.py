"""Perceptual hashes: which pictures may be copies of one another, told from 32 bytes each.

The difference hash (Krawetz 2013): is each of 16 × 16 points of a picture's grey thumbnail darker than its right-hand
neighbour? 256 bits.

A close hash alone is no proof: all monochromes and many abstract pictures have nearly the same one. Prepared folders
therefore compare the pictures too; see :mod:`morelli.data.copies`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.sparse import csgraph

Array = np.ndarray

CLOSE: Final = 32
"""Hashes that differ in at most so many bits are of one picture, where nothing but the hashes is at hand."""
BITS: Final = 256
_SIDE: Final = 16
_ROWS_AT_ONCE: Final = 1024


def look_of(image: Image.Image) -> bytes:
    """The hash of a picture, 32 bytes."""
    return _packed(_grey(image))


def both_looks_of(image: Image.Image) -> bytes:
    """The hash of a picture, and that of its mirror image: 64 bytes."""
    grey = _grey(image)
    return _packed(grey) + _packed(grey[:, ::-1])


def signs_of(looks: Sequence[bytes]) -> Array:
    """(N,) hashes of equal length → (N, bits) float32 of 1 and −1: a product counts what agrees less what differs."""
    bits = np.unpackbits(np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), -1), axis=1)
    signs: Array = bits.astype(np.float32) * 2 - 1
    return signs


class Looks:
    """Many hashes, to be asked again and again which of them are close to one."""

    def __init__(self, looks: Sequence[bytes]) -> None:
        self._words = _rows(looks).view(np.uint64)

    def copies_of(self, look: bytes) -> list[int]:
        """The places of those that are close to ``look``."""
        differing = _bits_set(self._words ^ _rows([look]).view(np.uint64)).sum(1)
        places: list[int] = np.flatnonzero(differing <= CLOSE).tolist()
        return places


def copy_groups(looks: Sequence[bytes], sha256: Sequence[str]) -> list[list[int]]:
    """The places of pictures that are copies of one another, in groups of two and more, each in ascending order.

    A file with the same digest is a copy whatever its hash. Exact: all pairs are compared, 1,024 rows at a time.
    """
    if not looks:
        return []
    links = [_same(sha256)]
    signs = signs_of(looks)
    for start in range(0, len(signs), _ROWS_AT_ONCE):
        agreement = signs[start : start + _ROWS_AT_ONCE] @ signs[start:].T  # bits that agree less those that differ
        links.append(np.argwhere(agreement >= BITS - 2 * CLOSE) + start)
    rows, columns = np.concatenate(links).T
    graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(looks), len(looks)))
    _, group = csgraph.connected_components(graph, directed=False)
    ordered = np.argsort(group, kind="stable")
    parts = np.split(ordered, np.flatnonzero(np.diff(group[ordered])) + 1)
    return [part.tolist() for part in parts if len(part) > 1]


def _grey(image: Image.Image) -> Array:
    return np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS))


def _packed(grey: Array) -> bytes:
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()


def _same(sha256: Sequence[str]) -> Array:
    """(N, 2) every picture and the first one with its digest."""
    first: dict[str, int] = {}
    return np.array([(place, first.setdefault(digest, place)) for place, digest in enumerate(sha256)], dtype=np.int64)


def _bits_set(words: Array) -> Array:
    """How many bits of each 64-bit word are set."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        counted: Array = np.bitwise_count(words)
        return counted
    bits = np.unpackbits(words.view(np.uint8).reshape(*words.shape, 8), axis=-1)
    summed: Array = bits.sum(-1, dtype=np.int64)
    return summed


def _rows(looks: Sequence[bytes]) -> Array:
    return np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), BITS // 8)
