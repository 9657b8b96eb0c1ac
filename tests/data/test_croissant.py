"""Croissant metadata of a prepared folder, as the reference library reads it."""

import hashlib
import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from morelli.cli import app
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError

mlcroissant = pytest.importorskip("mlcroissant")


def printed(folder: Path) -> str:
    return CliRunner().invoke(app, ["data", "info", str(folder), "--croissant"], catch_exceptions=False).stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib's own, of what it calls itself
def test_the_reference_library_loads_every_painting(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "painters")
    (folder / "croissant.json").write_text(printed(folder), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
        records = list(dataset.records("paintings"))

    assert not dataset.metadata.issues.errors
    assert "not standard" not in caplog.text
    paintings = read_paintings(prepared).drop(columns=["hash"])
    columns = [f"paintings/{name}" for name in paintings]
    read = pd.DataFrame([[_text(one[column]) for column in columns] for one in records], columns=paintings.columns)
    read, expected = (table.astype(object).fillna("").sort_values("file") for table in (read, paintings))
    assert read.to_numpy().tolist() == expected.to_numpy().tolist()
    for record in records:
        assert record["paintings/image"].size == (record["paintings/width"], record["paintings/height"])


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def test_the_table_is_named_with_its_digest(prepared: Path) -> None:
    described = json.loads(printed(prepared))

    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    table, images = described["distribution"]
    assert table["sha256"] == hashlib.sha256((prepared / table["contentUrl"]).read_bytes()).hexdigest()
    assert len(list(prepared.glob(images["includes"]))) == len(read_paintings(prepared))


def test_a_folder_that_is_not_prepared_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=r"has no paintings\.parquet"):
        printed(tmp_path)
