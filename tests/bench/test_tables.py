"""Tables: from run folders alone, in every format, with failures in sight."""

import io
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

from morelli.bench.run_folder import ENVIRONMENT, FAILURE, METRICS, RunFolder, find_runs
from morelli.bench.tables import Format, render, table
from morelli.errors import MorelliError
from morelli.models.config import BackboneConfig
from morelli.training.objectives import objective_class

COUNTS = {"artists": 3, "paintings": 18}


def run(
    folder: Path, auc: float | None, *, objective: str = "triplet", seed: int = 0, backbone: Any = None, **changes: Any
) -> RunFolder:
    made = RunFolder(folder)
    backbone = BackboneConfig(name="test_vit", **(backbone or {})).model_dump(mode="json")
    settings = {"recipe": "tiny", "backbone_label": "test_vit", "backbone": backbone, "fold": 0, "seed": seed}
    place = objective_class(objective).place
    made.start({**settings, "objective": {"kind": objective, "name": objective, "place": place}, **changes})
    if auc is None:
        (made.path / FAILURE).write_text("RuntimeError: no weights\n\nTraceback\n  somewhere\n")
        return made
    made.write(ENVIRONMENT, {"training_seconds": 12.34, "images_per_second": 56.7})
    seen = {**COUNTS, "pair_auc": auc, "eer": 1 - auc, "interval": {"pair_auc": [auc - 0.1, auc + 0.1]}}
    unseen = {**COUNTS, "pair_auc": auc - 0.2, "eer": 1.2 - auc, "interval": {}}
    about = {"parameters": 1_500_000, "image_size": 32, "embedding_width": 8}
    made.write(METRICS, {**about, "validation": {**COUNTS, "pair_auc": 0.99}, "seen": seen, "unseen": unseen})
    return made


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    run(tmp_path / "deep" / "er" / "b", 0.8)
    run(tmp_path / "a", 0.7, objective="frozen")
    run(tmp_path / "c", None, objective="bce-pair")
    return table(find_runs([tmp_path]))


def test_a_row_a_run_with_seen_and_unseen_apart(rows: pd.DataFrame, tmp_path: Path) -> None:
    by_objective = rows.set_index("objective")
    assert list(by_objective.index) == ["frozen", "triplet", "bce-pair"]
    assert by_objective.loc["triplet", "seen_pair_auc"] == 0.8
    assert by_objective.loc["triplet", "unseen_pair_auc"] == pytest.approx(0.6)
    assert by_objective.loc["triplet", "seen_pair_auc_low"] == pytest.approx(0.7)
    assert by_objective.loc["bce-pair", "failure"] == "RuntimeError: no weights"
    assert by_objective.loc["triplet", "folder"] == str(tmp_path / "deep" / "er" / "b")
    assert not [column for column in rows if "validation" in column]


def test_csv_has_every_column_and_every_figure(rows: pd.DataFrame) -> None:
    read = pd.read_csv(io.StringIO(render(rows, "csv")))
    assert list(read.columns) == list(rows.columns)
    order = ["backbone", "objective", "parameters", "seen_pair_auc", "unseen_pair_auc", "training_seconds", "failure"]
    assert [column for column in read if column in order] == order
    assert read["unseen_pair_auc"].tolist()[:2] == pytest.approx([0.5, 0.6])


@pytest.mark.parametrize("style", get_args(Format))
def test_every_format_shows_networks_figures_costs_and_failures(style: Format, rows: pd.DataFrame) -> None:
    text = render(rows, style)
    for word in ("test", "vit", "triplet", "frozen", "0.6", "no weights"):
        assert word in text
    if style != "csv":
        for word in ("seen pair AUC", "unseen pair AUC", "1.5 M", "0.800", "57"):
            assert word in text


@pytest.mark.parametrize("style", ["rich", "md"])
def test_numbers_of_artists_and_paintings_stand_with_the_table(style: Format, rows: pd.DataFrame) -> None:
    assert "Seen: 3 artists, 18 paintings. Unseen: 3 artists, 18 paintings." in render(rows, style)


@pytest.mark.parametrize("style", ["rich", "md", "latex"])
def test_a_caption_stands_above_the_table_once(style: Format, tmp_path: Path) -> None:
    for name, caption in {"a": "Look at\n<b>\x1b", "b": "Look at\n<b>\x1b", "c": ""}.items():
        run(tmp_path / name, 0.7, caption=caption)
    first, *others = render(table(find_runs([tmp_path])), style).splitlines()
    assert first.endswith(r" Look at \<b>\\x1b" if style == "md" else r" Look at <b>\x1b")
    assert "Look at" not in "".join(others)


def test_intervals_are_shown_where_there_are_any(rows: pd.DataFrame) -> None:
    text = render(rows, "md")
    assert "0.800 ± 0.100" in text
    assert "0.600 ±" not in text


def test_chosen_metrics(rows: pd.DataFrame) -> None:
    text = render(rows, "md", ["eer"])
    assert "seen eer" in text
    assert "AUC" not in text


def test_an_unknown_metric_is_named_with_the_known_ones(rows: pd.DataFrame) -> None:
    with pytest.raises(MorelliError, match=r'No run has a metric "pair_acu"\. Did you mean "pair_auc"\?.*eer'):
        render(rows, "md", ["pair_acu"])


def test_the_best_of_each_column_is_bold_on_a_terminal(tmp_path: Path) -> None:
    run(tmp_path / "a", 0.7, objective="frozen")
    run(tmp_path / "b", 0.8)
    text = render(table(find_runs([tmp_path])), "rich", ["pair_auc", "eer"], width=200)
    assert "\x1b[1m0.800" in text
    assert "\x1b[1m0.200" in text  # the lower error is the better
    assert "\x1b[1m0.700" not in text
    assert "\x1b[1m0.300" not in text


def test_only_failures_still_make_a_table(tmp_path: Path) -> None:
    run(tmp_path / "a", None)
    rows = table(find_runs([tmp_path]))
    for style in get_args(Format):
        assert "no weights" in render(rows, style)


def test_seeds_share_a_row_with_their_mean(tmp_path: Path) -> None:
    run(tmp_path / "a", 0.7)
    run(tmp_path / "b", 0.9, seed=1)
    rows = table(find_runs([tmp_path]))
    assert len(rows) == 2
    text = render(rows, "md")
    assert "0.800" in text
    assert len([line for line in text.splitlines() if "test_vit" in line]) == 1


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"fit": "squash"}, "squash"),
        ({"image_size": 64}, "64 px"),
        ({"views": 4}, "4 views"),
        ({"beside": ["b"]}, "+b"),
    ],
)
def test_backbones_that_are_used_otherwise_have_rows_of_their_own(change: Any, shown: str, tmp_path: Path) -> None:
    run(tmp_path / "a", 0.7)
    run(tmp_path / "b", 0.9, backbone=change)

    text = render(table(find_runs([tmp_path])), "md")

    assert "0.700" in text
    assert "0.900" in text
    assert shown in text


def test_a_run_of_which_a_file_is_missing_is_named(tmp_path: Path) -> None:
    made = run(tmp_path / "a", 0.7)
    (made.path / ENVIRONMENT).unlink()
    with pytest.raises(MorelliError, match=r"environment\.json cannot be read"):
        table([made])


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="No finished run"):
        find_runs([tmp_path])
