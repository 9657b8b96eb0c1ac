"""Copies of one picture: the same file, or the same picture saved again, resized or re-coloured.

A copy says nothing of the hand, so copies are kept apart from style matches. A picture's *look* is the difference hash
(Krawetz 2013): is each of 16 × 16 points of its grey thumbnail darker than its right-hand neighbour? 256 bits.

Measured on painters-mini (`benchmarks/copies.py`): of 400 paintings, saved again at JPEG quality 50 or at half the
size, all stayed within 21 bits; the nearest of 3.1 million pairs of different paintings were 45 bits apart. A crop, a
mirror image or a photograph from the side is not recognised.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image
from scipy import sparse
from scipy.sparse import csgraph

CLOSE: Final = 32
"""Looks that differ in at most so many bits are of one picture."""
_SIDE: Final = 16
_BITS: Final = _SIDE * _SIDE
_ROWS_AT_ONCE: Final = 1024


def look_of(image: Image.Image) -> bytes:
    """The look of a picture, 32 bytes."""
    grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS))
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()


class Looks:
    """Many looks, to be asked again and again which of them are close to one."""

    def __init__(self, looks: Sequence[bytes]) -> None:
        self._words = _rows(looks).view(np.uint64)

    def copies_of(self, look: bytes) -> list[int]:
        """The places of those that are close to ``look``."""
        differing = _bits_set(self._words ^ _rows([look]).view(np.uint64)).sum(1)
        places: list[int] = np.flatnonzero(differing <= CLOSE).tolist()
        return places


def copy_groups(looks: Sequence[bytes], sha256: Sequence[str]) -> list[list[int]]:
    """The places of pictures that are copies of one another, in groups of two and more, each in ascending order.

    A file with the same digest is a copy whatever its look. Exact: all pairs are compared, 1,024 rows at a time.
    """
    if not looks:
        return []
    links = [_same(sha256)]
    signs = torch.from_numpy(np.unpackbits(_rows(looks), axis=1)).float() * 2 - 1
    for start in range(0, len(signs), _ROWS_AT_ONCE):
        agreement = signs[start : start + _ROWS_AT_ONCE] @ signs[start:].T  # bits that agree less those that differ
        links.append((agreement >= _BITS - 2 * CLOSE).nonzero().numpy() + start)
    rows, columns = np.concatenate(links).T
    graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(looks), len(looks)))
    _, group = csgraph.connected_components(graph, directed=False)
    ordered = np.argsort(group, kind="stable")
    parts = np.split(ordered, np.flatnonzero(np.diff(group[ordered])) + 1)
    return [part.tolist() for part in parts if len(part) > 1]


def _same(sha256: Sequence[str]) -> np.ndarray:
    """(N, 2) every picture and the first one with its digest."""
    first: dict[str, int] = {}
    return np.array([(place, first.setdefault(digest, place)) for place, digest in enumerate(sha256)], dtype=np.int64)


def _bits_set(words: np.ndarray) -> np.ndarray:
    """How many bits of each 64-bit word are set."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        counted: np.ndarray = np.bitwise_count(words)
        return counted
    bits = np.unpackbits(words.view(np.uint8).reshape(*words.shape, 8), axis=-1)
    summed: np.ndarray = bits.sum(-1, dtype=np.int64)
    return summed


def _rows(looks: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), _BITS // 8)
