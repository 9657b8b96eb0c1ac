"""Losses and miners from their class names and arguments, as a recipe writes them."""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from torch import nn

from morelli._dotted import is_dotted, load_dotted
from morelli.errors import MorelliError, did_you_mean
from morelli.models.heads import ConcatHead, PairHead
from morelli.training.one_hot_loss import OneHotLoss
from morelli.training.pair_loss import EmbeddingsAlreadyPackagedAsPairs, PairLoss


def _classes(module: ModuleType, *own: type[nn.Module]) -> dict[str, type[nn.Module]]:
    exported: dict[str, Any] = dict(inspect.getmembers(module, inspect.isclass)) | {cls.__name__: cls for cls in own}
    return {n: cls for n, cls in sorted(exported.items()) if not n.startswith("Base") and not n.endswith("Mixin")}


PARTS: Final[Mapping[str, Mapping[str, type[nn.Module]]]] = {
    "loss": _classes(losses, PairLoss, OneHotLoss),
    "miner": _classes(miners, EmbeddingsAlreadyPackagedAsPairs),
    "distance": _classes(distances, PairHead, ConcatHead),
    "reducer": _classes(reducers),
    "regularizer": _classes(regularizers),
}
"""What a recipe can name, by kind of part: all that pytorch-metric-learning exports, and what is added to it here."""


def make_part(kind: str, part: Any, known: Mapping[str, int]) -> nn.Module:
    """Make a loss or miner, and the parts in its arguments (``distance``, ``losses``, …) the same way.

    Args:
        kind: one of :data:`PARTS`.
        part: a class name, ``package.module:Name`` for one's own, or ``{name: …, argument: …}``.
        known: values of arguments that a class requires and a recipe need not give, such as ``embedding_size``.
    """
    arguments = dict(part) if isinstance(part, Mapping) else {"name": part}
    name = str(arguments.pop("name", ""))
    cls = _class(kind, name)
    accepted = _parameters(cls)
    required = {key for key, parameter in accepted.items() if parameter.default is inspect.Parameter.empty}
    given = {key: value for key, value in known.items() if key in required}
    given |= {key: _argument(key, value, known) for key, value in arguments.items()}
    if kind == "reducer":  # its lists are of numbers by class, which it reads as a tensor
        given = {key: torch.tensor(value) if isinstance(value, list) else value for key, value in given.items()}
    try:
        return cls(**given)  # type: ignore[no-any-return]
    except MorelliError:
        raise
    except Exception as error:  # whatever a class of another library raises, its arguments are at fault
        raise MorelliError(
            f"The {kind} {name} does not take {arguments}: {error}. Its own arguments: {', '.join(accepted)}."
        ) from error


def _class(kind: str, name: str) -> Any:
    if is_dotted(name):
        return load_dotted(name, nn.Module, f"a {kind}, a torch.nn.Module class")
    if name not in PARTS[kind]:
        raise MorelliError(
            f'pytorch-metric-learning has no {kind} "{name}".{did_you_mean(name, PARTS[kind])} '
            f"Known: {', '.join(PARTS[kind])}."
        )
    return PARTS[kind][name]


def _argument(key: str, value: Any, known: Mapping[str, int]) -> Any:
    """The value of an argument, made if it is a part, or a list or dict of parts."""
    kind, is_several = _kind(key)
    if kind is None or value is None or isinstance(value, bool | int | float):
        return value
    if not is_several:
        return make_part(kind, value, known)
    if isinstance(value, Mapping):
        return {name: make_part(kind, part, known) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [None if part is None else make_part(kind, part, known) for part in value]
    return value


def _kind(key: str) -> tuple[str | None, bool]:
    """The kind of part that an argument of this name takes, and whether it takes several: ``losses``, ``reducers``."""
    word = key.rpartition("_")[2]
    for kind in PARTS:
        if word in (kind, f"{kind}s", f"{kind}es"):
            return kind, word != kind
    return None, False


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """All arguments a class takes: its own, and those that it passes on to its parents as ``**kwargs``."""
    parameters: dict[str, inspect.Parameter] = {}
    for parent in cls.__mro__:
        if "__init__" in vars(parent) and parent is not nn.Module:
            named = list(inspect.signature(vars(parent)["__init__"]).parameters.values())[1:]
            parameters = {p.name: p for p in named if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} | parameters
    return parameters
