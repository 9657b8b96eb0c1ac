"""Custom modules: somebody else's in the place of a timm backbone and of a trained head."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from PIL import Image
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torchvision.transforms import v2

from morelli._config import Section
from morelli._dotted import load_dotted
from morelli.errors import MorelliError, first_line, last_line
from morelli.models import module_specs
from morelli.models.config import BackboneConfig
from morelli.models.module_specs import Described, ModelName, fitted_to
from morelli.models.transforms import create_transform

Module = TypeVar("Module", bound=nn.Module)
Transform = Callable[[Image.Image], Any]
_SIZES: Final = ((96, 64), (300, 420))
"""Pictures that a transform is tried with: one that lies and one that stands, smaller and larger than most inputs."""


class TrunkCard(Section):
    """What a model folder says of a trunk that is not morelli's own, and of its transform."""

    kind: str
    """Its class."""
    model: ModelName | None
    """What makes it again, its weights aside; None if it must be given."""
    steps: Described | None
    """What makes its transform again; None if it must be given."""


class EmbedderCard(Section):
    """What a model folder says of an embedder that is not morelli's own."""

    kind: str
    layers: Described | None


class ModuleBackbone(nn.Module):
    """Any module, with the transform that belongs to it, in the place of a timm backbone; it is not trained here.

    Args:
        module: a batch of what ``transform`` gives → features (B, width). It is copied, in evaluation mode.
        transform: an RGB picture → one tensor, of the same shape for every picture, without anything random.
        card: what is known of both from a model folder.
        name: what runs call it; by default its class.
    """

    def __init__(self, module: nn.Module, transform: Transform, card: TrunkCard | None = None, name: str = "") -> None:
        super().__init__()
        self.net: Any = copied(module)
        self._transform = transform
        images = _tried(transform)
        self.width = vector_width(self.net, images, "trunk", "pictures")
        self.config = BackboneConfig(name=name or kind_of(self.net))
        self.card = card or TrunkCard(
            kind=kind_of(self.net),
            model=module_specs.name_of_model(self.net, images),
            steps=_checked_steps(transform, images),
        )
        self.descriptions: dict[str, dict[str, Any]] = {}
        self.image_size = int(images.shape[-1])
        self.is_frozen = True

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)
        return features.float()

    def train(self, mode: bool = True) -> "ModuleBackbone":
        """It stays in evaluation mode."""
        return super().train(mode and False)

    def transform(self) -> Transform:
        """The function from an RGB picture to this module's input."""
        return self._transform

    @property
    def input_settings(self) -> tuple[Any, ...]:
        """What its transform depends on: itself."""
        return (id(self._transform),)

    def fingerprint(self) -> str:
        """A digest of the weights and of what comes of two pictures, so that no feature of other code is reused."""
        images = _tried(self._transform)
        with torch.no_grad():
            device = next((tensor.device for tensor in self.net.state_dict().values()), torch.device("cpu"))
            features = self(images.to(device)).cpu()
        digest = hashlib.sha256(repr((self.card.kind, torch.__version__, images.shape)).encode())
        update_with(digest, {"images": images, "features": features, **self.net.state_dict()})
        return digest.hexdigest()

    @property
    def parts(self) -> tuple["ModuleBackbone", ...]:
        """The networks that it is made of: itself."""
        return (self,)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())

    @property
    def input_metadata(self) -> dict[str, Any]:
        """How a picture becomes its input, for an exported network."""
        return {"backbone": self.card.kind, "transform": list(self.card.steps or [repr(self._transform)])}


class ModuleHead(nn.Module):
    """Any module from features (B, F) to embeddings (B, D), in the place of a trained head.

    ``module`` is copied, in evaluation mode; layers in a row are taken out of what they are wrapped in.
    """

    def __init__(self, module: nn.Module, features: int) -> None:
        super().__init__()
        own = copied(module)
        rows = torch.randn(3, features, generator=torch.Generator().manual_seed(0))
        self.width = vector_width(own, rows, "embedder", f"features of {features} numbers")
        row = module_specs.layers_in_a_row(own, rows)
        self.layers: nn.Module = own if row is None else row
        self.card = EmbedderCard(kind=kind_of(own), layers=None if row is None else module_specs.described_layers(row))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F), or (B, V, F) of several views, whose embeddings' mean counts, → (B, D)."""
        embeddings: Tensor = self.layers(features.flatten(0, -2)).float()
        return embeddings if features.ndim == 2 else embeddings.view(*features.shape[:2], -1).mean(1)


def update_with(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    """Feed tensors to a digest, in the order of their names."""
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())


def loaded_trunk(
    folder: Path, card: TrunkCard, state: dict[str, Tensor], module: nn.Module | None, transform: Transform | None
) -> ModuleBackbone:
    """A saved trunk again, made by its name or from a module of the same class that is given."""
    if transform is None and card.steps is None:
        raise must_be_given(folder, "transform", "a function of one's own")
    made = card.model.make() if card.model and module is None else None
    net = _made(folder, "trunk", card.kind, state, made, module)
    return ModuleBackbone(net, transform or module_specs.made_transform(card.steps or ()), card)


def loaded_head(
    folder: Path, card: EmbedderCard, state: dict[str, Tensor], features: int, module: nn.Module | None
) -> ModuleHead:
    """A saved embedder again, made from its layers or from a module of the same class that is given."""
    made = module_specs.made_layers(card.layers) if card.layers is not None else None
    return ModuleHead(_made(folder, "embedder", card.kind, state, made, module), features)


def _made(
    folder: Path, what: str, kind: str, state: dict[str, Tensor], made: nn.Module | None, given: nn.Module | None
) -> nn.Module:
    """What a library makes, else what the user gave, with the weights of the folder."""
    if made is not None:
        return fitted_to(made, state)
    if given is None:
        raise must_be_given(folder, what, kind)
    try:
        return fitted_to(copied(given), state)
    except RuntimeError as error:
        why = last_line(error)
        raise MorelliError(f"The {what} that was given does not fit the weights in {folder}: {why}") from error


def imported(name: str) -> ModuleBackbone:
    """The backbone that a recipe names as ``package.module:function``, which gives a module and its transform."""
    made = load_dotted(name, Callable, "a function that gives a module and its transform")()  # type: ignore[arg-type]
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) and callable(made[1])):
        raise MorelliError(f"{name} must give a module and its transform, (nn.Module, function), not {made!r:.80}.")
    return ModuleBackbone(*made, name=name)


def unwrapped(module: nn.Module) -> nn.Module:
    """A module without what wraps it for several devices, or to compile it."""
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return module if inner is None else unwrapped(inner)


def copied(module: Module) -> Module:
    """A copy on the CPU in evaluation mode."""
    return copy.deepcopy(unwrapped(module)).cpu().eval().requires_grad_(False)  # type: ignore[return-value]


def kind_of(module: nn.Module) -> str:
    """A module's class, with where it is defined."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


@torch.no_grad()
def vector_width(module: nn.Module, rows: Tensor, what: str, of: str) -> int:
    """The width of a module's output for some rows, which must be (B, width) of finite numbers."""
    try:
        output: Any = module(rows)
    except Exception as error:  # whatever somebody's module raises
        raise MorelliError(f"The {what} cannot take {of}, {tuple(rows.shape)}: {first_line(error)}") from error
    if not isinstance(output, Tensor):
        raise MorelliError(
            f"The {what} gives a {type(output).__name__}, not one vector for each picture. Wrap it in a module that "
            "returns the tensor."
        )
    if output.ndim != 2 or len(output) != len(rows):
        hint = " Add nn.AdaptiveAvgPool2d(1) and nn.Flatten()." if output.ndim == 4 else ""
        raise MorelliError(
            f"The {what} gives {tuple(output.shape)} for {len(rows)} pictures, not one vector for each.{hint}"
        )
    if not output.is_floating_point() or not output.isfinite().all():
        raise MorelliError(f"The {what} gives numbers that are not finite for pictures of noise.")
    return output.shape[1]


def _tried(transform: Transform) -> Tensor:
    """Two pictures of noise as a transform gives them, (2, C, H, W), which must be the same every time."""
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in _SIZES]
    try:
        first, again = ([transform(picture) for picture in pictures] for _ in range(2))
    except Exception as error:  # whatever somebody's function raises
        raise MorelliError(f"The transform cannot take an RGB picture: {type(error).__name__}: {error}") from error
    shapes = [str(tuple(image.shape)) if isinstance(image, Tensor) else f"a {type(image).__name__}" for image in first]
    if not all(isinstance(image, Tensor) and image.ndim == 3 and image.is_floating_point() for image in first):
        raise MorelliError(f"The transform gives {shapes[0]}, not one tensor of numbers (C, H, W).")
    if first[0].shape != first[1].shape:
        raise MorelliError(
            f"The transform gives pictures of different shapes, {' and '.join(shapes)}. Let it end in a crop or in a "
            "size of two numbers."
        )
    if not all(torch.equal(one, other) for one, other in zip(first, again, strict=True)):
        raise MorelliError("The transform draws at random. Give the one for evaluation.")
    return torch.stack(first)


def _checked_steps(transform: Transform, images: Tensor) -> Described | None:
    """A transform's description, if what is made from it gives the same."""
    if (steps := module_specs.described_transform(transform)) is None:
        return None
    try:
        return steps if torch.allclose(_tried(module_specs.made_transform(steps)), images, atol=1e-5) else None
    except (MorelliError, TypeError, ValueError):
        return None


def timm_transform(trunk: nn.Module) -> Transform:
    """A timm model's own transform, letterboxed."""
    inner = unwrapped(trunk)
    if not isinstance(getattr(inner, "pretrained_cfg", None), dict):
        raise MorelliError(
            f"{kind_of(inner)} does not say how it sees a picture. Give transform=, a function from an RGB picture to "
            "its input."
        )
    data = resolve_model_data_config(inner)
    return create_transform(
        size=int(data["input_size"][-1]),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=v2.InterpolationMode(data["interpolation"]),
    )


def must_be_given(folder: Path, what: str, kind: str) -> MorelliError:
    """The error for a part of a network that a folder cannot make."""
    how = "Give"
    if what == "scorer" and ":" in kind:
        how = f"Import the module that registers it (morelli --import {kind.partition(':')[0]}), or give"
    return MorelliError(
        f"The {what} of the network in {folder} is {kind}; a folder runs no code, so it cannot make that. {how} it in "
        f"Python: Network.load({str(folder)!r}, {what}=…)"
    )
