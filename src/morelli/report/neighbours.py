"""Nearest neighbours of the unseen paintings, and at which place the first one by the same hand comes."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from morelli.evaluation.neighbours import knn_blocks
from morelli.models.heads import DistanceScorer, Scorer

Array = np.ndarray
NEAREST: Final = 6


@dataclass(frozen=True)
class Neighbours:
    """What stands around each of N paintings.

    Attributes:
        nearest: (N, K) rows of the nearest other paintings, nearest first.
        rank: (N,) at which place the first painting by the same hand comes; 0 where there is no other by that hand.
        right: (N,) the row of that painting; −1 where there is none.
    """

    nearest: Array
    rank: Array
    right: Array


def in_scorers_geometry(embeddings: Tensor, scorer: Scorer) -> Tensor:
    """Rows whose Euclidean order is the order in which retrieval is measured; see ``docs/metrics.md``."""
    return embeddings if isinstance(scorer, DistanceScorer) else functional.normalize(embeddings, dim=1)


@torch.inference_mode()
def neighbours(placed: Tensor, artists: pd.Series) -> Neighbours:
    """Exact search of every painting (N, D) among all others, N ≥ 2."""
    codes = torch.from_numpy(pd.factorize(artists)[0].astype(np.int64))
    nearest, ranks, rights = [], [], []
    for block, _, rows in knn_blocks(placed, len(placed) - 1, placed, True):
        is_right = codes[rows] == codes[block, None]
        first = is_right.int().argmax(1)
        is_lone = ~is_right.any(1)
        nearest.append(rows[:, :NEAREST].clone())
        ranks.append((first + 1).masked_fill(is_lone, 0))
        rights.append(rows.gather(1, first[:, None])[:, 0].masked_fill(is_lone, -1))
    return Neighbours(*(torch.cat(parts).numpy() for parts in (nearest, ranks, rights)))
