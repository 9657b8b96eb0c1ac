"""Tables on narrow terminals: no number and no name is cut or broken; what does not fit stands below or is named."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.cells import cell_len

from morelli.bench.artist_tables import artist_table, render_artists
from morelli.bench.measure import render_evaluation
from morelli.bench.run_folder import ENVIRONMENT, FAILURE, METRICS, RunFolder, find_runs
from morelli.bench.tables import render, table
from morelli.evaluation.metrics import METRICS as TABLE
from morelli.models.config import BackboneConfig

WIDTHS = [80, 100, 120]
SHORT, LONG = "tf_efficientnet_lite0", "tf_efficientnet_lite0+vit_base_patch14_reg4_dinov2.lvd142m"
NUMBER = re.compile(r"\d\.\d{3} ± \d\.\d{3}|\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)|\d\.\d{3}|-|[\d.]+(?: M)?")


def run(folder: Path, objective: str, backbone: str, auc: float) -> None:
    made = RunFolder(folder)
    name, *beside = backbone.split("+")
    config = BackboneConfig(name=name, beside=tuple(beside), pool="stages", image_size=160).model_dump(mode="json")
    made.start(
        {"recipe": "demo", "backbone_label": backbone, "backbone": config, "fold": 0, "seed": 0}
        | {"objective": {"kind": "metric", "name": objective}, "split": {}}
    )
    if not auc:
        (made.path / FAILURE).write_text("No weights of this backbone can be had where there is no network, " * 3)
        return
    made.write(ENVIRONMENT, {"training_seconds": 3601.2, "images_per_second": 205.7})
    metrics = {one.name: auc for one in TABLE if one.shown_first}
    bounds = {**{name: [auc - 0.04, auc + 0.05] for name in metrics}, "precision_at_1": [0.9, 1.0]}
    measured = {"artists": 34, "paintings": 1360, **metrics, "interval": bounds}
    about = {"parameters": 103_400_000, "image_size": 160, "embedding_width": 2024}
    made.write(METRICS, {**about, "seen": measured, "unseen": measured})


def lines_of(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text.splitlines()]


def cells_of(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if line.startswith("│")]


@pytest.fixture
def runs(tmp_path: Path) -> Any:
    def make(backbone: str, objectives: dict[str, float]) -> pd.DataFrame:
        for objective, auc in objectives.items():
            run(tmp_path / objective, objective, backbone, auc)
        return table(find_runs([tmp_path]))

    return make


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("backbone", [SHORT, LONG])
@pytest.mark.parametrize("metrics", [[], ["pair_auc", "precision_at_1", "mean_average_precision_at_r", "eer"]])
def test_no_number_and_no_name_is_cut_or_broken(width: int, backbone: str, metrics: list[str], runs: Any) -> None:
    rows = runs(backbone, {"frozen": 0.797, "supcon with a longer name": 0.93, "triplet": 0})
    lines = lines_of(render(rows, "rich", metrics, width=width))

    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)
    cells = cells_of(lines)
    flat = [cell for row in cells for cell in row]
    assert {"frozen", "supcon with a longer name", backbone} <= set(flat)
    names = {"frozen", "supcon with a longer name", "triplet", backbone}
    assert all(NUMBER.fullmatch(cell) for cell in flat if cell not in names)
    for shown in ("0.797 ± 0.045", "0.930 ± 0.045", "103.4 M", "3601", "206"):
        assert shown in flat
    for heading in ("pair AUC", "P@1"):
        assert any(heading in line for line in lines)
    together = " ".join(lines)
    assert "triplet" in together
    assert "failed: No weights of this backbone" in together
    assert "Seen: 34 artists, 1360 paintings." in together
    if metrics:
        assert "Left out" not in together
        assert any("MAP@R" in line for line in lines)
        assert flat.count("0.930 ± 0.045") == 6  # P@1's interval is uneven
    assert "triplet acc" in together or metrics  # in a table, or left out with a word


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_are_named_in_every_table(width: int, runs: Any) -> None:
    lines = lines_of(render(runs(SHORT, {"frozen": 0.797, "triplet": 0.9}), "rich", width=width))
    tables = "\n".join(lines).split("┏")[1:]
    assert len(tables) > 1
    assert all("frozen" in one and "triplet" in one for one in tables)
    if width == 80:
        assert len(tables) == 3
        assert "Left out, for want of width: MAP@R, eer, triplet acc. A wider terminal" in " ".join(lines)


def test_a_wide_terminal_has_one_table(runs: Any) -> None:
    text = render(runs(SHORT, {"frozen": 0.797}), "rich", width=300)
    assert text.count("┏") == 1
    assert "Left out" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_artists_stand_on_one_line(width: int, tmp_path: Path) -> None:
    names = ["Kunisada (Toyokuni III), Utagawa, workshop and pupils", "葛飾 北斎", "Ann"]
    measured = {"pair_auc": 0.5, "precision_at_1": 0.25, "r_precision": 0.125, "mean_average_precision_at_r": 0.1}
    pd.DataFrame({"artist": names, "paintings": 12, **measured}).to_csv(tmp_path / "per_artist_unseen.csv", index=False)
    lines = lines_of(render_artists(artist_table([RunFolder(tmp_path)]), 9, "rich", width=width))
    assert max(map(cell_len, lines)) <= width
    rows = cells_of(lines)
    assert all(sum(row[1] == name for row in rows) == len(rows) / 3 for name in names)
    assert {"0.500", "0.250", "0.125", "0.100", "12"} <= {cell for row in rows for cell in row}


def test_an_evaluation_fits_80_columns() -> None:
    values = {"recall_at_far_0.001_s-norm": 0.5, "pair_auc": 0.8, "lone_artists": 3}
    side = {"artists": 1340, "paintings": 15320, **values, "interval": {name: [0.1, 0.2] for name in values}}
    measured = {"objective": "triplet", "model": "runs/mine", "notes": ["x " * 60], "seen": side, "unseen": side}
    lines = lines_of(render_evaluation(measured, width=80))
    assert max(map(cell_len, lines)) <= 80
    assert "0.500 (0.100 to 0.200)" in cells_of(lines)[0]
