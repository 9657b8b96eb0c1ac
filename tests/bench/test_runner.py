"""The bench: every cell leaves a whole run folder, failures stay their own, and the same recipe gives the same run."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from morelli.bench import experiment
from morelli.bench.compare_runs import compare_runs
from morelli.bench.recipe import Recipe, load_recipe
from morelli.bench.run_folder import RunFolder
from morelli.bench.runner import bench, train
from morelli.bench.tables import table
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import read_paintings
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.evaluation.normalisation import choose_cohort
from morelli.models.backbones import Backbone
from morelli.models.network import Network, embed_with
from morelli.training.checkpoint import CHECKPOINT

TINY: dict[str, Any] = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["frozen", "triplet"],
    "head": {"hidden": [8], "width": 8, "dropout": 0.1},
    "training": {"epochs": 4, "batch_size": 8, "m": 2, "validate_every": 1},
}
FIVE = ["frozen", "triplet", "bce-pair", "bce-concat", "bce-onehot"]
FILES = {"config.yaml", "split.json", "history.csv", "metrics.json", "environment.json", "model"}


@pytest.fixture
def recipe(prepared: Path, tmp_path: Path) -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, "data": str(prepared), **changes}))
        return load_recipe(path)

    return make


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each picture passed a backbone; blank ones, which only measure widths and speed, are not counted."""
    pictures: Counter[str] = Counter()
    forward = Backbone.forward

    def counted(self: Backbone, images: Tensor) -> Tensor:
        name = self.config.name
        shown = [image for image in images.cpu() if not torch.equal(image.amin((1, 2)), image.amax((1, 2)))]
        pictures.update(f"{name} {hash(image.numpy().tobytes())}" for image in shown)
        return forward(self, images)

    monkeypatch.setattr(Backbone, "forward", counted)
    return pictures


def metrics_of(runs: list[RunFolder]) -> list[bytes]:
    assert [run.failure for run in runs] == [None] * len(runs)
    return [(run.path / "metrics.json").read_bytes() for run in runs]


@contextmanager
def interrupted_at_the_third_look(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C while the network is measured on validation artists for the third time."""
    looks: Iterator[int] = iter(range(100))
    validate = experiment.Experiment._validate

    def interrupted(self: experiment.Experiment) -> float:
        if next(looks) == 2:
            raise KeyboardInterrupt
        return validate(self)

    with monkeypatch.context() as patch:
        patch.setattr(experiment.Experiment, "_validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_several_backbones_and_views_go_all_the_way(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    backbone = {**TINY["backbones"][0], "pool": "stages", "beside": ["test_vit"], "views": 3}
    backbone["image_size"] = 160  # the only one that test_vit takes

    (run,) = bench(recipe(backbones=[backbone], objectives=["frozen"]), tmp_path / "runs")

    assert run.failure is None
    assert run.environment["images_per_second"] > 0
    assert Network.load(run.path).card.backbone.beside == ("test_vit",)


def test_every_cell_leaves_a_whole_run_folder(recipe: Callable[..., Recipe], prepared: Path, tmp_path: Path) -> None:
    backbones = [*TINY["backbones"], {"name": "test_vit", "weights": "none", "image_size": 32}]
    said: list[str] = []
    asked = recipe(objectives=FIVE, backbones=backbones, training={**TINY["training"], "epochs": 2})
    runs = bench(asked, tmp_path / "out", say=said.append)
    assert len(runs) == len([line for line in said if line.startswith("[")]) == 10
    few = [line for line in said if not line.startswith("[")]  # said once, not by each run
    assert few == ["2 validation artists are too few to learn identification; it takes 6 with two or more paintings."]
    assert len(set(metrics_of(runs))) == 10
    paintings = read_paintings(prepared)
    for run in runs:
        assert run.path.parent == tmp_path / "out" / "tiny"
        names = {path.name for path in run.path.iterdir()}
        assert names >= FILES
        assert CHECKPOINT not in names
        for side in ("validation", "seen", "unseen"):
            assert {f"per_artist_{side}.csv", f"score_histogram_{side}.csv"} <= names
            assert (f"reliability_{side}.csv" in names) is (side != "validation")
            assert 0 <= run.metrics[side]["pair_auc"] <= 1
        split = Split.load(run.path / "split.json")
        assert run.metrics["unseen"]["paintings"] == len(split.rows(paintings, "unseen"))
        network = Network.load(run.path)
        assert set(network.card.training_artists) == set(split.rows(paintings, "train")["artist"])
        assert network.card.threshold is not None
    rows = table(runs)
    assert "failure" not in rows
    assert rows["objective"].value_counts().to_dict() == dict.fromkeys(FIVE, 2)
    onehot = [run for run in runs if run.config["objective"]["kind"] == "bce-onehot"]
    assert all(0 <= run.metrics["seen"]["classifier_accuracy"] <= 1 for run in onehot)
    assert len(pd.read_csv(onehot[0].path / "history.csv")) == 2


def test_finished_runs_are_skipped(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = metrics_of(bench(recipe(), tmp_path))
    monkeypatch.setattr("morelli.bench.runner.run_experiment", None)
    said: list[str] = []
    assert metrics_of(bench(recipe(), tmp_path, say=said.append)) == first
    assert all("finished before" in line for line in said)


def test_a_failing_cell_does_not_stop_the_others(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    missing = {"name": "test_vit", "weights": str(tmp_path / "missing.safetensors")}
    said: list[str] = []
    runs = bench(recipe(backbones=[missing, *TINY["backbones"]]), tmp_path / "out", say=said.append)
    assert [run.is_finished for run in runs] == [False, False, True, True]
    assert "Three ways to have some" in (runs[0].failure or "")
    assert sum("FAILED" in line for line in said) == 2
    rows = table(runs)
    assert rows["failure"].notna().sum() == 2
    assert rows["unseen_pair_auc"].notna().sum() == 2
    # When the cause is gone the same command runs what had failed, and only that.
    torch.save({}, tmp_path / "missing.safetensors")
    again = bench(recipe(backbones=[missing, *TINY["backbones"]]), tmp_path / "out", say=said.append)
    assert "finished before" in said[-1]
    assert "damaged" not in (again[0].failure or "")


def test_a_loss_that_becomes_nan_is_a_failure_that_says_so(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    wild = {"kind": "bce-onehot", "training": {"learning_rate": 1e30, "clip_gradient": 1e30, "schedule": "constant"}}
    runs = bench(recipe(objectives=["frozen", wild]), tmp_path)
    assert runs[0].is_finished
    assert "training.learning_rate" in (runs[1].failure or "")


def test_the_same_seed_gives_the_same_metrics_byte_for_byte(
    recipe: Callable[..., Recipe], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe(objectives=FIVE)
    first = metrics_of(bench(asked, tmp_path / "first"))
    torch.rand(7)  # what happened before must not matter, nor whether the features are on disk
    assert cache.is_dir()
    assert metrics_of(bench(asked, tmp_path / "full cache")) == first
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "another cache"))
    assert metrics_of(bench(asked, tmp_path / "empty cache")) == first
    last_alone = metrics_of(bench(recipe(objectives=FIVE[-1:]), tmp_path / "alone"))
    assert last_alone == first[-1:]


def test_another_seed_gives_another_network(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    left, right = metrics_of(bench(recipe(objectives=["triplet"], seeds=[0, 1]), tmp_path))
    assert left != right


def test_runs_of_different_training_seeds_can_be_paired(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    split = {"kind": "fraction", "unseen_fraction": 0.5, "validation_fraction": 0.25}
    asked = recipe(objectives=["triplet"], seeds=[0, 1], split=split)
    first, second = bench(asked, tmp_path)
    (row,) = compare_runs(first.path, second.path, ["pair_auc"]).to_dict("records")
    difference = first.metrics["unseen"]["pair_auc"] - second.metrics["unseen"]["pair_auc"]
    assert difference != 0
    assert row["difference"] == pytest.approx(difference)
    assert row["low"] < row["difference"] < row["high"]


def test_a_changed_recipe_under_the_same_name_is_refused(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    runs = bench(recipe(), tmp_path)
    before = metrics_of(runs)
    with pytest.raises(MorelliError, match="made with another training"):
        bench(recipe(training={**TINY["training"], "epochs": 5}), tmp_path)
    assert metrics_of(runs) == before


def test_an_interrupted_bench_goes_on_to_the_same_metrics(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe(objectives=["triplet", "bce-pair"])
    expected = metrics_of(bench(asked, tmp_path / "whole"))

    with interrupted_at_the_third_look(monkeypatch):
        bench(asked, tmp_path / "cut")
    left = tmp_path / "cut" / "tiny" / "test_efficientnet+32px-triplet-fold0-seed0"
    assert (left / CHECKPOINT).is_file()
    assert Network.load(left).card.objective == "triplet"
    steps: list[int] = []
    step = torch.optim.AdamW.step

    def counted(self: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        steps.append(1)
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    runs = bench(asked, tmp_path / "cut")
    assert metrics_of(runs) == expected
    assert [len(pd.read_csv(run.path / "history.csv")) for run in runs] == [4, 4]
    steps_in_an_epoch = len(steps) / (2 + 4)  # the interrupted run's last two epochs, and all four of the other's
    assert steps_in_an_epoch == int(steps_in_an_epoch) > 0
    assert not list(left.glob(CHECKPOINT))


def test_no_picture_passes_a_frozen_backbone_twice(
    recipe: Callable[..., Recipe], tmp_path: Path, passed: Counter[str], prepared: Path
) -> None:
    split = {"kind": "folds", "folds": 2, "validation_fraction": 0.34}
    runs = bench(recipe(objectives=["frozen", "bce-pair"], split=split), tmp_path)
    metrics_of(runs)
    assert len(runs) == 4
    assert set(passed.values()) == {1}
    assert len(passed) == len(read_paintings(prepared))


def test_a_fine_tuned_backbone_learns(recipe: Callable[..., Recipe], tmp_path: Path, passed: Counter[str]) -> None:
    backbone = {**TINY["backbones"][0], "train": "all"}
    training = {**TINY["training"], "epochs": 2}
    runs = bench(recipe(backbones=[backbone], objectives=["triplet"], training=training), tmp_path)
    metrics_of(runs)
    assert max(passed.values()) > 1
    torch.manual_seed(0)
    untrained = Backbone(Network.load(runs[0].path).card.backbone).state_dict()
    tuned = Network.load(runs[0].path).backbone.state_dict()
    moved = {key for key in tuned if not torch.equal(tuned[key], untrained[key])}
    assert any(key.endswith("weight") for key in moved)
    assert not any("running" in key for key in moved)


def test_a_fine_tuned_network_s_cohort_is_embedded_as_the_network_does(
    recipe: Callable[..., Recipe], tmp_path: Path, prepared: Path
) -> None:
    backbone = {**TINY["backbones"][0], "train": "all"}
    asked = recipe(backbones=[backbone], objectives=["triplet"], evaluation={"cohort": 5})
    (run,) = bench(asked, tmp_path)
    network = Network.load(run.path)
    train_rows = Split.load(run.path / "split.json").rows(read_paintings(prepared), "train")
    chosen = choose_cohort(train_rows, size=5)
    dataset = PaintersByNumbers(prepared, transform=network.backbone.transform()).only(list(chosen["id"]))
    assert network.card.cohort_artists == tuple(sorted(chosen["artist"].unique()))
    torch.testing.assert_close(network.cohort, embed_with(network, dataset, torch.device("cpu")))


def test_the_calibration_is_the_recipe_s(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    asked = recipe(objectives=["bce-pair"], evaluation={"calibration": "temperature"})
    (run,) = bench(asked, tmp_path)
    calibration = Network.load(run.path).card.calibration
    assert calibration is not None
    assert (calibration["method"], calibration["offset"]) == ("temperature", 0)
    assert "brier" in run.metrics["unseen"]
    with pytest.raises(MorelliError, match=r"evaluation\.calibration.*platt"):
        recipe(evaluation={"calibration": "plat"})


def test_folds_together_hold_every_artist_once(recipe: Callable[..., Recipe], tmp_path: Path, prepared: Path) -> None:
    split = {"kind": "folds", "folds": 3, "validation_fraction": 0.25}
    runs = bench(recipe(objectives=["frozen"], split=split), tmp_path)
    metrics_of(runs)
    paintings = read_paintings(prepared)
    unseen = [Split.load(run.path / "split.json").rows(paintings, "unseen")["artist"].unique() for run in runs]
    together = [artist for fold in unseen for artist in fold]
    assert sorted(together) == sorted(paintings["artist"].unique())


def test_precision_may_differ_between_runs(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    half = {"kind": "triplet", "name": "half", "training": {"precision": "bf16", "epochs": 1}}
    metrics_of(bench(recipe(objectives=["triplet", half]), tmp_path))


def test_train_runs_one_cell_and_nothing_twice(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    run = train(recipe(), tmp_path / "one")
    assert run.config["objective"]["name"] == "triplet"
    assert run.is_finished
    with pytest.raises(MorelliError, match="finished run"):
        train(recipe(), tmp_path / "one")
    with pytest.raises(MorelliError, match=r'no objective "tripet"\. Did you mean "triplet"\?'):
        train(recipe(), tmp_path / "two", objective="tripet")
    with pytest.raises(MorelliError, match='no backbone "test_efficientnt"'):
        train(recipe(), tmp_path / "two", backbone="test_efficientnt")


def test_an_interrupted_train_goes_on_only_with_resume(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(recipe(), tmp_path / "whole")
    with interrupted_at_the_third_look(monkeypatch):
        train(recipe(), tmp_path / "cut")
    with pytest.raises(MorelliError, match="--resume"):
        train(recipe(), tmp_path / "cut")
    assert metrics_of([train(recipe(), tmp_path / "cut", resume=True)]) == metrics_of([whole])
    (tmp_path / "cut" / CHECKPOINT).touch()  # killed after the last file, before this was removed
    assert metrics_of([train(recipe(), tmp_path / "cut", resume=True)]) == metrics_of([whole])
    assert not (tmp_path / "cut" / CHECKPOINT).exists()
