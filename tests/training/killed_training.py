"""Kill trainings with SIGKILL, go on with them, and say whether they end with the weights of one that was left alone.

One process imports everything and forks one child for each training, because the imports take longer than training:

    python tests/training/killed_training.py FOLDER
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parents[2]))  # for examples/
from morelli.data.dataset import PaintersByNumbers
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.synthetic.painters import SyntheticPainters
from morelli.training import checkpoint, fit
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import TrainingConfig
from morelli.training.objectives import ObjectiveConfig, create_objective

XBM = {"loss": {"name": "CrossBatchMemory", "memory_size": 20, "loss": {"name": "SupConLoss"}}}
"""Its queue of 20 is neither full nor empty after an epoch of 4 batches of 12."""
CLASSIFIED_FIRST = {
    **ObjectiveConfig.model_validate("triplet").model_dump(),
    "kind": "examples.ablations.classify_first:ClassifyFirst",
    "options": {"epochs": 3},
}
LABELS = [artist for artist in range(6) for _ in range(8)]
FEATURES = torch.randn(len(LABELS), 12, generator=torch.Generator().manual_seed(0))

# name → (what is trained, what happens for the n-th time when the kill comes)
# An epoch of features has 4 steps, one of pictures 2; features are looked at every 2 epochs, pictures after each.
KILLS: dict[str, tuple[str, str, int]] = {
    "before the first checkpoint": ("features", "step", 6),
    "in the first step after a checkpoint": ("features", "step", 9),
    "in the middle of an epoch": ("features", "step", 19),
    "in a look": ("features", "look", 2),
    "with half a checkpoint written": ("features", "half a file", 2),
    "with a checkpoint not yet in place": ("features", "whole file", 2),
    "after the last checkpoint": ("features", "end", 1),
    "with a checkpoint every epoch": ("features, often", "step", 15),
    "with the best weights far back": ("features, worse and worse", "step", 19),
    "a queue of embeddings": ("queue", "step", 14),
    "where the loss takes over from a classifier": ("classified first", "step", 14),
    "a random miner and dropout": ("random pairs", "step", 10),
    "pictures, augmented by workers": ("pictures", "step", 5),
}


def features(objective: Any = "triplet") -> tuple[Any, Any, Any, list[int]]:
    head = EmbeddingHead(12, HeadConfig(hidden=(16,), width=8, dropout=0.2))
    made = create_objective(ObjectiveConfig.model_validate(objective), width=8, artists=6, normalised=True)
    return head, made, FeatureDataset(FEATURES, LABELS), LABELS


def pictures(folder: Path) -> tuple[Any, Any, Any, list[int]]:
    backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32, train="all"))
    model = Embedder(backbone, EmbeddingHead(backbone.width, HeadConfig(hidden=(), width=8, dropout=0.2)))
    objective = create_objective(ObjectiveConfig.model_validate("triplet"), width=8, artists=4, normalised=True)
    dataset = PaintersByNumbers(folder, transform=backbone.transform(augment=True))
    fit.loader_workers = lambda *_: 2  # type: ignore[assignment]
    return model, objective, dataset, dataset.labels


def train(what: str, folder: Path, paintings: Path, *, resume: bool = False) -> None:
    """Train to the end and write a digest of the weights and of the history."""
    torch.manual_seed(3)
    makers: dict[str, Callable[[], tuple[Any, Any, Any, list[int]]]] = {
        "queue": lambda: features(XBM),
        "random pairs": lambda: features("bce-concat"),
        "classified first": lambda: features(CLASSIFIED_FIRST),
        "pictures": lambda: pictures(paintings),
    }
    model, objective, dataset, labels = makers.get(what, features)()
    if what == "features, often":
        checkpoint._SECONDS_BETWEEN = -1.0
    looks = count()

    def validate() -> float:
        next(looks)
        with torch.no_grad():  # depends on the weights alone, and consumes random draws as loaders do
            torch.rand(3)
            growing = float(next(model.parameters()).abs().sum())
            return -growing if what == "features, worse and worse" else growing

    every = 1 if what == "pictures" else 2
    options = {"epochs": 3 if what == "pictures" else 6, "validate_every": every, "batch_size": 12, "m": 3}
    config = TrainingConfig(**options, learning_rate=1e-2)
    history = fit.fit(model, objective, dataset, labels, validate, config, folder, seed=5, resume=resume)
    if what == "features, worse and worse":
        assert history["validation_pair_auc"].idxmax() == 1  # the first look, long before the kill
    tensors: list[Tensor] = [*model.state_dict().values(), *objective.state_dict().values()]
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors))
    digest.update(history.drop(columns="seconds").to_csv().encode())
    called("end")
    (folder / "digest.txt").write_text(digest.hexdigest())


called: Callable[[str], None] = lambda _: None  # noqa: E731


def kill_at(event: str, number: int) -> None:
    """Make this process kill itself the ``number``-th time ``event`` comes."""
    numbers: Iterator[int] = count(1)

    def note(happened: str, before: Callable[[], Any] = lambda: None) -> None:
        if happened == event and next(numbers) == number:
            before()
            os.kill(os.getpid(), signal.SIGKILL)

    step, look, save = torch.optim.AdamW.step, checkpoint.TrainingState.validated, torch.save

    def noted_step(*arguments: Any, **options: Any) -> Any:
        note("step")
        return step(*arguments, **options)

    def noted_look(*arguments: Any) -> None:
        note("look")
        look(*arguments)

    def noted_save(content: Any, path: Path) -> None:
        save(content, path)
        note("half a file", lambda: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]))
        note("whole file")

    torch.optim.AdamW.step = noted_step  # type: ignore[method-assign]
    checkpoint.TrainingState.validated = noted_look  # type: ignore[method-assign]
    torch.save = noted_save
    globals()["called"] = note


def ends(work: Callable[[], None]) -> int:
    """Do ``work`` in a forked child; return the child's exit status, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    paintings = folder / "paintings"
    ends(lambda: SyntheticPainters(artists=4, paintings_per_artist=6, size=48).write(paintings, workers=1))
    for what in sorted({what for what, _, _ in KILLS.values()}):
        (folder / what).mkdir()
        ends(lambda what=what: train(what, folder / what, paintings))  # type: ignore[misc]
    print(json.dumps({name: killed_and_resumed(folder, name) for name in KILLS}))


def killed_and_resumed(folder: Path, name: str) -> dict[str, Any]:
    what, event, number = KILLS[name]
    place = folder / name
    place.mkdir()

    def killed() -> None:
        kill_at(event, number)
        train(what, place, folder / "paintings")

    statuses = [ends(killed), ends(lambda: train(what, place, folder / "paintings", resume=True))]
    files = [folder / what / "digest.txt", place / "digest.txt"]
    digests = [file.read_text() if file.is_file() else "" for file in files]
    return {"statuses": statuses, "digests": digests, "left over": [p.name for p in place.glob(".*.partial*")]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
