"""Features of a prepared folder's pictures: each passes a backbone once and is then on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torchvision.transforms import v2

from morelli.data.dataset import PaintersByNumbers
from morelli.models.backbones import AnyBackbone
from morelli.models.embedder import embed
from morelli.models.engines import Engine, InferenceBackbone, engines_for
from morelli.models.feature_cache import cached_features
from morelli.models.transforms import Change


def features_of(
    backbone: AnyBackbone, dataset: PaintersByNumbers, device: torch.device, change: Change | None = None
) -> Tensor:
    """Features of a dataset's pictures, (N, width) or (N, views, width) float32 on the CPU, in the dataset's order.

    Each part of a joint backbone has features of its own on disk. The pictures pass through the backbone's own
    transform, whatever the dataset's is; see :mod:`morelli.models.engines` for what computes. ``change``, if given, is
    done to each picture before; then nothing is read from disk or kept there.
    """

    def compute(
        engines: Sequence[Engine], block: pd.DataFrame, told: Callable[[float], None] | None = None
    ) -> Sequence[Tensor]:
        parts = InferenceBackbone(engines)
        shown = dataset.only(list(block["id"]))
        shown.transform = parts.transform if change is None else v2.Compose([change, parts.transform])
        names = ", ".join(one.backbone.config.name for one in engines)
        features = embed(parts, shown, device, what=names, told=told)
        return torch.split(features, [one.backbone.width for one in engines], dim=-1)

    engines = engines_for(backbone, device, pictures=len(dataset), is_cached=True)
    if change is not None:
        return torch.cat(list(compute(engines, dataset.paintings)), dim=-1)
    return torch.cat(cached_features(engines, Path(dataset.root), dataset.paintings, compute), dim=-1)
