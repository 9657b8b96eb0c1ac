"""Features of a prepared folder's pictures: each passes a backbone once and is then on disk."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from morelli.data.dataset import PaintersByNumbers
from morelli.models.backbones import AnyBackbone
from morelli.models.embedder import embed
from morelli.models.engines import Engine, InferenceBackbone, engines_for
from morelli.models.feature_cache import cached_features


def features_of(backbone: AnyBackbone, dataset: PaintersByNumbers, device: torch.device) -> Tensor:
    """Features of a dataset's pictures, (N, width) or (N, views, width) float32 on the CPU, in the dataset's order.

    Each part of a joint backbone has features of its own on disk. The pictures pass through the backbone's own
    transform, whatever the dataset's is; see :mod:`morelli.models.engines` for what computes.
    """

    def compute(engines: Sequence[Engine], block: pd.DataFrame) -> Sequence[Tensor]:
        parts = InferenceBackbone(engines)
        shown = dataset.only(list(block["id"]))
        shown.transform = parts.transform
        features = embed(parts, shown, device, what=", ".join(one.backbone.config.name for one in engines))
        return torch.split(features, [one.backbone.width for one in engines], dim=-1)

    engines = engines_for(backbone, device, pictures=len(dataset), is_cached=True)
    return torch.cat(cached_features(engines, Path(dataset.root), dataset.paintings, compute), dim=-1)
