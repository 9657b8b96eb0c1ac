"""Specifications of modules and transforms, as JSON: what a model folder can hold of a custom network.

A folder never runs code. What is found in a fixed table (timm's and torchvision's models by name, layers in a row,
torchvision's transforms) is written down by that name, and only if what is made again from it computes the same.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from morelli._config import Section
from morelli.errors import MorelliError
from morelli.models.transforms import create_transform, settings_of

Described = tuple[dict[str, Any], ...]


class Normalise(nn.Module):
    """Rows (B, D) scaled to length 1."""

    def forward(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=1)


_LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "Linear": ("in_features", "out_features", "bias"),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine", "bias"),
    "Dropout": ("p",),
    "LeakyReLU": ("negative_slope",),
    "PReLU": ("num_parameters",),
    "GELU": ("approximate",),
    "ELU": ("alpha",),
    "Flatten": ("start_dim", "end_dim"),
    **dict.fromkeys(("ReLU", "SiLU", "Mish", "Tanh", "Sigmoid", "Hardswish", "Softplus", "Identity"), ()),
}
"""Layers of an embedder, and the arguments that make them again; a bias is there or not."""
_FUNCTIONS: Final[dict[Any, Callable[[], nn.Module]]] = {
    functional.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
    functional.gelu: nn.GELU,
    functional.normalize: Normalise,
}
"""Functions that a module may call between its layers."""
_ASIDE: Final = {"dim", "p", "eps", "inplace", "out", "approximate"}
"""Arguments that they have; with other values than the layer's the outputs would differ."""
_TRANSFORMS: Final[dict[str, tuple[str, ...]]] = {
    "Resize": ("size", "interpolation", "max_size", "antialias"),
    "CenterCrop": ("size",),
    "Pad": ("padding", "fill", "padding_mode"),
    "Grayscale": ("num_output_channels",),
    "Normalize": ("mean", "std"),
    "ToDtype": ("scale",),
    **dict.fromkeys(("ConvertImageDtype", "ToTensor", "MaybeToTensor", "ToImage", "PILToTensor"), ()),
}
"""Steps of a transform, of torchvision (both versions) and timm. Numbers become float32."""
_FITTED: Final = "fitted"
"""The step that is morelli's own transform."""


class ModelName(Section):
    """A model that a library makes by its name."""

    library: Literal["timm", "torchvision"]
    name: str
    img_size: int | None = None
    global_pool: str | None = None
    in_chans: int | None = None

    def make(self) -> nn.Module:
        """Make it, untrained; one of timm's without its classifier."""
        known = timm.is_model(self.name) if self.library == "timm" else self.name in torchvision.models.list_models()
        if not known:
            raise MorelliError(f"the {self.library} that is installed here has no model {self.name}")
        options = self.model_dump(exclude={"library", "name"}, exclude_none=True)
        if self.library == "timm":
            return timm.create_model(self.name, num_classes=0, **options)  # type: ignore[no-any-return]
        return torchvision.models.get_model(self.name, weights=None)  # type: ignore[no-any-return]


def name_of_model(module: nn.Module, images: Tensor) -> ModelName | None:
    """The name under which timm or torchvision makes a module of the same outputs; None where it is none of theirs."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        wanted = module(images)
        for name in _candidates(module, images):
            try:
                made = fitted_to(name.make(), module.state_dict()).eval()
                if torch.allclose(made(images), wanted, rtol=1e-4, atol=1e-5):
                    return name
            except (RuntimeError, AssertionError, ValueError, TypeError, KeyError, MorelliError):
                continue
    return None


def fitted_to(made: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Give a model the tensors of another, which may lack some of its modules, such as the classifier.

    Raises:
        RuntimeError: the tensors are those of another model.
    """
    _drop_missing(made, state, "")
    made.load_state_dict(state)
    return made


def _drop_missing(module: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
    for name, child in module.named_children():
        here = f"{prefix}{name}."
        if child.state_dict() and not any(key.startswith(here) for key in state):
            setattr(module, name, nn.Identity())
        else:
            _drop_missing(child, state, here)


def _candidates(module: nn.Module, images: Tensor) -> Iterator[ModelName]:
    about = getattr(module, "pretrained_cfg", None)
    if isinstance(about, dict) and timm.is_model(about.get("architecture", "")):
        pool = getattr(module, "global_pool", None)
        pool = getattr(pool, "pool_type", pool)
        channels = images.shape[1] if images.shape[1] != 3 else None
        for global_pool in (None, pool if isinstance(pool, str) and pool else None):
            for size in (None, images.shape[-1]):
                yield ModelName(
                    library="timm",
                    name=about["architecture"],
                    img_size=size,
                    global_pool=global_pool,
                    in_chans=channels,
                )
    elif type(module).__module__.startswith("torchvision.models"):
        for name in torchvision.models.list_models(module=torchvision.models):
            made = torchvision.models.get_model_builder(name).__annotations__.get("return")
            if getattr(made, "__name__", made) == type(module).__name__ and _has_shapes(name, module):
                yield ModelName(library="torchvision", name=name)


def _has_shapes(name: str, module: nn.Module) -> bool:
    with torch.device("meta"):
        shapes = {key: one.shape for key, one in torchvision.models.get_model(name, weights=None).state_dict().items()}
    return all(shapes.get(key) == tensor.shape for key, tensor in module.state_dict().items())


def layers_in_a_row(module: nn.Module, features: Tensor) -> nn.Sequential | None:
    """The layers of an embedder, if it is known ones in a row, whatever module they are wrapped in; else None."""
    try:
        traced = torch.fx.symbolic_trace(nn.Sequential(module))  # a layer alone is not traced into
    except Exception:  # whatever the module does while it is traced, it is then no row of layers
        return None
    before, *nodes, _ = traced.graph.nodes
    layers: list[nn.Module] = []
    for node in nodes:
        if node.args[:1] != (before,) or len(before.users) != 1 or not set(node.kwargs) <= _ASIDE:
            return None
        if node.op == "call_module" and type(layer := traced.get_submodule(str(node.target))).__name__ in _LAYERS:
            layers.append(layer)
        elif node.op == "call_function" and node.target in _FUNCTIONS:
            layers.append(_FUNCTIONS[node.target]())
        else:
            return None
        before = node
    row = copy.deepcopy(nn.Sequential(*layers)).eval()
    with torch.no_grad():
        return row if torch.allclose(row(features), module(features), rtol=1e-4, atol=1e-5) else None


def described_layers(row: nn.Sequential) -> Described:
    """What :func:`made_layers` makes the same layers from, untrained."""
    return tuple({"name": type(layer).__name__, **_arguments(layer, _LAYERS)} for layer in row)


def made_layers(described: Sequence[Mapping[str, Any]]) -> nn.Sequential:
    """Make the layers that :func:`described_layers` wrote down; refuse any other."""
    parts = [_split(layer, {**_LAYERS, "Normalise": ()}) for layer in described]
    return nn.Sequential(*(Normalise() if name == "Normalise" else getattr(nn, name)(**own) for name, own in parts))


def described_transform(transform: Callable[[Any], Any]) -> Described | None:
    """A transform's steps, if all of them are known; else None."""
    if (settings := settings_of(transform)) is not None:
        return ({"name": _FITTED, **settings},)
    steps = list(_flat(transform))
    if not all(
        type(step).__name__ in _TRANSFORMS and type(step).__module__.startswith(("torchvision.", "timm."))
        for step in steps
    ):
        return None
    return tuple({"name": type(step).__name__, **_arguments(step, _TRANSFORMS)} for step in steps)


def made_transform(described: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    """Make the transform that :func:`described_transform` wrote down; refuse any other step."""
    if described and described[0].get("name") == _FITTED:
        settings = {key: value for key, value in described[0].items() if key != "name"}
        return create_transform(**{**settings, "interpolation": v2.InterpolationMode(settings["interpolation"])})
    steps: list[Any] = []
    for step in described:
        name, arguments = _split(step, _TRANSFORMS)
        if "interpolation" in arguments:
            arguments["interpolation"] = v2.InterpolationMode(arguments["interpolation"])
        if name in ("ToTensor", "MaybeToTensor"):
            steps += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        elif name in ("ToDtype", "ConvertImageDtype"):
            steps.append(v2.ToDtype(torch.float32, scale=arguments.get("scale", True)))
        else:
            steps.append(getattr(v2, name)(**arguments))
    return v2.Compose(steps)  # type: ignore[no-any-return]


def _flat(transform: Any) -> Iterator[Any]:
    if type(transform).__name__ == "Compose":
        for step in transform.transforms:
            yield from _flat(step)
    else:
        yield transform


def _arguments(part: Any, table: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A part's arguments as JSON has them."""
    names = [name for name in table.get(type(part).__name__, ()) if hasattr(part, name)]
    return {name: _plain(getattr(part, name), name) for name in names}


def _plain(value: Any, name: str) -> Any:
    if name == "bias":
        return value is not None
    if isinstance(value, v2.InterpolationMode):
        return value.value
    if isinstance(value, Tensor):
        return value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _split(described: Mapping[str, Any], table: Mapping[str, tuple[str, ...]]) -> tuple[str, dict[str, Any]]:
    name = str(described.get("name"))
    arguments = {key: value for key, value in described.items() if key != "name"}
    if name not in table or not set(arguments) <= set(table[name]):
        raise MorelliError(f"the folder describes a part that is not known here: {described}")
    return name, arguments
