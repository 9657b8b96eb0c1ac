"""Channel covariances of feature maps: what is left of Gatys' Gram matrices (https://arxiv.org/abs/1505.07376)."""

import torch
from torch import Tensor, nn

from morelli.models.backbones import Backbone
from morelli.models.config import BackboneConfig

_MIXTURES = 16


class CovarianceStages(nn.Module):
    """Images (B, 3, H, W) → for each of the last stages, the channels' means and the covariances of mixtures of them.

    A covariance is that of 16 fixed random mixtures of the channels, each entry's root with its sign kept.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        stages = [stage.flatten(2).float() for stage in self.backbone.stages(images)]
        return torch.cat([part for flat in stages for part in (flat.mean(2), covariances(flat))], dim=1)


def covariances(flat: Tensor) -> Tensor:
    """Covariances over the places of mixtures of the channels, (B, C, H·W) → (B, 136)."""
    channels = flat.shape[1]
    mixtures = torch.randn(_MIXTURES, channels, generator=torch.Generator().manual_seed(channels)) / channels**0.5
    mixed = mixtures.to(flat.device) @ (flat - flat.mean(2, keepdim=True))
    covariance = mixed @ mixed.mT / flat.shape[2]
    row, column = torch.triu_indices(_MIXTURES, _MIXTURES, device=flat.device)
    entries = covariance[:, row, column]
    signed: Tensor = entries.sign() * (entries.abs() + 1e-6).sqrt()
    return signed


def lite0_6stages_160px() -> tuple[nn.Module, object]:
    """The network of ``configs/ablation/pooling.yaml``, with its transform."""
    return covariance_stages(
        BackboneConfig(name="tf_efficientnet_lite0", pool="stages", stages=6, image_size=160, fit="squash")
    )


def covariance_stages(config: BackboneConfig) -> tuple[nn.Module, object]:
    """Any timm model's stages, with the transform that its config asks for."""
    backbone = Backbone(config)
    return CovarianceStages(backbone), backbone.transform()
