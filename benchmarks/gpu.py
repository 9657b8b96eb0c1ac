"""Training on a GPU against timm's own training benchmark, waiting for data, exact retrieval, and memory.

Run it with:  python benchmarks/gpu.py [--data PREPARED] [--rounds 3] [--save]

Without a CUDA device it says so and stops; --device cpu --tiny tries the script itself.

- timm: the training loop of timm's `benchmark.py`, which is not in its package, rebuilt from timm's public parts: the
  model in channels last, SGD of `create_optimizer_v2`, cross entropy on random pictures in memory, zero_grad, forward
  under autocast, backward, step; the device is waited for before and after.
- ours: `morelli.training.fit.fit` with `precision: bf16`, whole network, the triplet objective, AdamW, once on pictures
  in memory and once on a prepared folder through the loader. The difference is the time spent waiting for data.
- The three take turns. The first epoch of ours and the first steps of timm are not counted; medians count.
- Embedding: `morelli.models.embedder.embed` of a prepared folder through frozen EfficientNet-Lite 0, seven views, bf16.
- Retrieval: `PaintingAccuracyCalculator` on 103,250 x 512, with the values of the CPU on the first 5,000 beside it.
- Memory: one epoch at batch 1,024 with a cross-batch memory of 8,192, at once and in chunks of 128.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import timm
import torch
from rich.console import Console
from rich.table import Table
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from _rates import machine, median, save_rates
from morelli.data.dataset import PaintersByNumbers
from morelli.evaluation.calculator import PaintingAccuracyCalculator
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder, embed
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import TrainingConfig, create_accelerator, create_sampler, fit
from morelli.training.objectives import ObjectiveConfig, create_objective

TARGET, TARGET_WAITING = 0.9, 0.05
WIDTH, XBM = 512, 8192
TINY = {"backbone": "test_resnet", "size": 32, "batch": 16, "large_batch": 32, "paintings": 1000, "steps": 2}


class Ours:
    """Trains a whole network on some pictures; → seconds of the epoch after the first, and pictures in one."""

    def __init__(self, options: argparse.Namespace, batch: int, chunk: int | None = None, **objective: Any) -> None:
        torch.manual_seed(0)
        name, size = options.backbone, options.size
        self.backbone = Backbone(BackboneConfig(name=name, weights="none", image_size=size, train="all"))
        self.model = Embedder(self.backbone, EmbeddingHead(self.backbone.width, HeadConfig(hidden=(), width=128)))
        self.objective = ObjectiveConfig.model_validate(objective or "triplet")
        self.config = TrainingConfig(epochs=2, batch_size=batch, validate_every=2, precision="bf16", chunk=chunk)

    def train(self, dataset: Dataset[Any], labels: list[int]) -> tuple[float, int]:
        made = create_objective(self.objective, width=128, artists=max(labels) + 1, normalised=True)
        assert made is not None
        accelerator = create_accelerator(self.config.precision)
        with tempfile.TemporaryDirectory() as folder:
            history = fit(
                self.model, made, dataset, labels, lambda: 0.0, self.config, Path(folder), accelerator=accelerator
            )
        return float(history["seconds"].iloc[-1]), len(create_sampler(labels, self.config, 0)[0])


def timm_rate(options: argparse.Namespace, device: torch.device) -> float:
    """Images a second of timm's training benchmark."""
    model = timm.create_model(options.backbone, num_classes=1000).to(device, memory_format=torch.channels_last).train()
    optimiser = create_optimizer_v2(model, opt="sgd", lr=1e-4)
    images = torch.randn(options.batch, 3, options.size, options.size, device=device)
    images = images.to(memory_format=torch.channels_last)
    wanted = torch.randint(1000, (options.batch,), device=device)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            output = model(images)
        functional.cross_entropy(output, wanted).backward()
        optimiser.step()

    for _ in range(min(10, options.steps)):
        step()
    _wait(device)
    started = time.perf_counter()
    for _ in range(options.steps):
        step()
    _wait(device)
    return options.steps * options.batch / (time.perf_counter() - started)


def compare_training(options: argparse.Namespace, data: Path, device: torch.device) -> dict[str, float]:
    """Images a second of the three, in turns."""
    found: dict[str, list[float]] = {"timm": [], "memory": [], "loader": []}
    for _ in range(options.rounds):
        found["timm"].append(timm_rate(options, device))
        for way in ("memory", "loader"):
            ours = Ours(options, options.batch)
            pictures = PaintersByNumbers(data, transform=ours.backbone.transform(augment=True))
            dataset: Dataset[Any] = pictures
            if way == "memory":  # as features of one view, which the loader hands over as they are
                shown = torch.randint(256, (1, 3, options.size, options.size), dtype=torch.uint8)
                shown = shown.expand(len(pictures), 1, -1, -1, -1)
                dataset = FeatureDataset(shown, pictures.labels)
            seconds, count = ours.train(dataset, pictures.labels)
            found[way].append(count / seconds)
    rates = {way: median(values) for way, values in found.items()}
    return {
        f"gpu_timm_{options.backbone}_images_per_second": rates["timm"],
        f"gpu_train_{options.backbone}_images_per_second": rates["loader"],
        "gpu_train_ratio": rates["loader"] / rates["timm"],
        "gpu_waiting_share": max(0.0, 1 - rates["loader"] / rates["memory"]),
    }


def measure_embedding(options: argparse.Namespace, data: Path, device: torch.device) -> dict[str, float]:
    """Pictures a second, seven views each, from files."""
    name = "test_resnet" if options.tiny else "tf_efficientnet_lite0"
    config = BackboneConfig(name=name, weights="none", image_size=options.size, fit="squash", views=7, precision="bf16")
    backbone = Backbone(config)
    pictures = PaintersByNumbers(data, transform=backbone.transform())
    started = time.perf_counter()
    embed(backbone, pictures, device)
    return {"gpu_embed_pictures_per_second": len(pictures) / (time.perf_counter() - started)}


def measure_retrieval(paintings: int, device: torch.device) -> dict[str, float]:
    """Seconds, memory, and the largest difference of a value from the CPU's."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(max(2, paintings // 45), (paintings,), generator=random)
    rows = torch.randn(int(labels.max()) + 1, WIDTH, generator=random)[labels]
    rows = functional.normalize(rows + 3 * torch.randn(paintings, WIDTH, generator=random), dim=1)
    on_device = PaintingAccuracyCalculator(k="max_bin_count", device=device)
    some = slice(min(5000, paintings))
    apart = (
        _values(on_device, rows[some], labels[some]),
        _values(PaintingAccuracyCalculator(k="max_bin_count"), rows[some], labels[some]),
    )
    _reset_peak(device)
    started = time.perf_counter()
    _values(on_device, rows.to(device), labels.to(device))
    _wait(device)
    return {
        "gpu_retrieval_seconds": time.perf_counter() - started,
        "gpu_retrieval_megabytes": _peak(device),
        "gpu_retrieval_difference": max(abs(apart[0][key] - apart[1][key]) for key in apart[1]),
    }


def measure_memory(options: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Peak megabytes of an epoch at a large batch with a cross-batch memory, at once and in chunks."""
    found = {}
    for chunk in (None, options.large_batch // 8):
        _reset_peak(device)
        loss = {"name": "CrossBatchMemory", "memory_size": XBM, "loss": {"name": "SupConLoss"}}
        ours = Ours(options, options.large_batch, chunk, kind="metric", loss=loss)
        labels = [row // 4 for row in range(2 * options.large_batch)]
        ours.train(_Blank(options.size, labels), labels)
        found[f"gpu_memory_{f'chunk_{chunk}' if chunk else 'at_once'}_megabytes"] = _peak(device)
    return found


class _Blank(Dataset[Any]):
    """Pictures without a file."""

    def __init__(self, size: int, labels: list[int]) -> None:
        self.picture, self.labels = torch.zeros(3, size, size), labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.picture, self.labels[index]


def _values(calculator: nn.Module | Any, rows: Tensor, labels: Tensor) -> dict[str, float]:
    return dict(calculator.get_accuracy(rows, labels))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    _wait(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a prepared folder; by default synthetic painters are painted")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--large-batch", type=int, default=1024)
    parser.add_argument("--paintings", type=int, default=103_250, help="for retrieval")
    parser.add_argument("--steps", type=int, default=40, help="of timm's loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a small network and few pictures, to try the script")
    parser.add_argument("--save", action="store_true", help="write the figures into rates.json")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("Nothing was measured: there is no CUDA device. --device cpu --tiny tries this script.")
        return
    if options.tiny:
        vars(options).update(TINY, rounds=1)
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    device = torch.device(options.device)
    console = Console(width=110)
    console.print(machine())
    with tempfile.TemporaryDirectory() as name:
        data = options.data or Path(name) / "painters"
        if options.data is None:
            artists, size = (8, 64) if options.tiny else (256, 256)
            SyntheticPainters(artists=artists, paintings_per_artist=8 if options.tiny else 32, size=size).write(data)
        rates = compare_training(options, data, device) | measure_embedding(options, data, device)
    rates |= measure_retrieval(options.paintings, device) | measure_memory(options, device)
    table = Table(title=f"{options.backbone}, {options.size} px, bf16, batches of {options.batch}")
    table.add_column("")
    table.add_column("", justify="right")
    for key, value in rates.items():
        table.add_row(key, f"{value:,.4g}")
    console.print(table)
    console.print(f"Targets: gpu_train_ratio at least {TARGET}, gpu_waiting_share under {TARGET_WAITING}.")
    if options.save:
        save_rates(rates, pixels=options.size)


if __name__ == "__main__":
    main()
