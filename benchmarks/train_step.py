"""Images a second of the real fine-tuning loop, against the bare step on tensors that are in memory already.

Run it with:  python benchmarks/train_step.py [--data PREPARED] [--rounds 8] [--save]

- The loop is `morelli.training.fit.fit` on a whole network: pictures drawn by artist, decoded and augmented by the
  loader, the whole batch's triplet loss, clipped gradients, optimiser, schedule, logged figures. An epoch's time counts
  from its start, so starting the loader's processes and waiting for the first batch belong to it.
- The bare step is a copy of the same network: forward, the same loss, backward, fused AdamW, on batches made before.
- They take turns: after every epoch of the loop come as many bare steps on as many pictures. The loop's first turn is
  left out; every other is compared with the mean of the bare turns before and after it, since a shared machine drifts,
  and the median of these ratios counts. A backbone has a process of its own, and random weights.
"""

import argparse
import copy
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader

from _rates import in_own_process, machine, median, save_rates
from morelli.data.dataset import PaintersByNumbers
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.fit import TrainingConfig, create_accelerator, create_sampler, fit
from morelli.training.objectives import Objective, ObjectiveConfig, create_objective

BACKBONES = ("tf_efficientnet_lite0", "resnet18")
PER_ARTIST = 8
TARGET = 0.92


class Bare:
    """Forward, loss, backward and step of a copy of the network, on batches in memory."""

    def __init__(self, model: nn.Module, objective: nn.Module, batches: list[Any], device: torch.device) -> None:
        self.model, self.objective = copy.deepcopy(model).to(device), copy.deepcopy(objective).to(device)
        self.batches = [(images.to(device), labels.to(device)) for images, labels in batches]
        parameters = [p for part in (self.model, self.objective) for p in part.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def seconds(self, steps: int) -> float:
        self.model.train()
        started = time.perf_counter()
        for step in range(steps):
            images, labels = self.batches[step % len(self.batches)]
            self.optimiser.zero_grad()
            loss, _ = self.objective(self.model(images), labels)
            loss.backward()
            self.optimiser.step()
        loss.item()  # a GPU must be done
        return time.perf_counter() - started


def measure(name: str, data: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every turn of the loop but the first, of the bare turns around them, and the pictures in a turn."""
    torch.manual_seed(0)
    backbone = Backbone(BackboneConfig(name=name, weights="none", image_size=options.size, train="all"))
    head = EmbeddingHead(backbone.width, HeadConfig(hidden=(256,), width=128, dropout=0.5))
    model = Embedder(backbone, head)
    dataset = PaintersByNumbers(data, transform=backbone.transform(augment=True))
    objective: Objective = create_objective(
        ObjectiveConfig.model_validate("triplet"), width=128, artists=len(dataset.artists), normalised=True
    )
    config = TrainingConfig(epochs=options.rounds + 1, batch_size=options.batch, validate_every=1, patience=10**6)
    sampler, _ = create_sampler(dataset.labels, config, seed=0)
    loader = iter(DataLoader(dataset, options.batch, sampler=sampler))
    accelerator = create_accelerator("no")
    bare = Bare(model, objective, [next(loader) for _ in range(4)], accelerator.device)
    taken: list[float] = []

    def bare_turn() -> float:
        taken.append(bare.seconds(len(sampler) // options.batch))
        return float(len(taken))

    with tempfile.TemporaryDirectory() as folder:
        history = fit(
            model, objective, dataset, dataset.labels, bare_turn, config, Path(folder), accelerator=accelerator
        )
    loop = [both - own for both, own in zip(history["seconds"], taken, strict=True)]
    return {"loop": loop[1:], "bare": taken, "pictures": [len(sampler)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a prepared folder; by default synthetic painters are painted")
    parser.add_argument("--backbones", nargs="*", default=list(BACKBONES))
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--artists", type=int, default=64, help="painted, 8 pictures each; fewer make shorter turns")
    parser.add_argument("--save", action="store_true", help="write the figures into rates.json")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options.data, options)))
        return
    console = Console(width=110)
    console.print(machine())
    table = Table(title=f"{options.size} px, batches of {options.batch}, {options.rounds} turns of each")
    for column in ("backbone", "bare step, images/s", "real loop, images/s", f"ratio (target: at least {TARGET})"):
        table.add_column(column, justify="left" if column == "backbone" else "right")
    with tempfile.TemporaryDirectory() as name:
        data = options.data or Path(name) / "painters"
        if options.data is None:
            SyntheticPainters(artists=options.artists, paintings_per_artist=PER_ARTIST, size=160).write(data)
        for backbone in options.backbones:
            sizes = ("--size", str(options.size), "--batch", str(options.batch), "--rounds", str(options.rounds))
            found = in_own_process(__file__, "--part", backbone, "--data", str(data), *sizes)
            pictures = found["pictures"][0]
            speeds = [pictures / median(found[side]) for side in ("bare", "loop")]
            around = [(before + after) / 2 for before, after in pairwise(found["bare"])]
            ratio = median([bare / loop for loop, bare in zip(found["loop"], around, strict=True)])
            table.add_row(backbone, *(f"{speed:.1f}" for speed in speeds), f"{ratio:.3f}")
            if options.save:
                rates = {f"train_step_{backbone}_ratio": ratio, f"train_{backbone}_images_per_second": speeds[1]}
                save_rates(rates, pixels=options.size)
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    main()
