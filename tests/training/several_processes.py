"""Do the same work in one process and in two, and kill one of two; each writes what it got to a folder of its own.

One process imports everything and forks the others, because the imports take longer than the work:

    python tests/training/several_processes.py FOLDER
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from morelli._processes import on_main_process, processes
from morelli.bench.recipe import Recipe
from morelli.bench.runner import train
from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder, embed
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import TrainingConfig, create_accelerator, fit
from morelli.training.gradients import whole_batch_backward
from morelli.training.objectives import ObjectiveConfig, create_objective

LABELS = [artist for artist in range(7) for _ in range(5)]
FEATURES = torch.randn(len(LABELS), 12, generator=torch.Generator().manual_seed(0))
OBJECTIVES: dict[str, Any] = {
    "triplet": "triplet",
    "random pairs": "bce-pair",
    "proxies": {"loss": {"name": "ProxyAnchorLoss"}},
    "queue": {"loss": {"name": "CrossBatchMemory", "memory_size": 40, "loss": {"name": "SupConLoss"}}},
    "random miner": {"kind": "triplet", "miner": {"name": "DistanceWeightedMiner"}},
}
RECIPE: dict[str, Any] = {
    "name": "two",
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "head": {"hidden": [], "width": 8, "dropout": 0.0},
    "objectives": ["bce-pair"],
    "training": {"epochs": 4, "batch_size": 8, "m": 2, "validate_every": 2},
    "split": {"kind": "fraction"},
}


class Noted(FeatureDataset):
    """Notes which rows each batch asks for."""

    def __init__(self) -> None:
        super().__init__(FEATURES, LABELS)
        self.asked: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        self.asked.append(list(indices))
        return super().__getitems__(indices)


def gradients(folder: Path) -> None:
    """Of a batch of 12 pictures, under every kind of objective, at once and 2 pictures at a time."""
    pictures = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(12) // 2
    found: dict[str, Tensor] = {}
    for name, config in OBJECTIVES.items():
        for chunk in (None, 2):
            accelerator = create_accelerator("no")
            torch.manual_seed(3)
            backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32, train="all"))
            model = Embedder(backbone, EmbeddingHead(backbone.width, HeadConfig(hidden=(), width=8)))
            made = create_objective(ObjectiveConfig.model_validate(config), width=8, artists=6, normalised=True)
            assert made is not None
            own = slice(None)
            if accelerator.num_processes == 2:
                own = slice(6 * accelerator.process_index, 6 * accelerator.process_index + 6)
                torch.rand(accelerator.process_index)  # processes that augment differently draw differently often
            wrapped = accelerator.prepare(model)
            loss, _ = whole_batch_backward(wrapped, made, pictures[own], labels[own], accelerator, chunk=chunk)
            found[f"{name}, {chunk}, loss"] = loss
            for part in (model, made):
                for key, parameter in part.named_parameters():
                    if parameter.grad is not None:
                        found[f"{name}, {chunk}, {key}"] = parameter.grad
    save_file({key: value.contiguous() for key, value in found.items()}, folder / "gradients.safetensors")


def trained(folder: Path, *, killed_at: int | None = None, resume: bool = False) -> None:
    """A head on batches of 8 triplets, the last of an epoch being part of one; dropout off."""
    torch.manual_seed(3)
    head = EmbeddingHead(12, HeadConfig(hidden=(16,), width=8))
    made = create_objective(
        ObjectiveConfig.model_validate({"kind": "triplet", "miner": {}}),
        width=8,
        artists=7,
        normalised=True,
        sampling="triplets",
    )
    assert made is not None
    config = TrainingConfig(epochs=4, batch_size=8, sampling="triplets", validate_every=1, learning_rate=1e-2)
    dataset, steps = Noted(), []
    step = torch.optim.AdamW.step

    def counted(*arguments: Any, **options: Any) -> Any:
        steps.append(1)
        if len(steps) == killed_at and processes().process_index == 1:
            (folder / "killed-at").write_text(str(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **options)

    torch.optim.AdamW.step = counted  # type: ignore[method-assign]
    accelerator = create_accelerator("no", "tensorboard", folder)
    history = fit(
        head,
        made,
        dataset,
        LABELS,
        lambda: len(steps) / 100,
        config,
        folder,
        seed=5,
        resume=resume,
        accelerator=accelerator,
    )
    name = processes().process_index
    save_file({key: value.contiguous() for key, value in head.state_dict().items()}, folder / f"{name}.safetensors")
    (folder / f"asked-{name}.json").write_text(json.dumps(dataset.asked))
    on_main_process(lambda: (folder / "losses.json").write_text(json.dumps(history["loss"].tolist())))


def embedded(folder: Path, paintings: Path) -> None:
    """Embeddings of 7 pictures, and of one."""
    torch.manual_seed(3)
    backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32))
    dataset = PaintersByNumbers(paintings, transform=backbone.transform())
    ids = list(dataset.paintings["id"])
    parts = {str(count): embed(backbone, dataset.only(ids[:count]), torch.device("cpu")) for count in (7, 1)}
    save_file(parts, folder / f"embedded-{processes().process_index}.safetensors")


def whole_run(folder: Path, paintings: Path) -> None:
    """A run, and two mistakes: a finished run's folder, and a batch that two processes cannot halve."""
    recipe = Recipe.model_validate({**RECIPE, "data": str(paintings)})
    train(recipe, folder / "run")
    odd = Recipe.model_validate({**recipe.model_dump(), "training": {"batch_size": 9, "m": 3}})
    for name, asked in (("run", recipe), ("odd", odd)):
        try:
            train(asked, folder / name)
        except MorelliError as error:
            (folder / f"error-{name}-{processes().process_index}.txt").write_text(str(error))


def fine_tuned(folder: Path, paintings: Path) -> None:
    """A whole run with a trained backbone whose stages are pooled, so that its last layers are never used."""
    backbone = {**RECIPE["backbones"][0], "train": "all", "pool": "stages", "stages": 2}
    training = {**RECIPE["training"], "epochs": 1, "validate_every": 1, "chunk": 2}
    recipe = Recipe.model_validate({**RECIPE, "backbones": [backbone], "training": training, "data": str(paintings)})
    train(recipe, folder / "fine-tuned")


def everything(folder: Path, paintings: Path) -> None:
    os.environ["MORELLI_CACHE"] = str(folder / "cache")
    gradients(folder)
    trained(folder)
    embedded(folder, paintings)
    whole_run(folder, paintings)
    fine_tuned(folder, paintings)


def statuses(count: int, work: Callable[[], None]) -> list[int]:
    """Do ``work`` in so many forked processes of one group; return their exit statuses, or minus the signals."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            if count > 1:
                group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
                os.environ.update({key: str(value) for key, value in group.items()})
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), ACCELERATE_USE_CPU="true")
            try:
                work()
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main(folder: Path) -> None:
    paintings = folder / "paintings"
    painters = SyntheticPainters(artists=12, paintings_per_artist=6, size=48)
    outcome: dict[str, Any] = {"painted": statuses(1, lambda: painters.write(paintings, workers=1))}
    for name in ("one", "two", "killed"):
        (folder / name).mkdir()
    outcome["one"] = statuses(1, lambda: everything(folder / "one", paintings))
    outcome["two"] = statuses(2, lambda: everything(folder / "two", paintings))
    outcome["killed"] = statuses(2, lambda: trained(folder / "killed", killed_at=8))
    outcome["seconds"] = time.monotonic() - float((folder / "killed" / "killed-at").read_text())
    outcome["resumed"] = statuses(2, lambda: trained(folder / "killed", resume=True))
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
