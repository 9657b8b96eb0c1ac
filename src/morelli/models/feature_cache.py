"""Feature cache: features of single backbones, computed once for each picture and kept on disk.

One file holds a block of features and the keys of its pictures. A key is a digest of the picture's file and the
folder's name a digest of all that determines the features, so blocks of any split and any prepared folder are shared,
and an interrupted computation goes on with the first missing block.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor

from morelli._files import UnreadableError, cache_folder, reading
from morelli._processes import is_first, on_any_process
from morelli._progress import progress_bar
from morelli._tensors import read_tensors, write_tensors
from morelli.errors import MorelliError, MorelliWarning
from morelli.models.engines import Engine

_BLOCK = 1024
_AGAIN = "Its features are computed again."


def cached_features(
    engines: Sequence[Engine],
    root: Path,
    paintings: pd.DataFrame,
    compute: Callable[[Sequence[Engine], pd.DataFrame, Callable[[float], None]], Sequence[Tensor]],
) -> list[Tensor]:
    """Return the features by each engine of a prepared folder's ``paintings``, (N, …) float32.

    ``compute`` gives those not on disk, by engines that lack the same paintings together, a block at a time, and tells
    its third argument how many more pictures are done. Several processes compute together what any of them lacks; the
    first of each machine writes it.
    """
    keys = _keys(root, paintings)
    folders = [cache_folder() / "features" / one.fingerprint[:32] for one in engines]
    known = [_read(folder, set(keys)) for folder in folders]
    lacking = [on_any_process((~(keys.isin(one) | keys.duplicated())).to_numpy()) for one in known]
    for is_missing in {marks.tobytes(): marks for marks in lacking}.values():
        together = [place for place, marks in enumerate(lacking) if np.array_equal(marks, is_missing)]
        missing, several = paintings[is_missing], [engines[one] for one in together]
        with progress_bar(hidden=not is_first() or missing.empty) as progress:
            task = progress.add_task(", ".join(one.backbone.config.name for one in several), total=len(missing))
            for start in range(0, len(missing), _BLOCK):
                block = missing.iloc[start : start + _BLOCK]
                block_keys = list(keys[block.index])
                computed = compute(several, block, partial(progress.advance, task))
                for place, features in zip(together, computed, strict=True):
                    _write(folders[place], block_keys, features)
                    known[place].update(zip(block_keys, features, strict=True))
    return [torch.stack([one[key] for key in keys]) for one in known]


def _write(folder: Path, keys: list[str], features: Tensor) -> None:
    if is_first(of_machine=True):
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:32]
        write_tensors(folder / f"{name}.safetensors", {"features": features}, {"keys": ",".join(keys)})


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
