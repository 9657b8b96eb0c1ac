"""The unseen paintings as the network sees them: who is nearest, and how late the right hand comes."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from morelli.models.heads import DistanceScorer, Scorer

Array = np.ndarray

NEAREST: Final = 6
_QUERIES_AT_ONCE: Final = 512


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
    k = min(NEAREST, len(placed) - 1)
    nearest, ranks, rights = [], [], []
    for start in range(0, len(placed), _QUERIES_AT_ONCE):
        rows = torch.arange(start, min(start + _QUERIES_AT_ONCE, len(placed)))
        distances = torch.cdist(placed[rows], placed)
        distances[torch.arange(len(rows)), rows] = torch.inf
        nearest.append(distances.topk(k, dim=1, largest=False).indices)
        of_others = distances.masked_fill(codes[rows][:, None] != codes, torch.inf)
        closest, right = of_others.min(dim=1)
        is_lone = closest.isinf()
        ranks.append((1 + (distances < closest[:, None]).sum(1)).masked_fill(is_lone, 0))
        rights.append(right.masked_fill(is_lone, -1))
    return Neighbours(*(torch.cat(parts).numpy() for parts in (nearest, ranks, rights)))
