"""The environment of a run: the machine, the versions of libraries, and how fast the network is there."""

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from morelli._processes import processes
from morelli.models.embedder import in_batches
from morelli.models.engines import Engine, InferenceBackbone, engine_threads
from morelli.models.network import Network


def _images_per_second(network: Network, engines: Sequence[Engine], device: torch.device) -> float:
    """Pictures a second through the whole network, all views, without decoding: the median of three rounds."""
    backbone = InferenceBackbone(engines)
    embedder = nn.Sequential(backbone, network.head).to(device).eval()
    blanks = [(backbone.transform(Image.new("RGB", (64, 64))), 0)] * (8 * engine_threads())
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        list(in_batches(embedder, cast("Dataset[Any]", blanks), device))
        seconds.append(time.perf_counter() - started)
    return len(blanks) / sorted(seconds)[1]


def environment(
    training_seconds: float, network: Network, engines: Sequence[Engine], device: torch.device
) -> dict[str, Any]:
    """What a run writes into ``environment.json``; ``engines`` gave its features."""
    if not network.backbone.is_frozen:
        engines = [Engine(part, "torch") for part in network.backbone.parts]
    packages = ("morelli", "torch", "timm", "pytorch-metric-learning", "faiss-cpu")
    return {
        "training_seconds": round(training_seconds, 2),
        "images_per_second": round(_images_per_second(network, engines, device), 1),
        "device": str(device),
        "engine": ", ".join(dict.fromkeys(one.label for one in engines)),
        "processes": processes().num_processes,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
