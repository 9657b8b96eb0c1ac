"""The environment of a run: the machine, the versions of libraries, and how fast the network is there."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from accelerate.utils import send_to_device
from PIL import Image
from torch.utils.data import default_collate

from morelli._processes import processes
from morelli.models.network import Network


def _images_per_second(network: Network, device: torch.device, batch_size: int = 8) -> float:
    """Pictures a second through the whole network, all views, without decoding: the median of three batches."""
    blank = network.backbone.transform()(Image.new("RGB", (64, 64)))
    images = send_to_device(default_collate([blank] * batch_size), device)
    network = network.to(device).eval()
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            started = time.perf_counter()
            network(images).cpu()
            seconds.append(time.perf_counter() - started)
    return batch_size / sorted(seconds)[1]


def environment(training_seconds: float, network: Network, device: torch.device) -> dict[str, Any]:
    """What a run writes into ``environment.json``."""
    packages = ("morelli", "torch", "timm", "pytorch-metric-learning", "faiss-cpu")
    return {
        "training_seconds": round(training_seconds, 2),
        "images_per_second": round(_images_per_second(network, device), 1),
        "device": str(device),
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
