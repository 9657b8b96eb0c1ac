"""Backbones: any timm model as a function from images to pooled features, with its own transform and true width."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torchvision.transforms import v2

from morelli.errors import MorelliError
from morelli.models.config import BackboneConfig as BackboneConfig
from morelli.models.config import is_own
from morelli.models.custom_modules import ModuleBackbone, imported, update_with
from morelli.models.packaged import tuned_vlad
from morelli.models.sizes import REFUSALS, check_size, refused_size
from morelli.models.transforms import create_transform
from morelli.models.vlad import Vlad
from morelli.models.weights import (
    check_name,
    create_described,
    create_net,
    described_model,
    with_weights,
)

Descriptions = Mapping[str, dict[str, Any]]
"""Of models that timm does not list, by name: what their ``config.json`` says of them."""


class Backbone(nn.Module):
    """A timm model without its classifier: images (B, 3, H, W) → features (B, width).

    Images of bytes, 0 to 255, are scaled as the model's own transform scales them; floats are taken as scaled already.
    Several views of each picture, (B, V, 3, H, W), give features of each, (B, V, width).

    Raises:
        MorelliError: the name is unknown, no weights can be had, or the model cannot give what ``pool`` asks for.
    """

    byte_mean: Tensor
    byte_std: Tensor

    def __init__(
        self, config: BackboneConfig, *, load_weights: bool = True, descriptions: Descriptions | None = None
    ) -> None:
        super().__init__()
        self.config = config
        description = (descriptions or {}).get(config.name)
        if description is None:
            check_name(config.name)
        try:
            if description is not None:
                self.net: Any = create_described(config, description)
            else:
                self.net = with_weights(config) if load_weights else create_net(config)
                description = described_model(config.name)
        except Exception:
            check_size(config)  # a size that it refuses, it refuses with any weights and without
            raise
        self.descriptions: Descriptions = {config.name: description} if description else {}
        self.set_memory_format(channels_last=True)
        path = tuned_vlad(config.name) if config.vlad else None
        self.vlad = Vlad(load_file(path)) if path else None
        data = resolve_model_data_config(self.net)
        self.own_size = int(data["input_size"][-1])
        self.image_size = config.image_size or self.own_size
        self.channels = int(config.in_chans or data["input_size"][0])
        self.crop = float(data["crop_pct"])
        self.mean, self.std = (_of_channels(data[name], self.channels) for name in ("mean", "std"))
        for name in ("mean", "std"):
            scale = 255 * torch.tensor(getattr(self, name)).view(-1, 1, 1)
            self.register_buffer(f"byte_{name}", scale, persistent=False)
        self.interpolation = v2.InterpolationMode(data["interpolation"])
        self.eval()
        self.width = self._measured_width()
        self.requires_grad_(config.train == "all")

    @property
    def is_frozen(self) -> bool:
        return self.config.train == "frozen"

    def set_memory_format(self, *, channels_last: bool) -> None:
        """Choose the memory format of weights and images; see ``memory_format.py``."""
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net.to(memory_format=self.memory_format)

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim == 5 and (images.is_cuda or torch.compiler.is_exporting()):
            together: Tensor = self(images.flatten(0, 1))
            return together.view(*images.shape[:2], -1)
        if images.ndim == 5:
            # View by view: small batches stay in the processor's cache.
            return torch.stack([self(view) for view in images.unbind(1)], dim=1)
        if images.dtype == torch.uint8:
            images = (images.float() - self.byte_mean) / self.byte_std
        is_half = self.config.precision == "bf16" and images.is_cuda
        # Whatever the training's own precision is.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=is_half):
            return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        if self.config.pool == "global":
            features: Tensor = self.net(images.to(memory_format=self.memory_format))
            return features.float()
        stages = self.stages(images)
        parts = [_statistics(stage, self.config.statistics) for stage in stages]
        return torch.cat(parts if self.vlad is None else [*parts, self.vlad(stages)], dim=1)

    def train(self, mode: bool = True) -> "Backbone":
        """Batch norm keeps its pretrained statistics: a batch of few artists would spoil them."""
        super().train(mode)
        for module in self.modules():
            if self.is_frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def stages(self, images: Tensor) -> list[Tensor]:
        """The last feature maps, (B, C, H, W) each, in the order of depth."""
        intermediates = self.net.forward_intermediates
        options = {"extra_blocks": True} if "extra_blocks" in signature(intermediates).parameters else {}
        final, stages = intermediates(images.to(memory_format=self.memory_format), output_fmt="NCHW", **options)
        if isinstance(final, Tensor) and final.ndim == 4:  # CoaT gives lists of tokens
            final = final.permute(0, 3, 1, 2) if self.is_nhwc else final
            if final.shape[1] != stages[-1].shape[1]:
                stages = [*stages, final]  # the expanded map that the pooled output is made of
        return list(stages[-self.config.stages :])

    @property
    def is_nhwc(self) -> bool:
        """Whether the model's own maps are (B, H, W, C), as those of Swin are."""
        return getattr(self.net, "output_fmt", None) == "NHWC"

    def _measured_width(self) -> int:
        """timm's ``num_features`` is not always the output's width, so one blank picture is passed through."""
        with torch.no_grad():
            blank = torch.zeros(1, self.channels, self.image_size, self.image_size)
            try:
                return int(self(blank).shape[1])
            except AttributeError as error:
                raise MorelliError(
                    f"{self.config.name} does not give its stages ({error}). Use pool: global for it."
                ) from error
            except REFUSALS as error:
                raise refused_size(self.config, self.own_size, error) from error

    def transform(self, *, augment: bool = False) -> Callable[[Image.Image], Tensor]:
        """Return the function from an RGB picture to (3, image_size, image_size), or (views, 3, …) for several views.

        With ``augment`` it is one view, cropped and mirrored at random, in bytes.
        """
        shown = {"mean": self.mean, "std": self.std, "interpolation": self.interpolation}
        return create_transform(
            size=self.image_size, fit=self.config.fit, kept=self.crop, views=self.config.views, augment=augment, **shown
        )

    @property
    def input_metadata(self) -> dict[str, Any]:
        """How a picture becomes its input, for an exported network."""
        about = {"backbone": self.config.name, "fit": self.config.fit, "views": self.config.views, "crop": self.crop}
        return {**about, "interpolation": self.interpolation.value, "scale": [0, 1], "mean": self.mean, "std": self.std}

    @property
    def input_settings(self) -> tuple[Any, ...]:
        """What of the model its transform depends on, beside the config."""
        crop = self.crop if self.config.fit == "crop" else None
        return self.image_size, crop, self.mean, self.std, self.interpolation, self.channels

    def fingerprint(self) -> str:
        """A digest of everything that determines the features of a picture: weights, pooling, transform, versions."""
        # Defaults are left out, so that a new option changes nothing for those who do not use it.
        how = self.config.model_dump(exclude={"weights", "train", "precision", "vlad"}, exclude_defaults=True)
        about = (how, self.image_size, self.crop, self.mean, self.std, self.interpolation)
        is_half = self.config.precision == "bf16" and torch.cuda.is_available()
        digest = hashlib.sha256(f"{about!r}{(timm.__version__, torch.__version__, is_half)!r}".encode())
        if self.is_nhwc and self.config.pool == "stages":
            digest.update(b"NHWC")  # features from before these were read right are no longer used
        update_with(digest, self.net.state_dict())
        if self.vlad is not None:
            update_with(digest, self.vlad.state_dict())
        return digest.hexdigest()

    @property
    def parts(self) -> tuple["Backbone", ...]:
        """The timm models that it is made of: itself."""
        return (self,)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())


class JointBackbone(nn.Module):
    """Several frozen backbones side by side: their inputs, in a sequence → features (B, width) or (B, V, width)."""

    def __init__(
        self, config: BackboneConfig, *, load_weights: bool = True, descriptions: Descriptions | None = None
    ) -> None:
        super().__init__()
        self.config = config
        alone = config.model_copy(update={"beside": ()})
        each = (alone.model_copy(update={"name": name}) for name in (config.name, *config.beside))
        self.members = nn.ModuleList(
            Backbone(one, load_weights=load_weights, descriptions=descriptions) for one in each
        )
        self.descriptions = {name: one for part in self.parts for name, one in part.descriptions.items()}
        self.image_size = max(part.image_size for part in self.parts)
        self.width = sum(part.width for part in self.parts)
        self.is_frozen = True

    @property
    def parts(self) -> tuple[Backbone, ...]:
        """The timm models that it is made of."""
        return tuple(self.members)  # type: ignore[arg-type]

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        return torch.cat([part(own) for part, own in zip(self.parts, images, strict=True)], dim=-1)

    def transform(self) -> Callable[[Image.Image], tuple[Tensor, ...]]:
        """Return the function from an RGB picture to the input of each part; parts with the same settings share it."""
        functions = {part.input_settings: part.transform() for part in self.parts}
        return partial(_apply_each, functions, [part.input_settings for part in self.parts])

    def parameter_count(self) -> int:
        return sum(part.parameter_count() for part in self.parts)


def _of_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """A mean or deviation of each channel; one for grey is that of the colours."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def coded(backbone: "AnyBackbone") -> Tensor:
    """(width,) which of a backbone's features are residual codes."""
    marks = [torch.zeros(part.width, dtype=torch.bool) for part in backbone.parts]
    for part, mark in zip(backbone.parts, marks, strict=True):
        if isinstance(part, Backbone) and part.vlad is not None:
            mark[-part.vlad.width :] = True
    return torch.cat(marks)


SingleBackbone = Backbone | ModuleBackbone
AnyBackbone = Backbone | JointBackbone | ModuleBackbone


def create_backbone(
    config: BackboneConfig, *, load_weights: bool = True, descriptions: Descriptions | None = None
) -> AnyBackbone:
    """Make the backbone that a config asks for: a timm model, several beside each other, or a module of one's own.

    Args:
        config: which.
        load_weights: else it is left untrained, for a state dict that holds all of it.
        descriptions: of models that timm does not list: then neither the hub nor their folder is needed.
    """
    if is_own(config.name):
        return imported(config.name)
    return (JointBackbone if config.beside else Backbone)(config, load_weights=load_weights, descriptions=descriptions)


def _apply_each(
    functions: Mapping[Any, Callable[[Image.Image], Tensor]], wanted: Sequence[Any], picture: Image.Image
) -> tuple[Tensor, ...]:
    shown = {settings: function(picture) for settings, function in functions.items()}
    return tuple(shown[settings] for settings in wanted)


def _statistics(stage: Tensor, statistics: tuple[str, ...]) -> Tensor:
    """(B, C, H, W) → (B, C) for each of mean and std, side by side."""
    flat = stage.flatten(2).float()
    parts = [flat.mean(2) if name == "mean" else flat.var(2, correction=0).add(1e-6).sqrt() for name in statistics]
    return torch.cat(parts, dim=1)
