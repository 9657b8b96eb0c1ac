"""Feature cache: features of single backbones, computed once for each picture and kept on disk.

One file holds a block of features and the keys of its pictures. A key is a digest of the picture's file and the
folder's name a digest of all that determines the features, so blocks of any split and any prepared folder are shared,
and an interrupted computation goes on with the first missing block.
"""

import hashlib
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor

from morelli._files import UnreadableError, cache_folder, reading
from morelli._processes import is_first, on_any_process
from morelli._tensors import read_tensors, write_tensors
from morelli.errors import MorelliError, MorelliWarning
from morelli.models.backbones import SingleBackbone

_BLOCK = 1024
_AGAIN = "Its features are computed again."


def cached_features(
    backbone: SingleBackbone, root: Path, paintings: pd.DataFrame, compute: Callable[[pd.DataFrame], Tensor]
) -> Tensor:
    """Return the features of a prepared folder's ``paintings``, (N, …) float32; ``compute`` gives those not on disk.

    Several processes compute together what any of them lacks; the first of each machine writes it.
    """
    folder = cache_folder() / "features" / backbone.fingerprint()[:32]
    keys = _keys(root, paintings)
    known = _read(folder, set(keys))
    is_missing = ~(keys.isin(known) | keys.duplicated())
    missing = paintings[on_any_process(is_missing.to_numpy())]
    for start in range(0, len(missing), _BLOCK):
        block = missing.iloc[start : start + _BLOCK]
        block_keys = list(keys[block.index])
        features = compute(block)
        name = hashlib.sha256("".join(block_keys).encode()).hexdigest()[:32]
        if is_first(of_machine=True):
            write_tensors(folder / f"{name}.safetensors", {"features": features}, {"keys": ",".join(block_keys)})
        known.update(zip(block_keys, features, strict=True))
    return torch.stack([known[key] for key in keys])


def _keys(root: Path, paintings: pd.DataFrame) -> pd.Series:
    # The size tells pictures prepared at different sizes from the same source apart.
    try:
        sizes = paintings["file"].map(lambda file: (root / file).stat().st_size)
    except OSError as error:
        again = f"Prepare the folder again: morelli data prepare SOURCE --out {root}"
        raise MorelliError(f"A picture of {root} is missing ({error}). {again}") from error
    return paintings["sha256"].str[:32] + "-" + sizes.astype(str)


def _read(folder: Path, wanted: set[str]) -> dict[str, Tensor]:
    """The wanted rows of all whole blocks. A damaged block is taken out, so that its rows are computed again."""
    known: dict[str, Tensor] = {}
    for path in sorted(folder.glob("[!.]*.safetensors")):
        try:
            with reading(path, _AGAIN):
                known |= _rows(path, wanted)
        except UnreadableError as error:
            warnings.warn(MorelliWarning(str(error)), stacklevel=2)
            with suppress(OSError):
                path.unlink()
    return known


def _rows(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        if wanted.isdisjoint(file.metadata()["keys"].split(",")):
            return {}
    tensors, metadata = read_tensors(path, _AGAIN, needs_digest=True)
    rows = zip(metadata["keys"].split(","), tensors["features"], strict=True)
    return {key: features.clone() for key, features in rows if key in wanted}
