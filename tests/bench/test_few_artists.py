"""A bench on few artists gives a table: what fits is fitted, what cannot be had says why in its place."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor
from typer.testing import CliRunner

from morelli.bench.compare_runs import compare_runs
from morelli.bench.experiment import Experiment
from morelli.bench.measure import evaluate_network
from morelli.bench.recipe import Recipe, load_recipe
from morelli.bench.run_folder import RunFolder
from morelli.bench.runner import bench, train
from morelli.bench.tables import over_folds_and_seeds, render, table
from morelli.cli import app
from morelli.data.prepared import read_paintings, write_paintings
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.gallery.painters import Painters
from morelli.models.network import Network

DEMO: dict[str, Any] = {
    "name": "few",
    "split": {"kind": "fraction", "unseen_fraction": 0.3, "validation_fraction": 0.2},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["frozen", "triplet", "bce-pair", "bce-concat", "bce-onehot"],
    "head": {"hidden": [8], "width": 8, "dropout": 0.1},
    "training": {"epochs": 2, "batch_size": 64, "m": 4, "validate_every": 1},
}


@pytest.fixture
def folder_of(prepared: Path, tmp_path: Path) -> Callable[[list[int]], Path]:
    """A prepared folder whose artists have so many paintings each."""

    def make(counts: list[int]) -> Path:
        folder = tmp_path / f"prepared-{len(counts)}"
        shutil.copytree(prepared, folder)
        paintings = read_paintings(folder)
        kept = [
            rows.head(count) for count, (_, rows) in zip(counts, paintings.groupby("artist", sort=True), strict=False)
        ]
        write_paintings(folder, pd.concat(kept).sort_index().reset_index(drop=True))
        return folder

    return make


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    def make(data: Path, **changes: Any) -> Recipe:
        path = tmp_path / "few.yaml"
        path.write_text(yaml.safe_dump({**DEMO, "data": str(data), **changes}))
        return load_recipe(path)

    return make


def test_four_artists_give_a_whole_table(
    folder_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    said: list[str] = []
    asked = recipe(folder_of([6] * 4))
    runs = bench(asked, tmp_path / "out", say=said.append)

    assert [run.failure for run in runs] == [None] * 5
    notes = [line for line in said if not line.startswith("[")]
    assert notes == [
        "Split fitted to 4 artists: split.validation_fraction=0 instead of 0.2 (2 train, none validate, 2 are unseen).",
        "Batches fitted to 2 training artists: training.batch_size=8 instead of 64.",
        "No artist validates: training keeps its last weights, and there is no threshold, calibration or "
        "identification.",
    ]
    rows = table(runs)
    assert rows["unseen_pair_auc"].between(0, 1).all()
    assert not [column for column in rows if column.endswith("_low")]  # two artists carry no interval
    # What was really used is recorded, so that the same command skips what is there, and the run can be repeated.
    config = runs[1].config
    assert (config["split"]["validation_fraction"], config["training"]["batch_size"]) == (0, 8)
    again = bench(asked, tmp_path / "out", say=said.append)
    assert [run.path for run in again] == [run.path for run in runs]
    assert sum("finished before" in line for line in said) == 5
    # The network keeps its last weights, and works without what was never learned.
    network = Network.load(runs[1].path)
    assert network.card.threshold is None
    assert network.card.calibration is None
    assert network.card.validation_artists == ()
    assert "validation_pair_auc" not in pd.read_csv(runs[1].path / "history.csv")
    assert "unseen" in evaluate_network(runs[1].path, asked.data or Path())
    pictures = sorted((asked.data or Path()).rglob("*.jpg"))[:2]
    assert "no calibration" in Painters.load(runs[1].path).compare(*pictures).text()
    (row,) = compare_runs(runs[1].path, runs[0].path, ["pair_auc"]).to_dict("records")
    assert row["difference"] == pytest.approx(rows["unseen_pair_auc"][1] - rows["unseen_pair_auc"][0])
    assert math.isnan(row["low"])
    assert not row["distinguishable"]
    shown = CliRunner().invoke(app, ["compare-runs", str(runs[1].path), str(runs[0].path), "--metric", "pair_auc"])
    assert "no interval: too few artists" in shown.output


def test_most_artists_with_two_paintings_lose_a_side_and_not_the_table(
    folder_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    said: list[str] = []
    data = folder_of([2, 6, *[2] * 10])
    runs = bench(recipe(data, objectives=["frozen", "triplet"]), tmp_path / "out", say=said.append)

    assert [run.failure for run in runs] == [None, None]
    notes = " ".join(said)
    assert "training.m=2 instead of 4, training.batch_size=12 instead of 64" in notes
    assert notes.count("2 pairs by one validation artist and 4 by two are too few for a threshold") == 1
    assert len(Split.load(runs[0].path / "split.json").seen) == 2  # of the one artist who has enough to hold some out
    reason = "Seen artists: 1 with 2 paintings, too few to measure; it takes two artists, and one with two paintings."
    assert runs[0].metrics["unmeasured"] == {"seen": reason}
    assert notes.count(reason) == 1
    assert f"{reason} Unseen: 4 artists" in render(table(runs), "md")


def test_a_row_that_cannot_be_trained_fails_in_its_place(
    folder_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    data = folder_of([6] * 8)
    write_paintings(data, read_paintings(data).assign(genre=None))
    kind = "examples.ablations.labels:WithLabels"
    alike = {"kind": kind, "name": "alike", "loss": "TripletMarginLoss", "options": {"batches": "genre"}}
    said: list[str] = []
    runs = bench(recipe(data, objectives=["frozen", alike, "triplet"]), tmp_path / "out", say=said.append)
    assert [run.is_finished for run in runs] == [True, False, True]
    assert "No painting has a genre" in (runs[1].failure or "")
    assert any(line.startswith("alike cannot be trained: No painting has a genre") for line in said)
    rows = table(runs)
    assert rows.set_index("objective")["failure"].notna().to_dict() == {
        "frozen": False,
        "triplet": False,
        "alike": True,
    }
    with pytest.raises(MorelliError, match="No painting has a genre"):
        train(recipe(data, objectives=[alike]), tmp_path / "one")


def test_untrained_features_are_measured_where_nothing_can_be_trained(
    folder_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    runs = bench(recipe(folder_of([6, 6, 1, 1, 1, 1]), objectives=["frozen", "triplet"]), tmp_path / "out")
    assert [run.is_finished for run in runs] == [True, False]
    assert "No m fits: fewer than two artists have two paintings" in (runs[1].failure or "")
    assert runs[0].metrics["unseen"]["lone_artists"] == runs[0].metrics["unseen"]["artists"] - 1
    assert "Seen artists: " in render(table(runs), "md")  # none has enough paintings to hold some out


def test_below_what_can_be_measured_there_is_one_sentence(
    folder_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(MorelliError, match=r"3 artists, 3 of them with two.*takes 4 with two or more"):
        bench(recipe(folder_of([6] * 3)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_of_folds_counts_all_artists_once_and_stays_between_0_and_1(
    folder_of: Callable[..., Path], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    split = {"kind": "folds", "folds": 5, "validation_fraction": 0.2}
    runs = bench(recipe(folder_of([6] * 11), objectives=["frozen"], split=split, seeds=[0, 1]), tmp_path / "out")
    assert [run.failure for run in runs] == [None] * 10
    assert [run.metrics["unseen"]["artists"] for run in runs[::2]] == [3, 2, 2, 2, 2]
    assert "Unseen: 11 artists, 66 paintings in all folds." in render(table(runs), "md")


def fold(folder: Path, number: int, value: float, artists: list[str]) -> RunFolder:
    """A finished run of one fold, with an interval as if its artists were many."""
    run = RunFolder(folder)
    settings = {"recipe": "r", "backbone_label": "b", "fold": number, "seed": 0}
    backbone = {"name": "b", "beside": [], "pool": "global", "train": "frozen", "image_size": 32, "fit": "crop"}
    run.start({**settings, "objective": {"kind": "frozen", "name": "frozen"}, "backbone": {**backbone, "views": 1}})
    run.write("environment.json", {"training_seconds": 1.0, "images_per_second": 2.0})
    interval = {"precision_at_1": [value / 2, value + 0.01], "pair_auc": [0.4, 0.6]}
    measured = {"artists": len(artists), "paintings": 2 * len(artists), "precision_at_1": value, "pair_auc": 0.5}
    about = {"parameters": 1, "image_size": 32, "embedding_width": 8}
    run.write("metrics.json", {**about, "unseen": {**measured, "interval": interval}})
    pd.DataFrame({"artist": artists, "paintings": 2}).to_csv(folder / "per_artist_unseen.csv", index=False)
    return run


def test_a_mean_of_few_folds_has_bounds_that_can_be(tmp_path: Path) -> None:
    runs = [fold(tmp_path / "a", 0, 0.0, ["A", "B"]), fold(tmp_path / "b", 1, 0.416, ["C", "D", "E"])]
    (row,) = over_folds_and_seeds(table(runs)).to_dict("records")
    assert (row["unseen_artists"], row["unseen_paintings"]) == (5, 10)
    assert (row["unseen_precision_at_1_low"], row["unseen_precision_at_1_high"]) == (0, 1)
    text = render(table(runs), "md")
    assert "0.208 (0.000 to 1.000)" in text
    assert "Unseen: 5 artists, 10 paintings in all folds." in text
    assert "0.500 ± 0.000" in text


def test_a_table_of_failures_says_why_whatever_metric_is_asked_for(tmp_path: Path) -> None:
    run = fold(tmp_path / "a", 0, 0.5, ["A", "B"])
    (run.path / "metrics.json").unlink()
    (run.path / "failure.txt").write_text("no weights\n")
    assert "no weights" in render(table([run]), "md", ["pair_auc"])


def test_a_side_that_was_not_measured_stands_above_the_table(tmp_path: Path) -> None:
    run = fold(tmp_path / "a", 0, 0.5, ["A", "B"])
    metrics = json.loads((run.path / "metrics.json").read_text())
    run.write("metrics.json", {**metrics, "unmeasured": {"seen": "Seen artists: 1 with 3 paintings, too few."}})
    text = render(table([run]), "md")
    assert "Seen artists: 1 with 3 paintings, too few. Unseen: 2 artists, 4 paintings." in " ".join(text.split())
    with pytest.raises(MorelliError, match=r"Known: artists, paintings, pair_auc, precision_at_1\."):
        render(table([run]), "md", ["pair_acu"])


def test_a_side_on_which_all_is_the_same_is_named(
    folder_of: Callable[..., Path],
    recipe: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embeddings = Experiment.embeddings

    def collapsed(self: Experiment, side: str, chosen: pd.DataFrame | None = None) -> Tensor:
        found = embeddings(self, side, chosen)
        return torch.ones_like(found) if side == "unseen" else found

    monkeypatch.setattr(Experiment, "embeddings", collapsed)
    (run,) = bench(recipe(folder_of([6] * 8), objectives=["frozen"]), tmp_path / "out")
    assert (run.failure or "").startswith("Unseen artists: All 12 embeddings are the same")
