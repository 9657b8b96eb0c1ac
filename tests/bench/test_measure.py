"""Measuring a finished network on any folder: who counts as seen, and what is left out."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from morelli.bench.measure import evaluate_network, render_evaluation
from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import RunFolder
from morelli.bench.runner import train
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import read_paintings, write_paintings
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.evaluation.evaluate import evaluate
from morelli.evaluation.normalisation import cohort_scorers
from morelli.evaluation.shift import CONDITIONS
from morelli.models.network import Network, embed_with
from morelli.synthetic.painters import SyntheticPainters

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25, "seen_fraction": 0.5},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["bce-pair"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 8, "m": 2, "validate_every": 1},
}


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, "data": str(prepared)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(folder / "cache"))
        return train(load_recipe(folder / "tiny.yaml"), folder / "run")


@pytest.fixture
def changed(prepared: Path, tmp_path: Path) -> Callable[[Callable[[pd.DataFrame], pd.DataFrame]], Path]:
    """A copy of the prepared folder with another table."""

    def change(how: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(prepared, folder)
        write_paintings(folder, how(read_paintings(folder)))
        return folder

    return change


def split_of(run: RunFolder) -> Split:
    return Split.load(run.path / "split.json")


def test_the_saved_network_measures_what_the_run_measured(run: RunFolder, prepared: Path) -> None:
    measured = evaluate_network(run.path, prepared)
    split = split_of(run)
    assert measured["seen"]["paintings"] == len(split.seen)
    assert measured["unseen"]["paintings"] == len(split.unseen) + len(split.validation)
    for metric, value in run.metrics["seen"].items():
        if metric != "interval":
            assert measured["seen"][metric] == pytest.approx(value, abs=1e-6), metric
    assert "balanced_accuracy" in measured["seen"]
    assert "brier" in measured["seen"]
    left_out, chosen_on = measured["notes"]
    assert left_out == f"{len(split.train)} paintings that the network was trained on are left out."
    validation = split.rows(read_paintings(prepared), "validation")["artist"].nunique()
    assert chosen_on.startswith(f"{validation} of the unseen artists served to choose")


def test_the_unseen_alone_are_measured_as_in_the_run(run: RunFolder, changed: Callable[..., Path]) -> None:
    unseen = split_of(run).unseen
    folder = changed(lambda table: table[table["id"].isin(unseen)].reset_index(drop=True))
    measured = evaluate_network(run.path / "model", folder)
    assert "seen" not in measured
    assert any("Seen artists: 0 with 0 paintings, too few" in note for note in measured["notes"])
    for metric, value in run.metrics["unseen"].items():
        if metric != "interval":
            assert measured["unseen"][metric] == pytest.approx(value, abs=1e-6), metric


def test_names_are_compared_folded(run: RunFolder, prepared: Path, changed: Callable[..., Path]) -> None:
    expected = evaluate_network(run.path, prepared)
    folder = changed(lambda table: table.assign(artist="  " + table["artist"].str.upper().str.replace("E", "É")))
    measured = evaluate_network(run.path, folder)
    for side in ("seen", "unseen"):
        assert (measured[side]["artists"], measured[side]["paintings"]) == (
            expected[side]["artists"],
            expected[side]["paintings"],
        )
        assert measured[side]["pair_auc"] == pytest.approx(expected[side]["pair_auc"])


def test_another_folder_has_only_unseen_artists(run: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "other"
    SyntheticPainters(artists=3, paintings_per_artist=3, size=48, seed=9).write(other, workers=1)
    measured = evaluate_network(run.path, other)
    assert measured["unseen"]["artists"] == 3
    assert measured["unseen"]["paintings"] == 9
    assert "seen" not in measured
    assert any("trained on pictures of 64 px, these have 48 px" in note for note in measured["notes"])
    json.dumps(measured, allow_nan=False)
    text = render_evaluation(measured)
    for word in ("bce-pair", "3 artists, 9 paintings", "pair_auc", "Note: "):
        assert word in text
    assert not any("served to choose" in note for note in measured["notes"])


def test_training_paintings_are_known_by_their_files_whatever_they_are_called(
    run: RunFolder, changed: Callable[..., Path]
) -> None:
    train_ids = split_of(run).train
    folder = changed(lambda table: table.assign(artist=[f"Somebody {place % 5}" for place in range(len(table))]))
    measured = evaluate_network(run.path, folder)
    assert measured["notes"][0].startswith(f"{len(train_ids)} paintings")
    assert measured["unseen"]["paintings"] == len(read_paintings(folder)) - len(train_ids)


def test_no_artist_is_measured_with_a_cohort_that_holds_them(run: RunFolder, changed: Callable[..., Path]) -> None:
    network = Network.load(run.path)
    cohort = network.card.cohort_artists
    assert cohort
    assert set(cohort) <= set(network.card.training_artists)
    # Another folder holds new paintings by artists of the cohort, their names spelt differently, beside strangers.
    trained_on = split_of(run).train
    spelt = {artist: f" {artist.upper()} " for artist in cohort}
    folder = changed(
        lambda table: table[~table["id"].isin(trained_on)].replace({"artist": spelt}).reset_index(drop=True)
    )
    assert read_paintings(folder)["artist"].isin(spelt.values()).any()
    measured = evaluate_network(run.path, folder)
    for method in ("csls", "s-norm"):
        assert f"pair_auc_{method}" in measured["unseen"]
        assert f"pair_auc_{method}" in run.metrics["unseen"]
        assert f"pair_auc_{method}" not in measured["seen"]
        assert f"pair_auc_{method}" not in run.metrics["seen"]
    # Were one of them to pass for unseen, by a card that forgot the name, the measurement is refused.
    others = tuple(name for name in network.card.training_artists if name != cohort[0])
    network.with_facts(training_artists=others).save(folder / "forgetful")
    with pytest.raises(MorelliError, match="also in the cohort"):
        evaluate_network(folder / "forgetful", folder)


def test_the_saved_cohort_measures_what_the_run_measured(run: RunFolder, prepared: Path) -> None:
    network = Network.load(run.path)
    dataset = PaintersByNumbers(prepared, transform=network.backbone.transform()).only(list(split_of(run).unseen))
    embeddings = embed_with(network, dataset, torch.device("cpu"))
    scorers = cohort_scorers(network)
    assert set(scorers) == {"csls", "s-norm"}
    for method, scorer in scorers.items():
        found = evaluate(embeddings, dataset.paintings, scorer).metrics["pair_auc"]
        assert found == pytest.approx(run.metrics["unseen"][f"pair_auc_{method}"], abs=1e-6)


def test_what_reports_read_is_kept_where_asked(run: RunFolder, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "measured"
    measured = evaluate_network(run.path, prepared, out=out)
    assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(measured))
    for side in ("seen", "unseen"):
        assert len(pd.read_csv(out / f"per_artist_{side}.csv")) == measured[side]["artists"]
        pairs = pd.read_csv(out / f"score_histogram_{side}.csv")[["same", "different"]].to_numpy().sum()
        assert pairs == measured[side]["paintings"] * (measured[side]["paintings"] - 1) // 2
        assert (out / f"leave_one_out_{side}.parquet").is_file()
    assert (out / "reliability_seen.csv").is_file()
    assert not (out / "reliability_unseen.csv").exists()  # validation artists are among them
    with pytest.raises(MorelliError, match="is a run's folder"):
        evaluate_network(run.path, prepared, out=run.path)


def test_a_folder_of_training_paintings_alone_cannot_be_measured(run: RunFolder, changed: Callable[..., Path]) -> None:
    train_ids = split_of(run).train
    folder = changed(lambda table: table[table["id"].isin(train_ids)].reset_index(drop=True))
    with pytest.raises(MorelliError, match="trained on every painting in it"):
        evaluate_network(run.path, folder)


def test_too_few_paintings_cannot_be_measured(run: RunFolder, changed: Callable[..., Path]) -> None:
    one_each = split_of(run).unseen[::6]
    folder = changed(lambda table: table[table["id"].isin(one_each)].reset_index(drop=True))
    with pytest.raises(MorelliError, match=r"cannot be measured\..*Unseen artists: \d with \d paintings, too few"):
        evaluate_network(run.path, folder)


@pytest.mark.parametrize("where", ["", "model"])
def test_no_model_and_no_data_are_named(where: str, run: RunFolder, tmp_path: Path, prepared: Path) -> None:
    with pytest.raises(MorelliError, match="holds no trained model"):
        evaluate_network(tmp_path / where, prepared)
    with pytest.raises(MorelliError, match="missing"):
        evaluate_network(run.path / where, tmp_path / "missing")


def test_a_damaged_model_is_refused(run: RunFolder, tmp_path: Path, prepared: Path) -> None:
    broken: Any = shutil.copytree(run.path, tmp_path / "broken")
    (broken / "model" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(MorelliError, match="is damaged"):
        evaluate_network(broken, prepared)


def test_the_card_has_threshold_and_calibration(run: RunFolder) -> None:
    card = Network.load(run.path).card
    assert card.threshold is not None
    assert card.calibration is not None
    assert card.prepared_size == 64


def test_each_condition_measures_what_a_folder_of_such_pictures_measures(
    run: RunFolder, prepared: Path, tmp_path: Path
) -> None:
    plain = evaluate_network(run.path, prepared)
    out = tmp_path / "measured"
    measured = evaluate_network(run.path, prepared, conditions=CONDITIONS, out=out)
    assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(measured))
    found = measured.pop("shift")
    assert measured == plain == evaluate_network(run.path, prepared)
    assert list(found) == [one.name for one in CONDITIONS]
    for one in CONDITIONS:
        folder: Any = shutil.copytree(prepared, tmp_path / one.name)
        for path in folder.rglob("*.jpg"):
            with Image.open(path) as picture:
                changed = one.change(picture.convert("RGB"))
            changed.save(path, "PNG")  # nothing more is lost
        expected = evaluate_network(run.path, folder)
        for subset in ("seen", "unseen"):
            interval = found[one.name][subset].pop("interval")
            for metric, value in found[one.name][subset].items():
                assert value == pytest.approx(expected[subset][metric], abs=1e-6), (one.name, metric)
            assert interval["pair_auc"] == pytest.approx(expected[subset]["interval"]["pair_auc"], abs=1e-6)
            assert found[one.name][subset]["pair_auc"] != plain[subset]["pair_auc"]


def test_the_table_of_conditions_fits_a_terminal_and_begins_with_the_pictures_as_they_are(
    run: RunFolder, prepared: Path
) -> None:
    measured = evaluate_network(run.path, prepared, conditions=CONDITIONS)
    text = re.sub(r"\x1b\[[\d;]*m", "", render_evaluation(measured, width=80))
    assert max(map(len, text.splitlines())) <= 80
    rows = [line for line in text.splitlines() if "as they are" in line]
    assert rows
    seen, unseen = measured["seen"], measured["unseen"]
    for value in (seen["pair_auc"], unseen["pair_auc"], seen["cllr"], seen["realised_far_0.1"]):
        assert any(f" {value:.3f}" in row for row in rows)
    assert " - " in rows[-1]  # validation artists are among the unseen, so the calibration says nothing of them
    for name in measured["shift"]:
        assert text.count(name) == len(rows)
    piped = render_evaluation(measured)
    assert len([line for line in piped.splitlines() if "as they are" in line]) == 1


def test_artists_never_seen_are_neither_those_trained_on_nor_those_validated_on(run: RunFolder, prepared: Path) -> None:
    measured = evaluate_network(run.path, prepared, never_seen=True)
    split, table = split_of(run), read_paintings(prepared)
    assert "seen" not in measured
    for metric, value in run.metrics["unseen"].items():  # the calibration's measures, too
        if metric != "interval":
            assert measured["unseen"][metric] == pytest.approx(value, abs=1e-6), metric
    assert "cllr" in measured["unseen"]
    known = {*split.keys(table, "train"), *split.keys(table, "validation")}
    assert f"{len(known)} artists that it was trained on or validated on are left out." in measured["notes"]
    assert not any("served to choose" in note for note in measured["notes"])


def test_a_folder_without_an_artist_never_seen_cannot_be_measured(run: RunFolder, changed: Callable[..., Path]) -> None:
    unseen = split_of(run).unseen
    folder = changed(lambda table: table[~table["id"].isin(unseen)].reset_index(drop=True))
    with pytest.raises(MorelliError, match=r"cannot be measured\..*Unseen artists: 0 with 0 paintings"):
        evaluate_network(run.path, folder, never_seen=True)
