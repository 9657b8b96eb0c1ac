"""Each file of the shared case *damaged files*, given to what reads it: one sentence with its name, exit 2."""

import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from killed_commands import made_in

CASES = Path(__file__).parents[3] / "shared" / "cases" / "27-damaged-files"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not on this machine")
TABLE = "all_data_info.csv"
TINY = "--set=backbones=[{name: test_resnet, weights: none, image_size: 32}]"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder and a run."""
    base = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", os.devnull)  # made_in sets its own
        return made_in(base)


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file of the case where its command reads it."""
    for name in ("table-lzma", "table-version11"):
        (tmp_path / name).mkdir()
        shutil.copy(CASES / f"{name}.zip", tmp_path / name / f"{TABLE}.zip")
    (tmp_path / "test-bz2").mkdir()
    shutil.copy(CASES / "test-bz2.zip", tmp_path / "test-bz2" / "test.zip")
    with zipfile.ZipFile(CASES / "test-bz2.zip") as archive:
        names = [Path(name).name for name in archive.namelist() if name.startswith("test/")]
    header = "artist,date,genre,style,title,new_filename,in_train,artist_group,source"
    rows = [f"A {name[0]},1900,x,y,z,{name},False,test_only,wikiart" for name in names]
    (tmp_path / "test-bz2" / TABLE).write_text("\n".join([header, *rows, ""]))
    shutil.copytree(made / "run", tmp_path / "metrics")
    shutil.copy(CASES / "metrics-interval1.json", tmp_path / "metrics" / "metrics.json")
    shutil.copytree(made / "run", tmp_path / "network")
    card = (CASES / "network-nointerval.json").read_text().replace('"format": 2', '"format": 3')
    (tmp_path / "network" / "model" / "network.json").write_text(card)
    (tmp_path / "prepared").mkdir()
    shutil.copy(CASES / "paintings.parquet", tmp_path / "prepared")
    (tmp_path / "date.yaml").write_text("2001-99-99")
    (tmp_path / "brackets.yaml").write_text("[" * 5000)
    shutil.copy(next((made / "prepared").rglob("*.jpg")), tmp_path / "a.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("data prepare {cases}/csv-dupcol-path.csv --out out", 'csv-dupcol-path.csv has two columns "path"'),
        ("data prepare {cases}/csv-dupcol-artist.csv --out out", 'csv-dupcol-artist.csv has two columns "artist"'),
        ("data prepare table-lzma --out out", "table-lzma/all_data_info.csv.zip is damaged (Corrupt input data)"),
        (
            "data prepare table-version11 --out out",
            "all_data_info.csv.zip is not a whole zip archive (zip file version",
        ),
        ("data prepare test-bz2 --out out", "Not one painting can be used. What was found:"),
        ("bench {cases}/yaml-1.yaml --out out", "yaml-1.yaml is not YAML: a value does not fit its tag"),
        ("train {cases}/yaml-2.yaml --out out", "yaml-2.yaml is not YAML: a value does not fit its tag"),
        ("bench date.yaml --out out", "date.yaml is not a recipe"),
        ("bench brackets.yaml --out out", "brackets.yaml is not YAML: "),
        ("table metrics", "metrics/metrics.json cannot be read ("),
        ("report metrics --out out.html", "metrics/metrics.json cannot be read ("),
        ("compare a.jpg a.jpg --model network", "network.json cannot be read (measured: "),
        ("evaluate --data prepared --model network", "network.json cannot be read (measured: "),
        ("data info prepared", "prepared/paintings.parquet is damaged (Column 12"),
        ("bench demo --data prepared --out out", "prepared/paintings.parquet is damaged (Column 12"),
    ],
)
def test_a_damaged_file_is_one_sentence(command: str, said: str, place: Path, morelli) -> None:
    ended = morelli(*command.format(cases=CASES).split())
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("Error: ") == 1
    assert not any((place / name).exists() for name in ("out/paintings.parquet", "out.html", "out/config.yaml"))


def test_what_is_damaged_in_an_archive_is_listed(place: Path, morelli) -> None:
    assert morelli("data", "prepare", "test-bz2", "--out", "out").code == 2
    assert "damaged in the archive" in (place / "out" / "left_out.csv").read_text()


def test_a_loss_by_its_class_name_alone_works(made: Path, tmp_path: Path, morelli) -> None:
    how = ("--set=split={kind: fraction}", TINY, "--set=training.epochs=1", "--data", made / "prepared")
    ended = morelli("train", CASES / "objective-loss-string.yaml", "--out", tmp_path / "out", *how)
    assert ended.code == 0, ended.err
    assert "SupConLoss" in ended.out
