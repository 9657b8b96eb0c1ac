"""State dicts from files of any maker: read without running anything, and taken out of what they were saved in."""

import argparse
import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from morelli._files import is_lfs_pointer, reading
from morelli._tensors import load_pickled
from morelli.errors import MorelliError

_PREFERRED: Final = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
_WRAPPERS: Final = re.compile(r"^(module\.|_orig_mod\.)+")
"""What ``DistributedDataParallel`` and ``torch.compile`` put before every name."""
_LOG: Final = logging.getLogger(__name__)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a file: ``.safetensors``, or one that ``torch.save`` wrote, alone or in a checkpoint.

    Raises:
        MorelliError: it is no such file, a Git LFS pointer, or holds more than tensors and plain values.
    """
    if is_lfs_pointer(path):
        raise MorelliError(f"{path} is a Git LFS pointer, not the weights themselves. Fetch them with: git lfs pull")
    with reading(path):
        try:
            content: Any = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
        except pickle.UnpicklingError as error:
            raise MorelliError(
                f"{path} is no file of weights, or holds Python objects, which are never run. Save only a state dict: "
                'torch.save(model.state_dict(), "weights.pth")'
            ) from error
    return {_WRAPPERS.sub("", name): tensor for name, tensor in _state_in(content, path).items()}


def without_prefix(state: dict[str, Tensor], wanted: set[str], path: Path) -> dict[str, Tensor]:
    """Take a network, of the tensors ``wanted``, out of the module that it was saved in, and log what is left out.

    Returns:
        The tensors below the one prefix that has all of ``wanted`` below it; ``state`` itself where none has.

    Raises:
        MorelliError: there are several such prefixes.
    """
    if wanted <= state.keys() or not wanted:
        return state
    sample = max(wanted, key=len)
    prefixes = [name.removesuffix(sample) for name in state if name.endswith(f".{sample}")]
    prefixes = [prefix for prefix in prefixes if all(f"{prefix}{name}" in state for name in wanted)]
    if not prefixes:
        return state
    if len(prefixes) > 1:
        raise MorelliError(
            f"{path} holds the network {len(prefixes)} times, below {' and '.join(sorted(prefixes))}. Keep one of them."
        )
    (prefix,) = prefixes
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    outside = [name for name in state if not name.startswith(prefix)]
    left_out = f", {len(outside)} tensors outside it ({', '.join(outside[:3])}) are left out" if outside else ""
    _LOG.warning('Note: %s: the prefix "%s" is taken off %d tensors%s.', path, prefix, len(inside), left_out)
    return inside


def _unpickled(path: Path) -> Any:
    with torch.serialization.safe_globals([argparse.Namespace]):  # timm's training keeps its options in one
        return load_pickled(path)


def _state_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint, which may hold much else."""
    inner = {
        name: value
        for name, value in (content.items() if _is_named(content) else ())
        if _is_named(value) and (name in _PREFERRED or (value and all(isinstance(t, Tensor) for t in value.values())))
    }
    if chosen := [name for name in _PREFERRED if name in inner] or list(inner):
        if len(chosen) > 1 and chosen[0] not in _PREFERRED:
            raise MorelliError(f"{path} holds several state dicts ({', '.join(chosen)}). Keep one of them")
        content = inner[chosen[0]]
    if not _is_named(content) or not (state := {n: v for n, v in content.items() if isinstance(v, Tensor)}):
        raise MorelliError(f"{path} holds no state dict")
    return state


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
