"""Scores of listed pairs, by blocked products where the list is dense and by sorted gathers where it is not."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from morelli.models.heads import Scorer

Array = np.ndarray

_TILE_IMAGES: Final = 128
"""First images of one product. All pairs of a group waste about half their square: 7 % at the competition's size."""
_WORTHWHILE: Final = 1 / 8
"""A product is made if this share of its scores is wanted: a gathered score costs eight times as much or more."""
_GATHERED_AT_ONCE: Final = 8192


@torch.inference_mode()
def score_pairs(embeddings: Tensor, scorer: Scorer, first: Array, second: Array) -> tuple[Array, int]:
    """Score pairs of rows of ``embeddings`` (N, D): (P,) float32 scores, and how many of them came from products."""
    starts = np.flatnonzero(np.diff(first, prepend=-1))
    if len(starts) > len(np.unique(first[starts])):  # the pairs of one first image do not stand together
        order = np.argsort(first.astype(np.int64) * len(embeddings) + second)
        scores = np.empty(len(order), dtype=np.float32)
        scores[order], in_products = score_pairs(embeddings, scorer, first[order], second[order])
        return scores, in_products
    scores, in_products = np.empty(len(first), dtype=np.float32), 0
    ends = np.append(starts, len(first))
    for run in range(0, len(starts), _TILE_IMAGES):
        bounds = ends[run : run + _TILE_IMAGES + 1]
        tile = slice(int(bounds[0]), int(bounds[-1]))
        wanted, rows = tile.stop - tile.start, first[bounds[:-1]]
        occurs = np.zeros(len(embeddings), dtype=bool)
        occurs[second[tile]] = True
        columns = np.flatnonzero(occurs)
        if wanted < _WORTHWHILE * len(rows) * len(columns):
            scores[tile] = _gathered(embeddings, scorer, first[tile], second[tile])
            continue
        product = _array(scorer.matrix(_take(embeddings, rows), _take(embeddings, columns)))
        row_starts = np.repeat(np.arange(len(rows)) * len(columns), np.diff(bounds))
        column_of = np.cumsum(occurs) - 1
        scores[tile] = product.ravel()[row_starts + column_of[second[tile]]]
        in_products += wanted
    return scores, in_products


def _gathered(embeddings: Tensor, scorer: Scorer, first: Array, second: Array) -> Array:
    parts = (slice(at, at + _GATHERED_AT_ONCE) for at in range(0, len(first), _GATHERED_AT_ONCE))
    sides = ((_take(embeddings, first[part]), _take(embeddings, second[part])) for part in parts)
    return _array(torch.cat([scorer.pairwise_distance(*both) for both in sides]))


def _take(embeddings: Tensor, rows: Array) -> Tensor:
    return embeddings[torch.from_numpy(rows).to(embeddings.device)]


def _array(scores: Tensor) -> Array:
    array: Array = scores.float().cpu().numpy()
    return array
