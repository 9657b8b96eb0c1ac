"""The embeddings of the networks of all folds, end to end, measured on the unseen artists that they share.

Musgrave et al. 2020 ("A Metric Learning Reality Check") report this beside the mean of the single networks. It needs
a split whose unseen artists are the same in every fold (``rotation``).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from morelli._csv import write_csv
from morelli._processes import is_first, on_main_process, processes
from morelli.bench.grid import GridPoint
from morelli.bench.leakage import leakage
from morelli.bench.measure import measure_subset
from morelli.bench.run_folder import ENVIRONMENT, METRICS, RunFolder
from morelli.data.dataset import PaintersByNumbers
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.models.heads import CosineScorer
from morelli.models.network import Network, embed_with

NAME = "concatenated"


def fold_groups(points: Sequence[GridPoint], runs: Sequence[RunFolder]) -> list[tuple[RunFolder, list[RunFolder]]]:
    """For each backbone, objective and seed of a ``rotation``: the folder to write, and the runs of all folds."""
    groups: dict[str, tuple[RunFolder, list[RunFolder]]] = {}
    for point, run in zip(points, runs, strict=True):
        if point.recipe.split.splitter.same_unseen:
            name = f"{point.backbone.label}-{point.objective.name}-{NAME}-seed{point.seed}"
            groups.setdefault(name, (RunFolder(run.path.with_name(name)), []))[1].append(run)
    return list(groups.values())


def concatenated_config(runs: Sequence[RunFolder]) -> dict[str, Any]:
    """The config of the folds' runs as that of their concatenation: its own objective's name, and ``fold: all``."""
    config = dict(runs[0].config)
    name = f"{config['objective']['name']}, {NAME}"
    return config | {"objective": {**config["objective"], "name": name}, "fold": "all"}


def concatenate(runs: Sequence[RunFolder], data: Path, paintings: pd.DataFrame, run: RunFolder) -> None:
    """Measure the embeddings of finished runs end to end, each scaled to length 1, by cosine; write the run folder.

    There is no threshold and no calibration: every artist who is not unseen has trained one of the networks. There is
    no ``model/``: the networks are in the folds' own folders.

    Raises:
        MorelliError: a fold has no finished run, or the folds' unseen paintings are not the same.
    """
    split = on_main_process(partial(_common_split, runs, paintings))
    embeddings = torch.cat([_unit_embeddings(one, data, split) for one in runs], dim=1)
    if not is_first():
        return
    split.save(run.path / "split.json", paintings)
    write_csv(run.path / "history.csv", pd.DataFrame(columns=["epoch", "loss"]))
    rows = split.rows(paintings, "unseen")
    unseen, _, _ = measure_subset("unseen", embeddings, rows, CosineScorer(), paintings, run.path)
    costs = [one.environment for one in runs]
    seconds_an_image = sum(1 / cost["images_per_second"] for cost in costs)
    together = {
        "training_seconds": round(sum(cost["training_seconds"] for cost in costs), 2),
        "images_per_second": round(1 / seconds_an_image, 1),
    }
    run.write(ENVIRONMENT, costs[-1] | together)
    about = {
        "parameters": sum(one.metrics["parameters"] for one in runs),
        "image_size": runs[0].metrics["image_size"],
        "embedding_width": embeddings.shape[1],
        "copies": runs[0].metrics.get("copies"),
        "leakage": leakage(data, paintings, split, runs[0].config["backbone"].get("weights")),
    }
    run.write(METRICS, {**about, "unseen": unseen})


def _common_split(runs: Sequence[RunFolder], paintings: pd.DataFrame) -> Split:
    """The unseen paintings that all folds share, and as training all that any of them learned or chose from."""
    if failed := [one.path.name for one in runs if not one.is_finished]:
        raise MorelliError(f"Not every fold has a finished run: {', '.join(failed)}.")
    splits = [Split.load(one.path / "split.json") for one in runs]
    if len({split.unseen for split in splits}) > 1:
        raise MorelliError("The folds have different unseen paintings, so their embeddings cannot be concatenated.")
    learned_from = set().union(*((*split.train, *split.validation) for split in splits))
    return Split(tuple(one for one in paintings["id"] if one in learned_from), (), (), splits[0].unseen)


def _unit_embeddings(run: RunFolder, data: Path, split: Split) -> Tensor:
    network = Network.load(run.path)
    dataset = PaintersByNumbers(data, transform=network.backbone.transform()).only(list(split.unseen))
    return functional.normalize(embed_with(network, dataset, processes().device), dim=1)
