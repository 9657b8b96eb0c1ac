"""Exact nearest neighbours of one query at a time, within tens of milliseconds among 100,000.

One query reads every embedding once, so its time is that of reading memory. With faiss at hand a first look at 8-bit
copies, a quarter of the bytes, finds candidates; how far a rounded product can be off is known, so candidates that
could be among the nearest are all kept, and their true products decide. Without faiss, or where the bound does not
settle it, every true product is taken.
"""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from morelli.evaluation.neighbours import faiss

_WORTH_ROUNDING: Final = 20_000
_CANDIDATES: Final = 2_000
_LEVELS: Final = 127


class Nearest:
    """A set of embeddings to find the nearest in.

    Args:
        embeddings: (N, D) float32; of length 1 unless ``by_distance``.
        by_distance: nearest by Euclidean distance; else by the largest product.
    """

    def __init__(self, embeddings: Tensor, by_distance: bool) -> None:
        self._embeddings = embeddings
        self._half_squares = embeddings.square().sum(1) / 2 if by_distance else None
        self._rounded: Any = None
        if _can_round() and not by_distance and len(embeddings) >= _WORTH_ROUNDING:
            self._round()

    def _round(self) -> None:
        assert faiss is not None
        width = self._embeddings.shape[1]
        self._scale = float(_LEVELS / self._embeddings.abs().max())
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._rounded = faiss.IndexScalarQuantizer(width, kind, faiss.METRIC_INNER_PRODUCT)
        self._off = 0.0  # the largest distance of an embedding to its rounded copy
        self._length = 0.0  # of the longest rounded copy
        for block in torch.split(self._embeddings, 4096):
            levels = (block * self._scale).round()
            self._off = max(self._off, float((block - levels / self._scale).norm(dim=1).max()))
            self._length = max(self._length, float(levels.norm(dim=1).max()) / self._scale)
            self._rounded.add(levels.numpy())

    def find(self, query: Tensor, k: int) -> np.ndarray:
        """The places (k,) of the nearest to ``query`` (D,), nearest first; ties in the order of the places."""
        k = min(k, len(self._embeddings))
        candidates = self._candidates(query, k)
        if candidates is None:
            return self._largest(self._closeness(query, self._embeddings, self._half_squares), k)
        products = self._closeness(query, self._embeddings[torch.from_numpy(candidates)], None)
        found: np.ndarray = candidates[self._largest(products, k)]
        return found

    def _candidates(self, query: Tensor, k: int) -> np.ndarray | None:
        """Places, ascending, that are sure to hold the ``k`` nearest; None if too few were looked at to be sure."""
        if self._rounded is None or 4 * k >= _CANDIDATES:
            return None
        scale = float(_LEVELS / query.abs().max().clamp_min(1e-12))
        levels = (query * scale).round()
        products, places = self._rounded.search(levels[None].numpy(), _CANDIDATES)
        products, places = products[0] / (self._scale * scale), places[0]
        # The k-th best of any true products is one that the nearest reach; by Cauchy and Schwarz no rounded product is
        # further off than this.
        reached = (self._embeddings[torch.from_numpy(places[: 4 * k])] @ query).topk(k).values[-1]
        off = float(query.norm()) * self._off + float((query - levels / scale).norm()) * self._length
        sure = float(reached) - off - 1e-5
        if products[-1] >= sure:
            return None
        return np.sort(places[products >= sure])

    @staticmethod
    def _closeness(query: Tensor, embeddings: Tensor, half_squares: Tensor | None) -> Tensor:
        products = embeddings @ query
        return products if half_squares is None else products - half_squares  # orders as −‖query − embedding‖ does

    @staticmethod
    def _largest(closeness: Tensor, k: int) -> np.ndarray:
        best, places = closeness.topk(k)
        order = np.lexsort((places.numpy(), -best.numpy()))
        found: np.ndarray = places.numpy()[order]
        return found


def _can_round() -> bool:
    return faiss is not None and hasattr(faiss.ScalarQuantizer, "QT_8bit_direct_signed")
