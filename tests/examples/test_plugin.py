"""The example plugin: one extension of each kind goes through prepare, bench, table, report, evaluate and the card."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from morelli.bench.run_folder import RunFolder
from morelli.cli import main
from morelli.data.prepared import read_paintings
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.models.heads import SCORERS
from morelli.models.network import Network

Command = Callable[..., str]
COLUMN = "examples.plugin.columns:LEARNING_RATE"
METRIC = "examples.plugin.metrics:PRECISION_AT_5"
HEAD = "examples.plugin.bilinear:BilinearHead"
SMALL = (
    "backbones=[{name: test_efficientnet, weights: none, image_size: 32}]",
    "head={hidden: [8], width: 8}",
    "training={epochs: 2, batch_size: 8, m: 2, validate_every: 1, learning_rate: 0.002}",
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["morelli", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def museum(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic paintings, prepared from a list."""
    folder = tmp_path_factory.mktemp("museum")
    rows = read_paintings(prepared)
    lines = [f"{row.artist} | {prepared / row.file}" for row in rows.itertuples()]
    (folder / "museum.list").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        kind = "examples.plugin.source:ListSource"
        out = folder / "prepared"
        assert run(patch, "data", "prepare", folder / "museum.list", "--out", out, "--source-kind", kind) == 0
    return out


@pytest.fixture(scope="module")
def runs(museum: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe's three runs, on a small network."""
    out = tmp_path_factory.mktemp("runs")
    overrides = [part for one in SMALL for part in ("--set", one)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(out / "cache"))
        recipe = "examples/plugin/recipe.yaml"
        assert run(patch, "bench", recipe, "--data", museum, "--out", out, "--column", COLUMN, *overrides) == 0
    return out / "plugin"


def of_objective(runs: Path, name: str) -> RunFolder:
    (found,) = runs.glob(f"*-{name}-*")
    return RunFolder(found)


def test_the_source_is_read_by_its_class(museum: Path, prepared: Path) -> None:
    assert sorted(read_paintings(museum)["artist"]) == sorted(read_paintings(prepared)["artist"])
    assert set(read_paintings(museum)["id"]) != set(read_paintings(prepared)["id"])


def test_the_split_is_that_of_the_alphabet(runs: Path, museum: Path) -> None:
    paintings = read_paintings(museum)
    split = Split.load(of_objective(runs, "frozen").path / "split.json")
    artists = sorted(paintings["artist"].unique(), key=str.casefold)
    assert sorted(split.rows(paintings, "unseen")["artist"].unique(), key=str.casefold) == artists[-4:]


def test_the_objective_trains_its_head_and_scores_by_it(runs: Path) -> None:
    for name in ("BilinearObjective", "contrastive"):
        network = Network.load(of_objective(runs, name).path)
        assert network.card.scorer == HEAD
        assert not network.scorer.get_parameter("weight").equal(SCORERS[HEAD](8).get_parameter("weight"))
    assert of_objective(runs, "BilinearObjective").config["objective"]["place"] == 25


def test_tables_have_the_column_and_the_metric(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capsys.readouterr()
    assert run(monkeypatch, "table", runs, "--format", "csv", "--column", COLUMN) == 0
    (tmp_path / "table.csv").write_text(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "table.csv").set_index("objective")
    assert list(table.index) == ["frozen", "BilinearObjective", "contrastive"]  # by their places
    assert table["learning_rate"].dropna().tolist() == [0.002, 0.002]
    assert table["unseen_precision_at_5"].between(0, 1).all()
    assert run(monkeypatch, "table", runs, "--format", "md", "--column", COLUMN, "--metric", "precision_at_5") == 0
    printed = capsys.readouterr().out
    assert "P@5" in printed
    assert "lr" in printed


def test_the_report_and_the_card_have_the_metric(
    runs: Path, museum: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    assert run(monkeypatch, "report", runs, "--out", page, "--data", museum, "--column", COLUMN) == 0
    text = page.read_text()
    assert "P@5" in text
    assert "BilinearObjective" in text
    card = (of_objective(runs, "BilinearObjective").path / "model" / "README.md").read_text()
    assert "BilinearObjective" in card
    assert "| P@5 |" in card
    assert "type: precision_at_5" in card


def test_a_network_of_the_plugin_is_loaded_only_where_its_head_was_imported(
    runs: Path, museum: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = of_objective(runs, "BilinearObjective").path
    asked = ("evaluate", "--data", museum, "--model", folder, "--with-metric", METRIC, "--json", "--keep-copies")
    head = SCORERS[HEAD]
    monkeypatch.delitem(SCORERS, HEAD)
    monkeypatch.delitem(sys.modules, "examples.plugin.bilinear")
    with pytest.raises(MorelliError, match="a folder runs no code"):
        Network.load(folder)
    capsys.readouterr()
    assert run(monkeypatch, *asked) == 2
    said = capsys.readouterr().err
    assert "morelli --import examples.plugin.bilinear" in said
    assert "\n" not in said.strip()
    assert "examples.plugin.bilinear" not in sys.modules
    assert run(monkeypatch, "--import", "examples.plugin.bilinear", *asked) == 0
    measured = json.loads(capsys.readouterr().out)
    assert 0 <= measured["unseen"]["precision_at_5"] <= 1
    assert Network.load(folder, scorer=head(8)).card.scorer == HEAD
    assert run(monkeypatch, "--import", "no_such_module_of_a_test", *asked) == 2
    assert "importing no_such_module_of_a_test failed" in capsys.readouterr().err
