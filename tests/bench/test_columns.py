"""Columns of tables: one list for text, CSV and HTML, to which a column from outside is added by its dotted path."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from morelli.bench.columns import COLUMNS, Column, columns_from
from morelli.bench.run_folder import ENVIRONMENT, METRICS, RunFolder, find_runs
from morelli.bench.tables import render, table
from morelli.cli import app
from morelli.errors import MorelliError, MorelliWarning
from morelli.models.config import BackboneConfig
from morelli.report.report import report

OWN = """
from morelli.bench.columns import Column
RATE = Column("rate", "lr", lambda run: run.config["training"]["rate"], only_if_it_varies=True, group="name")
LOSS = Column("last_loss", "last loss", lambda run: run.metrics["loss"], "{:.1f}".format)
TWICE = Column("seed", "again", lambda run: 1)
WRONG = 3
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs that differ in their pictures and in a learning rate; one has no loss."""
    (tmp_path / "columns_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    for name, fit, rate in (("a", "squash", 0.1), ("b", "letterbox", 0.2)):
        made = RunFolder(tmp_path / "runs" / name)
        backbone: Any = BackboneConfig(name="test_vit", fit=fit).model_dump(mode="json")
        config = {"recipe": "r", "backbone_label": "v", "backbone": backbone, "fold": 0, "seed": 0, "split": {}}
        made.start({**config, "objective": {"kind": "frozen", "name": "frozen"}, "training": {"rate": rate}})
        made.write(ENVIRONMENT, {"training_seconds": 1.0, "images_per_second": 2.0})
        measured = {"artists": 2, "paintings": 9, "pair_auc": rate + 0.5, "interval": {}}
        about = {"parameters": 1, "image_size": 32, "embedding_width": 8}
        made.write(METRICS, {**about, "unseen": measured, **({"loss": 1.25} if name == "a" else {})})
    return tmp_path / "runs"


def test_the_report_tells_apart_what_tables_do(runs: Path, tmp_path: Path) -> None:
    report([runs], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for text in ("squash", "letterbox"):
        assert text in render(table(find_runs([runs])), "md")
        assert f"test_vit · {text}</small>" in page


@pytest.mark.filterwarnings("ignore::morelli.errors.MorelliWarning")
def test_a_column_from_outside_is_in_every_table(runs: Path, tmp_path: Path) -> None:
    asked = ["--column", "columns_of_a_test:LOSS", "--column", "columns_of_a_test:RATE"]
    for style in ("md", "latex", "rich", "csv"):
        shown = CliRunner().invoke(app, ["table", str(runs), "--format", style, *asked])
        assert shown.exit_code == 0, shown.output
    csv = CliRunner().invoke(app, ["table", str(runs), "--format", "csv", *asked]).stdout
    assert pd.read_csv(io.StringIO(csv))["rate"].tolist() == [0.1, 0.2]
    with pytest.warns(MorelliWarning, match=r"column last_loss is empty for .*it has no loss"):
        rows = table(find_runs([runs]), columns_from(asked[1::2]))
    header, _, first, second = render(rows, "md", columns=columns_from(asked[1::2])).splitlines()[2:]
    assert "last loss" in header
    assert [("1.2" in line, " - " in line) for line in (first, second)] == [(True, False), (False, True)]
    done = CliRunner().invoke(app, ["report", str(runs), "--out", str(tmp_path / "report.html"), *asked])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report.html").read_text()
    assert "last loss" in page
    assert "lr 0.1" in page


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "columns_of_a_test:WRONG",
            "columns_of_a_test:WRONG must be a morelli.bench.columns.Column, but it is of type",
        ),
        ("columns_of_a_test:TWICE", 'two columns with the key "seed"'),
        ("columns_of_a_test:RAT", 'Did you mean "RATE"?'),
        ("no_such_module:X", "importing no_such_module failed"),
    ],
)
def test_what_is_no_column_is_one_sentence(path: str, words: str, runs: Path) -> None:
    assert runs.is_dir()
    with pytest.raises(MorelliError) as raised:
        columns_from([path])
    assert words in str(raised.value)


def test_runs_that_differ_in_a_name_from_outside_are_not_averaged(runs: Path) -> None:
    for place, name in enumerate(("a", "b")):
        run = RunFolder(runs / name)
        config = json.loads(json.dumps(run.config))
        (run.path / "config.yaml").unlink()
        config["backbone"]["fit"] = "squash"
        run.start({**config, "seed": place})
    rate = columns_from(["columns_of_a_test:RATE"])
    assert render(table(find_runs([runs])), "md").count("test_vit") == 1
    assert render(table(find_runs([runs]), rate), "md", columns=rate).count("test_vit") == 2


def test_keys_are_unique() -> None:
    assert len({column.key for column in COLUMNS}) == len(COLUMNS)
    assert all(isinstance(column, Column) for column in COLUMNS)
