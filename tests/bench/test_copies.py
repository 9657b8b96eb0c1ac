"""Copies in a folder change no number: the table is that of the folder without them, and says what was left out."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import ImageOps
from typer.testing import CliRunner

from morelli import SyntheticPainters, prepare, read_paintings
from morelli.bench.measure import evaluate_network, render_evaluation
from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import RunFolder
from morelli.bench.runner import bench
from morelli.bench.tables import render, table
from morelli.cli import app

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.5, "validation_fraction": 0.34},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["frozen", "triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 4, "m": 2},
}
HANDS = SyntheticPainters(artists=8, paintings_per_artist=6, size=64, seed=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Prepared: 48 paintings; with a smaller copy of each and some mirror images; with one picture misplaced."""
    root = tmp_path_factory.mktemp("copies")
    for artist in range(8):
        for number in range(6):
            picture = HANDS.paint(artist, number).convert("RGB")
            for kind in ("clean", "copied", "shared"):
                place = root / kind / f"Artist {artist}"
                place.mkdir(parents=True, exist_ok=True)
                picture.save(place / f"{number}.png")
                if kind == "copied":
                    small = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))
                    small.save(place / f"{number}_medium.jpg", quality=80)
                    if number == 0:
                        ImageOps.mirror(small).save(place / "0_mirrored.jpg", quality=80)
    for artist in range(1, 8):  # one picture in everyone's folder
        picture = HANDS.paint(0, 0).convert("RGB")
        picture.save(root / "shared" / f"Artist {artist}" / "by-mistake.jpg", quality=60 + 4 * artist)
    for kind in ("clean", "copied", "shared"):
        prepare(root / kind, root / f"p-{kind}", workers=1)
    return {kind: root / f"p-{kind}" for kind in ("clean", "copied", "shared")}


def benched(data: Path, out: Path, *overrides: str) -> list[RunFolder]:
    out.mkdir()
    (out / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, "data": str(data)}))
    runs = bench(load_recipe(out / "tiny.yaml", overrides), out)
    assert [run.failure for run in runs] == [None] * len(runs)
    return runs


@pytest.fixture(scope="module")
def runs(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[RunFolder]]:
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(root / "cache"))
        made = {kind: benched(folders[kind], root / kind) for kind in ("clean", "copied")}
        return made | {"kept": benched(folders["copied"], root / "kept", "split.keep_copies=true")}


def test_the_table_is_that_of_the_folder_without_copies(runs: dict[str, list[RunFolder]]) -> None:
    about_copies = {"copies", "copy_pairs", "interval"}
    for clean, copied in zip(runs["clean"], runs["copied"], strict=True):
        for side in ("validation", "seen", "unseen"):
            wanted, found = clean.metrics[side], copied.metrics[side]
            assert {name for name in found if name not in about_copies} == set(wanted) - about_copies
            for name in set(wanted) - about_copies:
                assert found[name] == pytest.approx(wanted[name], abs=1e-6), (side, name)


def test_what_was_left_out_stands_in_the_metrics_and_in_every_table(runs: dict[str, list[RunFolder]]) -> None:
    metrics = runs["copied"][0].metrics
    assert metrics["copies"] == {"copies": 56, "pairs": 40 + 8 * 3, "shared": 0}
    assert (metrics["unseen"]["copies"], metrics["unseen"]["copy_pairs"]) == (28, 20 + 4 * 3)
    assert runs["clean"][0].metrics["unseen"]["copies"] == 0

    for style in ("md", "rich", "latex"):
        assert "Copies left out:" in render(table(runs["copied"]), style)
        assert "28 unseen (32 pairs)" in render(table(runs["copied"]), style)
        assert "Copies" not in render(table(runs["clean"]), style)
    assert set(table(runs["copied"])["unseen_copies"]) == {28}


def test_kept_copies_give_the_reading_of_before(runs: dict[str, list[RunFolder]]) -> None:
    clean, kept = runs["clean"][0].metrics["unseen"], runs["kept"][0].metrics["unseen"]
    assert kept["paintings"] == clean["paintings"] + 28
    assert kept["precision_at_1"] > clean["precision_at_1"] + 0.2
    assert "Copies counted:" in render(table(runs["kept"]), "md")


def test_copies_that_were_kept_are_told_where_they_stand_on_several_sides(runs: dict[str, list[RunFolder]]) -> None:
    assert runs["copied"][0].metrics["leakage"]["copies_across_sides"] == []
    assert "Near-copies across the split's sides: 0;" in render(table(runs["copied"]), "md")
    across = runs["kept"][0].metrics["leakage"]["copies_across_sides"]
    split = json.loads((runs["kept"][0].path / "split.json").read_text())["paintings"]
    assert across
    for group in across:
        assert set(group.values()) == {"train", "seen"}  # every copy is its artist's
        for painting, side in group.items():
            assert painting in split[side]
    assert f"Warning: near-copies across the split's sides: {len(across)} (" in render(table(runs["kept"]), "md")


def test_a_picture_in_everyones_folder_is_used_for_nobody(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    (run, _) = benched(folders["shared"], tmp_path / "runs")
    placed = set(json.loads((run.path / "split.json").read_text())["paintings"]["unseen"])
    paintings = read_paintings(folders["shared"])
    borrowed = paintings["copy_of"].notna()
    assert borrowed.sum() == 8
    assert not placed & set(paintings["id"][borrowed])
    assert run.metrics["copies"]["shared"] == 1


def test_a_network_is_not_measured_on_copies(runs: dict[str, list[RunFolder]], folders: dict[str, Path]) -> None:
    model = runs["copied"][1]
    measured = evaluate_network(model.path, folders["copied"])
    assert measured["seen"]["paintings"] == model.metrics["seen"]["paintings"]
    for name, value in model.metrics["seen"].items():
        if name != "interval":
            assert measured["seen"][name] == pytest.approx(value, abs=1e-6), name
    shown = render_evaluation(measured)
    assert "copies of paintings that the network was trained on are left out" in shown
    assert "copies of measured paintings are left out" in shown

    kept = evaluate_network(model.path, folders["copied"], keep_copies=True)
    assert kept["seen"]["paintings"] > measured["seen"]["paintings"]
    assert "copies of measured paintings are counted" in render_evaluation(kept)


def test_the_commands_take_keep_copies(runs: dict[str, list[RunFolder]], folders: dict[str, Path]) -> None:
    model = str(runs["copied"][1].path)
    arguments = ["evaluate", "--model", model, "--data", str(folders["copied"]), "--json"]
    plain, kept = (json.loads(CliRunner().invoke(app, [*arguments, *more]).stdout) for more in ([], ["--keep-copies"]))
    assert plain["unseen"]["paintings"] < kept["unseen"]["paintings"]
    for command in ("bench", "train"):
        assert "--keep-copies" in CliRunner().invoke(app, [command, "--help"], terminal_width=200).stdout
