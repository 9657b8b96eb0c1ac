"""What slips from a user's fingers or comes with a terminal: one sentence, no traceback, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from morelli.data.prepared import read_paintings

ALONE = ("--workers", "1")
ESCAPES = "\x1b[31mAda\u202e\u200f"


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    for place, artist in enumerate(("NA", "007", ESCAPES)):
        (tmp_path / "gallery" / artist).mkdir(parents=True)
        for number in range(2):
            colour = (80 * place, 100 * number, 90)
            Image.new("RGB", (40, 30), colour).save(tmp_path / "gallery" / artist / f"{number}.png")
    return tmp_path / "gallery"


def test_a_place_at_home_is_understood_however_it_is_written(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, morelli
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "folder").symlink_to(prepared)
    monkeypatch.chdir(tmp_path)
    for command in (
        ["data", "synthesize", "--out=~/painters", "--artists=2", "--paintings-per-artist=2", "--size=32", *ALONE],
        ["data", "merge", "~/folder", "~/painters", "--out=~/both"],
    ):
        ended = morelli(*command, HOME=str(tmp_path / "home"), USERPROFILE=str(tmp_path / "home"))
        assert ended.code == 0, ended.err
    assert (tmp_path / "home" / "both" / "paintings.parquet").is_file()
    assert not (tmp_path / "~").exists()


def test_names_that_are_commands_or_numbers_are_only_names(gallery: Path, tmp_path: Path, morelli) -> None:
    out = tmp_path / "out"
    done = morelli("data", "prepare", gallery, "--out", out, *ALONE, "--keep-unattributed", COLUMNS="0")
    assert done.code == 0, done.err
    assert "usable paintings" in done.out
    assert set(read_paintings(out)["artist"]) == {"NA", "007", ESCAPES}
    shown = morelli("data", "info", out)
    for text in (done.out, done.err, shown.out):
        assert not {"\x1b", "\u202e", "\u200f"} & set(text)
    assert "\\x1b[31mAda" in shown.out
    assert json.loads(morelli("data", "info", out, "--json").out)["artists"] == 3
    refused = morelli("data", "prepare", gallery, "--out", out, "--only-artists", f"{ESCAPES}x")
    assert refused.code == 2
    assert "\x1b" not in refused.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems hold names as text")
def test_folders_in_latin_1_and_a_terminal_without_utf_8(gallery: Path) -> None:
    out = os.fsencode(gallery.parent) + b"/pr\xe9par\xe9"
    synthetic = ("--artists", "2", "--paintings-per-artist", "2", "--size", "32")
    for place in ({}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}):
        for command in (
            ("data", "prepare", gallery, "--out", out, *ALONE, "--keep-unattributed"),
            ("data", "info", out),
            ("data", "info", out, "--json"),
            ("data", "synthesize", "--out", out + b"2", *synthetic),
        ):
            done = run(*command, **place)
            assert done.returncode == 0, done.stderr
    assert run("data", "info", b"/nowhere/\xe9").returncode == 2


def run(*command: str | Path | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "morelli", *map(os.fsencode, command)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("command", ["train", "bench"])
def test_a_run_is_not_written_into_a_prepared_folder(command: str, prepared: Path, morelli) -> None:
    before = sorted(prepared.rglob("*"))
    out = (prepared,) if command == "train" else (prepared.parent, f"--set=name={prepared.name}")
    tiny = "--set=backbones=[{name: test_resnet, weights: none, image_size: 32}]"
    ended = morelli(command, "demo", "--data", prepared, tiny, "--out", *out)
    assert ended.code == 2
    assert "is a prepared folder; a run would be mixed into it. Choose another --out." in ended.err
    assert sorted(prepared.rglob("*")) == before


@pytest.mark.parametrize(
    "override",
    [
        "name=0b_/x",
        "seeds=[1e999]",
        f"training.epochs={10**30}",
        "name=!!timestamp x",
        "backbones.²=x",
        "1=2",
        "split={1: 2}",
        "objectives=[{loss: 2}]",
        "objectives=[{loss: {name: [1]}}]",
        "objectives=[{kind: triplet, miner: [x]}]",
    ],
)
def test_an_override_that_is_none_is_one_sentence(override: str, morelli) -> None:
    ended = morelli("bench", "demo", "--set", override)
    assert ended.code == 2
    assert ended.err.startswith("Error: ")


@pytest.mark.parametrize("command", [("data", "prepare", "{gallery}"), ("data", "synthesize")])
def test_a_file_in_the_place_of_a_folder_stays(
    command: tuple[str, ...], gallery: Path, tmp_path: Path, morelli
) -> None:
    (tmp_path / "file").write_text("mine")
    ended = morelli(*(part.format(gallery=gallery) for part in command), "--out", tmp_path / "file", *ALONE)
    assert ended.code == 2
    assert "elete" not in ended.err
    assert (tmp_path / "file").read_text() == "mine"
