"""The networks of all folds end to end: one row more, on unseen artists that no fold has touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from morelli.bench.compare_runs import compare_runs
from morelli.bench.concatenated import concatenate
from morelli.bench.recipe import Recipe, load_recipe
from morelli.bench.run_folder import RunFolder, find_runs
from morelli.bench.runner import bench
from morelli.bench.tables import render, table
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import read_paintings
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.evaluation.evaluate import evaluate
from morelli.models.heads import CosineScorer
from morelli.models.network import Network, embed_with

TINY: dict[str, Any] = {
    "name": "tiny",
    "split": {"kind": "rotation", "folds": 2, "unseen_fraction": 0.5},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 6, "m": 2, "validate_every": 1},
}


@pytest.fixture
def recipe(prepared: Path, tmp_path: Path) -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, "data": str(prepared), **changes}))
        return load_recipe(path)

    return make


def test_the_folds_networks_are_measured_end_to_end(
    recipe: Callable[..., Recipe], tmp_path: Path, prepared: Path
) -> None:
    said: list[str] = []
    first, second, together = bench(recipe(), tmp_path / "out", say=said.append)
    assert [run.failure for run in (first, second, together)] == [None] * 3
    paintings = read_paintings(prepared)
    splits = [Split.load(run.path / "split.json") for run in (first, second, together)]
    assert splits[0].unseen == splits[1].unseen == splits[2].unseen
    assert not set(splits[0].validation) & set(splits[1].validation)
    assert set(splits[2].train) == {one for split in splits[:2] for one in (*split.train, *split.validation)}

    embeddings = []
    for run in (first, second):
        network = Network.load(run.path)
        dataset = PaintersByNumbers(prepared, transform=network.backbone.transform()).only(list(splits[0].unseen))
        embeddings.append(embed_with(network, dataset, torch.device("cpu")))
    expected = evaluate(torch.cat(embeddings, dim=1), splits[0].rows(paintings, "unseen"), CosineScorer())
    for metric, value in expected.metrics.items():
        # Two pairs whose scores differ by rounding may change places, as they do with torch 2.7.
        one_pair = 2e-5 if metric.startswith("pair_auc") else 1e-6
        assert together.metrics["unseen"][metric] == pytest.approx(value, abs=one_pair), metric
    assert together.metrics["unseen"]["interval"]["pair_auc"]
    assert together.metrics["embedding_width"] == 16
    assert together.metrics["parameters"] == 2 * first.metrics["parameters"]
    assert len(compare_runs(together.path, first.path, ["pair_auc"])) == 1
    # The same command again does nothing.
    assert len(bench(recipe(), tmp_path / "out", say=said.append)) == 3
    assert "finished before" in said[-1]


def test_the_table_has_a_row_for_the_mean_and_one_for_all_folds(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    bench(recipe(seeds=[0, 1]), tmp_path / "out")
    rows = table(find_runs([tmp_path / "out"]))
    assert rows["objective"].tolist() == ["triplet"] * 4 + ["triplet, concatenated"] * 2
    lines = [line for line in render(rows, "md").splitlines() if "test_efficientnet" in line]
    assert ["concatenated" in line for line in lines] == [False, True]
    columns = pd.Series([cell.strip() for cell in render(rows, "md").split("\n")[2].split("|")])
    assert not columns.isin(["fold", "seed"]).any()


def test_a_fold_without_a_finished_run_is_told(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    wild = {"kind": "bce-onehot", "training": {"learning_rate": 1e30, "clip_gradient": 1e30, "schedule": "constant"}}
    runs = bench(recipe(objectives=[wild]), tmp_path / "out")
    assert "Not every fold has a finished run" in (runs[-1].failure or "")


def test_folds_that_measured_different_artists_are_refused(
    recipe: Callable[..., Recipe], tmp_path: Path, prepared: Path
) -> None:
    split = {"kind": "folds", "folds": 2, "validation_fraction": 0.34}
    runs = bench(recipe(objectives=["frozen"], split=split), tmp_path / "out")
    assert len(runs) == 2  # no concatenation where every fold has its own unseen artists
    with pytest.raises(MorelliError, match="different unseen paintings"):
        concatenate(runs, prepared, read_paintings(prepared), RunFolder(tmp_path / "together"))
