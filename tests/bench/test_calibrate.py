"""A finished network learns its thresholds anew: on its own validation artists, or on others."""

from pathlib import Path

import pytest
import torch
import yaml

from morelli import MorelliError, Network, SyntheticPainters, load_recipe, train
from morelli.bench.calibrate import calibrate_network
from morelli.bench.run_folder import RunFolder
from morelli.data.prepared import read_paintings, write_paintings
from morelli.data.splits import Split
from morelli.gallery.reader import Reader

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.3, "validation_fraction": 0.4},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 16, "m": 2, "validate_every": 2},
}


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands") / "hands"
    SyntheticPainters(artists=30, paintings_per_artist=6, size=48).write(folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, "data": str(hands)}))
    return train(load_recipe(folder / "tiny.yaml"), folder / "run")


def test_it_learns_what_the_run_learned(run: RunFolder, hands: Path, tmp_path: Path) -> None:
    done = calibrate_network(run.path, hands, tmp_path / "again")
    before, again = Network.load(run.path), Network.load(tmp_path / "again")
    assert done.artists == len(before.card.validation_artists)
    assert again.card.threshold == pytest.approx(before.card.threshold, abs=1e-4)
    for learned, wanted in (
        (again.card.calibration, before.card.calibration),
        (again.card.with_cohort["own"]["calibration"], before.card.with_cohort["own"]["calibration"]),
    ):
        assert learned["slope"] == pytest.approx(wanted["slope"], rel=1e-3)
        assert learned["bounds"] == pytest.approx(wanted["bounds"], abs=0.03)
    assert again.card.identification.keys() == before.card.identification.keys()
    # The run's unseen artists; of training artists nothing counts.
    assert done.measured["artists"] == run.metrics["unseen"]["artists"]
    assert done.measured["pair_auc"] == pytest.approx(run.metrics["unseen"]["pair_auc"], abs=1e-3)
    assert Reader(again).fingerprint == Reader(before).fingerprint
    assert f"Learned on {done.artists} artists" in done.text()


def test_on_other_artists_nothing_is_left_to_measure(run: RunFolder, tmp_path: Path) -> None:
    SyntheticPainters(artists=8, paintings_per_artist=5, size=48, seed=9).write(tmp_path / "mine", workers=1)
    paintings = read_paintings(tmp_path / "mine")
    write_paintings(tmp_path / "mine", paintings.assign(artist="Mine " + paintings["artist"]))
    done = calibrate_network(run.path, tmp_path / "mine", tmp_path / "out")
    card = Network.load(tmp_path / "out").card
    assert (done.artists, done.paintings, done.measured, card.measured) == (8, 40, None, None)
    assert set(card.calibration["artists"]) == set(card.validation_artists) == set("Mine " + paintings["artist"])
    assert "its error rates are not known" in done.text()
    weights = [Network.load(one).state_dict() for one in (run.path, tmp_path / "out")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_cannot_be_learned_is_said(run: RunFolder, hands: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(MorelliError, match="there is there already"):
        calibrate_network(run.path, hands, tmp_path / "there")
    split = Split.load(run.path / "split.json")
    paintings = read_paintings(hands)
    SyntheticPainters(artists=30, paintings_per_artist=6, size=48).write(tmp_path / "trained", workers=1)
    write_paintings(tmp_path / "trained", split.rows(paintings, "train"))
    with pytest.raises(MorelliError, match="cannot calibrate this network"):
        calibrate_network(run.path, tmp_path / "trained", tmp_path / "out")
    assert not (tmp_path / "out").exists()
