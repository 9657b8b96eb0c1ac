"""Memory format of a trained backbone's images and weights: channels last, unless contiguous was measured faster.

Channels last suits most convolutions, but not every network on every processor. Rounding differs between the two, so
the choice is measured once and kept on disk: runs on one machine give the same numbers.
"""

import copy
import hashlib
import json
import os
import time
from contextlib import suppress
from typing import Any

import torch
from pydantic import BaseModel

from morelli._files import UnreadableError, cache_folder
from morelli._json import read_json, write_json
from morelli._processes import on_main_process
from morelli.models.backbones import Backbone

_PICTURES = 5_000
"""Fewer are not worth it: measuring takes about as long as 100 pictures."""
_GAIN = 0.9
"""Share of the time that the other format must not exceed, so that noise does not choose between equals."""
_BATCH, _ROUNDS = 16, 3


class _Measured(BaseModel):
    channels_last: bool


def settle_memory_format(backbone: Backbone, device: torch.device, *, pictures: int, precision: str = "no") -> None:
    """Let a backbone be trained in the memory format that is faster on ``device``, if enough ``pictures`` will pass.

    What was once measured for the same model, size, device and torch is read from the cache folder. With several
    processes the first measures for all, autocast to ``precision``.
    """
    facts = {
        "model": backbone.config.name,
        "pool": backbone.config.pool,
        "pixels": backbone.image_size,
        "precision": precision,
        "device": _name(device),
        "torch": torch.__version__,
    }
    backbone.set_memory_format(
        channels_last=on_main_process(lambda: _is_channels_last(backbone, device, facts, pictures))
    )


def _is_channels_last(backbone: Backbone, device: torch.device, facts: dict[str, Any], pictures: int) -> bool:
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    path = cache_folder() / "memory_formats" / f"{digest}.json"
    with suppress(UnreadableError):  # measured again
        return read_json(path, _Measured).channels_last
    if pictures < _PICTURES:
        return True
    seconds = _measured(backbone, device, facts["precision"])
    chosen = seconds[False] > _GAIN * seconds[True]
    found = {"channels_last": chosen, "seconds": {"channels_last": seconds[True], "contiguous": seconds[False]}}
    write_json(path, facts | found)
    return chosen


def _measured(backbone: Backbone, device: torch.device, precision: str) -> dict[bool, float]:
    """Seconds of a batch with channels last (True) and without: the quickest of some turns after the first."""
    ways = {is_last: copy.deepcopy(backbone).to(device).train() for is_last in (True, False)}
    images = torch.zeros(_BATCH, 3, backbone.image_size, backbone.image_size, device=device)
    seconds: dict[bool, list[float]] = {is_last: [] for is_last in ways}
    devices = [device] if device.type == "cuda" else []
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    with torch.random.fork_rng(devices), torch.enable_grad():
        for is_last, way in (1 + _ROUNDS) * list(ways.items()):
            way.set_memory_format(channels_last=is_last)
            started = time.perf_counter()
            with torch.autocast(device.type, kind, enabled=precision != "no"):
                features = way(images)
            features.sum().backward()
            if devices:
                torch.cuda.synchronize(device)
            seconds[is_last].append(time.perf_counter() - started)
    return {is_last: min(taken[1:]) for is_last, taken in seconds.items()}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()} {os.cpu_count()} {torch.get_num_threads()}"
