"""Features of a prepared folder's pictures: each passes a backbone once and is then on disk."""

from copy import copy
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from morelli.data.dataset import PaintersByNumbers
from morelli.models.backbones import AnyBackbone, SingleBackbone
from morelli.models.embedder import embed
from morelli.models.feature_cache import cached_features
from morelli.models.memory_format import settle_memory_format


def features_of(backbone: AnyBackbone, dataset: PaintersByNumbers, device: torch.device) -> Tensor:
    """Features of a dataset's pictures, (N, width) or (N, views, width) float32 on the CPU, in the dataset's order.

    Each part of a joint backbone has features of its own on disk. The pictures pass through the backbone's own
    transform, whatever the dataset's is.
    """
    return torch.cat([_features_of_one(part, dataset, device) for part in backbone.parts], dim=-1)


def _features_of_one(backbone: SingleBackbone, dataset: PaintersByNumbers, device: torch.device) -> Tensor:
    shown = copy(dataset)
    shown.transform = backbone.transform()
    settle_memory_format(backbone, device, pictures=len(dataset) * backbone.config.views)

    def compute(block: pd.DataFrame) -> Tensor:
        return embed(backbone, shown.only(list(block["id"])), device, what=backbone.config.name)

    return cached_features(backbone, Path(dataset.root), dataset.paintings, compute)
