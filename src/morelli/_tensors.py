"""Tensors on disk: safetensors files with a digest of all that they hold, which is checked when they are read."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from morelli._files import reading, written_whole

_DIGEST: Final = "morelli_sha256"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, whole or not at all."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {**(metadata or {})}
    with written_whole(path) as temporary:
        save_file(kept, temporary, metadata={**about, _DIGEST: _digest(kept, about)})


def read_tensors(
    path: Path, remedy: str = "", *, needs_digest: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file; one that :func:`write_tensors` wrote is checked.

    Args:
        path: of the file.
        remedy: the last sentence of the error.
        needs_digest: refuse a file that has no digest, as one of another program or an earlier version.

    Raises:
        UnreadableError: it is damaged, or was changed since it was written; the message ends with ``remedy``.
    """
    with reading(path, remedy), safe_open(path, framework="pt") as file:
        about = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        digest = about.pop(_DIGEST, None)
        if digest is None and needs_digest:
            raise ValueError("it has no digest: an earlier version wrote it")
        if digest is not None and digest != _digest(tensors, about):
            raise ValueError("its content was changed since it was written")
        return tensors, about


def load_pickled(path: Path) -> Any:
    """What ``torch.save`` wrote: tensors and plain values, nothing that runs; the checksums of its zip are checked.

    Raises:
        Exception: of many kinds, for a damaged or foreign file.
    """
    if zipfile.is_zipfile(path):  # torch before 1.6 wrote none
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} in it is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
