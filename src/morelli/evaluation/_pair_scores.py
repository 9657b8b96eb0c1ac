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
    starts = _run_starts(first)
    if len(starts) == len(np.unique(first[starts])):
        return _score_runs(embeddings, scorer, first, second, starts)
    order = np.argsort(first.astype(np.int64) * len(embeddings) + second)
    first, second = first[order], second[order]
    scores = np.empty(len(order), dtype=np.float32)
    scores[order], in_products = _score_runs(embeddings, scorer, first, second, _run_starts(first))
    return scores, in_products


def _run_starts(first: Array) -> Array:
    starts: Array = np.flatnonzero(np.diff(first, prepend=-1))
    return starts


def _score_runs(embeddings: Tensor, scorer: Scorer, first: Array, second: Array, starts: Array) -> tuple[Array, int]:
    """Score pairs of which those with the same first image, from one of ``starts`` to the next, stand together."""
    scores = np.empty(len(first), dtype=np.float32)
    in_products = 0
    ends = np.append(starts, len(first))
    for run in range(0, len(starts), _TILE_IMAGES):
        bounds = ends[run : run + _TILE_IMAGES + 1]
        tile = slice(int(bounds[0]), int(bounds[-1]))
        rows, columns = first[bounds[:-1]], _distinct(second[tile], len(embeddings))
        wanted = tile.stop - tile.start
        if wanted >= _WORTHWHILE * len(rows) * len(columns):
            product = scorer.matrix(_take(embeddings, rows), _take(embeddings, columns)).float().cpu().numpy()
            column_of = np.empty(len(embeddings), dtype=np.intp)
            column_of[columns] = np.arange(len(columns))
            row_starts = np.repeat(np.arange(len(rows)) * len(columns), np.diff(bounds))
            scores[tile] = product.ravel()[row_starts + column_of[second[tile]]]
            in_products += wanted
        else:
            scores[tile] = _gathered(embeddings, scorer, first[tile], second[tile])
    return scores, in_products


def _distinct(images: Array, count: int) -> Array:
    """The different numbers among ``images``, all below ``count``, in ascending order."""
    occurs = np.zeros(count, dtype=bool)
    occurs[images] = True
    distinct: Array = np.flatnonzero(occurs)
    return distinct


def _gathered(embeddings: Tensor, scorer: Scorer, first: Array, second: Array) -> Array:
    scores = [
        scorer.pairwise_distance(
            _take(embeddings, first[at : at + _GATHERED_AT_ONCE]),
            _take(embeddings, second[at : at + _GATHERED_AT_ONCE]),
        )
        for at in range(0, len(first), _GATHERED_AT_ONCE)
    ]
    gathered: Array = torch.cat(scores).float().cpu().numpy()
    return gathered


def _take(embeddings: Tensor, rows: Array) -> Tensor:
    return embeddings[torch.from_numpy(rows).to(embeddings.device)]
