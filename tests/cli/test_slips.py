"""What slips from a user's fingers or comes with a terminal: one sentence, no traceback, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from morelli.cli import main
from morelli.data.prepared import read_paintings

MORELLI = [sys.executable, "-m", "morelli"]
ESCAPES = "\x1b[31mAda\u202e\u200f"


def run(*command: str | Path | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MORELLI, *map(os.fsencode, command)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    for place, artist in enumerate(("NA", "007", ESCAPES)):
        (tmp_path / "gallery" / artist).mkdir(parents=True)
        for number in range(2):
            colour = (80 * place, 100 * number, 90)
            Image.new("RGB", (40, 30), colour).save(tmp_path / "gallery" / artist / f"{number}.png")
    return tmp_path / "gallery"


def test_a_place_at_home_is_understood_however_it_is_written(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "folder").symlink_to(prepared)
    monkeypatch.chdir(tmp_path)
    for command in (
        ["data", "synthesize", "--out=~/painters", "--artists=2", "--paintings-per-artist=2", "--size=32"],
        ["data", "merge", "~/folder", "~/painters", "--out=~/both"],
    ):
        monkeypatch.setattr(sys, "argv", ["morelli", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "home" / "both" / "paintings.parquet").is_file()
    assert not (tmp_path / "~").exists()


def test_names_that_are_commands_or_numbers_are_only_names(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("data", "prepare", gallery, "--out", out, "--workers", "1", "--keep-unattributed", COLUMNS="0")
    assert done.returncode == 0, done.stderr
    assert "usable paintings" in done.stdout
    assert set(read_paintings(out)["artist"]) == {"NA", "007", ESCAPES}
    shown = run("data", "info", out)
    for text in (done.stdout, done.stderr, shown.stdout):
        assert not {"\x1b", "\u202e", "\u200f"} & set(text)
    assert "\\x1b[31mAda" in shown.stdout
    assert json.loads(run("data", "info", out, "--json").stdout)["artists"] == 3
    refused = run("data", "prepare", gallery, "--out", out, "--only-artists", f"{ESCAPES}x")
    assert refused.returncode == 2
    assert "\x1b" not in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems hold names as text")
def test_folders_in_latin_1_and_a_terminal_without_utf_8(gallery: Path) -> None:
    out = os.fsencode(gallery.parent) + b"/pr\xe9par\xe9"
    for place in ({}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}):
        for command in (
            ("data", "prepare", gallery, "--out", out, "--workers", "1", "--keep-unattributed"),
            ("data", "info", out),
            ("data", "info", out, "--json"),
            (
                "data",
                "synthesize",
                "--out",
                out + b"2",
                "--artists",
                "2",
                "--paintings-per-artist",
                "2",
                "--size",
                "32",
            ),
        ):
            done = run(*command, **place)
            assert done.returncode == 0, done.stderr
    assert run("data", "info", b"/nowhere/\xe9").returncode == 2


def test_a_run_is_not_written_into_a_prepared_folder(prepared: Path) -> None:
    before = sorted(prepared.rglob("*"))
    command = ("train", "demo", "--data", prepared, "--out", prepared, "--set", "backbones=[test_vit]")
    done = run(*command, "--set", "backbones.0.weights=none")
    assert done.returncode == 2, done.stderr
    assert "is a prepared folder; a run would be mixed into it. Choose another --out." in done.stderr
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
    ],
)
def test_an_override_that_is_none_is_one_sentence(
    override: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["morelli", "bench", "demo", "--set", override])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.mark.parametrize("command", [("data", "prepare", "{gallery}"), ("data", "synthesize")])
def test_a_file_in_the_place_of_a_folder_stays(command: tuple[str, ...], gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = run(*(part.format(gallery=gallery) for part in command), "--out", tmp_path / "file")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "elete" not in done.stderr
    assert (tmp_path / "file").read_text() == "mine"
