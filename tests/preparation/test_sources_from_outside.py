"""A source of one's own, named by a dotted path: read like the others, and each mistake in it is one sentence."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from morelli.cli import app
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import prepare

PLUGIN = """
import json
from pathlib import Path
import pandas as pd
from morelli.preparation.archives import File
from morelli.preparation.source import Catalogue, Source

class JsonSource(Source):
    name = "json"

    def recognises(self, path, options):
        return path.suffix == ".json"

    def read(self, path, options):
        rows = pd.DataFrame(json.loads(path.read_text()))
        files = {name: File.at(path.parent / name, name) for name in rows["file"]}
        return Catalogue.of("json", rows, files, understood=["A list in JSON."])

class Broken(JsonSource):
    def read(self, path, options):
        return {}["no such key"]

class Empty(JsonSource):
    def read(self, path, options):
        return None

class Unmade(JsonSource):
    def __init__(self):
        raise RuntimeError("no licence")

class Half(Source):
    pass

class Other:
    pass
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_source.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_source", raising=False)
    rows = []
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{seed}.png")
        rows.append({"file": f"{seed}.png", "artist": ["Ada Onn", "Bela Lund"][seed % 2], "title": f"No. {seed}"})
    (tmp_path / "list.json").write_text(json.dumps(rows))
    return tmp_path / "list.json"


def test_a_source_of_ones_own_is_prepared(source: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=r"is not a source.*\n(.|\n)*--source-kind package\.module:Name"):
        prepare(source, tmp_path / "out", workers=1)

    summary = prepare(source, tmp_path / "out", workers=1, source_kind="own_source:JsonSource")

    assert (summary.usable, summary.artists, summary.understood) == (4, 2, ("A list in JSON.",))
    paintings = read_paintings(tmp_path / "out")
    assert paintings[["title", "style"]].fillna("").to_numpy().tolist() == [[f"No. {n}", ""] for n in range(4)]
    assert prepare(source, tmp_path / "out", workers=1, source_kind="own_source:JsonSource").already_done


def test_the_command_takes_it(source: Path, tmp_path: Path) -> None:
    asked = ["data", "prepare", str(source), "--out", str(tmp_path / "out"), "--source-kind", "own_source:JsonSource"]
    result = CliRunner().invoke(app, [*asked, "--workers", "1"], catch_exceptions=False)

    assert "A list in JSON." in result.stdout
    assert len(read_paintings(tmp_path / "out")) == 4


def test_a_kind_of_ours_can_be_named(source: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame(json.loads(source.read_text()))
    rows.to_csv(tmp_path / "list.dat", index=False)

    assert prepare(tmp_path / "list.dat", tmp_path / "out", workers=1, source_kind="table").usable == 4
    with pytest.raises(MorelliError, match=r'"tabel" is no kind of source.*Did you mean "table"\?'):
        prepare(source, tmp_path / "other", source_kind="tabel")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("own_source:Missing", 'own_source has no "Missing"'),
        ("own_source:Other", "it is the class Other"),
        ("no_such_module:Source", "importing no_such_module failed"),
        ("own_source:Unmade", r"it could not be made \(RuntimeError: no licence\)"),
        ("own_source:Half", r"it could not be made \(TypeError"),
        ("own_source:Broken", r"reading .*list\.json failed \(KeyError: 'no such key'\)"),
        ("own_source:Empty", r"reading .*list\.json failed \(TypeError: read\(\) gave NoneType, not a Catalogue\)"),
    ],
)
def test_a_mistake_in_it_is_one_sentence(name: str, found: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=rf"^{name} must be a morelli\.preparation\.source\.Source, but {found}"):
        prepare(source, tmp_path / "out", source_kind=name)
    assert not (tmp_path / "out").exists()
