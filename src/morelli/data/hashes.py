"""Perceptual hashes: which pictures may be copies of one another, told from 32 bytes each.

The difference hash (Krawetz 2013): is each of 16 × 16 points of a picture's grey thumbnail darker than its right-hand
neighbour? 256 bits. A close hash alone is no proof: all monochromes and many abstract pictures have nearly the same
one. Prepared folders therefore compare the pictures too; see :mod:`morelli.data.copies`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

Array = np.ndarray

CLOSE: Final = 32
"""Hashes that differ in at most so many bits are of one picture, where nothing but the hashes is at hand."""
BITS: Final = 256
_SIDE: Final = 16
_ROWS_AT_ONCE: Final = 2048
_SET_BITS: Final = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)


def dhash(image: Image.Image) -> bytes:
    """The hash of a picture, 32 bytes."""
    return both_dhashes(image)[: BITS // 8]


def both_dhashes(image: Image.Image) -> bytes:
    """The hash of a picture, and that of its mirror image: 64 bytes."""
    grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS))
    return b"".join(np.packbits(one[:, 1:] > one[:, :-1]).tobytes() for one in (grey, grey[:, ::-1]))


def signs_of(hashes: Sequence[bytes]) -> Array:
    """(N,) hashes of equal length → (N, bits) float32 of 1 and −1: a product counts what agrees less what differs."""
    signs: Array = np.unpackbits(_rows(hashes), axis=1).astype(np.float32) * 2 - 1
    return signs


def close_pairs(signs: Array, others: Array, most: int) -> Iterator[Array]:
    """Blocks (P, 2) of the places i < j at which ``signs[i]`` and ``others[j]``, (N, 256), differ in few bits."""
    for start in range(0, len(signs), _ROWS_AT_ONCE):
        for other in range(start, len(signs), _ROWS_AT_ONCE):
            agreement = signs[start : start + _ROWS_AT_ONCE] @ others[other : other + _ROWS_AT_ONCE].T
            pairs = np.argwhere(agreement >= BITS - 2 * most) + np.array([start, other])
            yield pairs[pairs[:, 0] < pairs[:, 1]]


class DHashes:
    """Many hashes, to be asked again and again which of them are close to one."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self._rows = _rows(hashes)

    def copies_of(self, hash_: bytes) -> list[int]:
        """The places of those that are close to ``hash_``."""
        differing = _SET_BITS[self._rows ^ np.frombuffer(hash_, np.uint8)].sum(1, dtype=np.uint16)
        places: list[int] = np.flatnonzero(differing <= CLOSE).tolist()
        return places


def copy_groups(hashes: Sequence[bytes], sha256: Sequence[str]) -> list[list[int]]:
    """The places of pictures that are copies of one another, in groups of two and more, each in ascending order.

    A file with the same digest is a copy whatever its hash. Exact: all pairs are compared, some rows at a time.
    """
    from scipy import sparse  # hundreds of modules, which those who only compare hashes need not load
    from scipy.sparse import csgraph

    if not hashes:
        return []
    first: dict[str, int] = {}
    same = np.array([(place, first.setdefault(digest, place)) for place, digest in enumerate(sha256)])
    signs = signs_of(hashes)
    links = np.concatenate([same, *close_pairs(signs, signs, CLOSE)])
    graph = sparse.coo_array((np.ones(len(links)), links.T), shape=(len(hashes), len(hashes)))
    group = pd.Series(csgraph.connected_components(graph, directed=False)[1])
    return [places.tolist() for places in group.groupby(group).groups.values() if len(places) > 1]


def _rows(hashes: Sequence[bytes]) -> Array:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), len(hashes[0]) if hashes else BITS // 8)
