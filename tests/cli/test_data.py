"""`morelli data`: what a person sees, and what another program reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from morelli.cli.data import app
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def run_morelli(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the whole command in a process of its own."""
    command = "import sys; from morelli.cli import main; sys.argv[0] = 'morelli'; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "data", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Five paintings by two artists, one truncated; another artist has one painting."""
    folder = tmp_path / "gallery"
    for seed, (artist, name) in enumerate([("Monet", "a"), ("Monet", "b"), ("Monet", "cut"), ("Degas", "c")]):
        path = folder / artist / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (40 + seed, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        if name == "cut":
            path.write_bytes(path.read_bytes()[:-100])
    return folder


def test_prepare_prints_what_it_came_to(gallery: Path, tmp_path: Path) -> None:
    first = run("prepare", gallery, "--out", tmp_path / "out", "--workers", 1)
    again = run("prepare", gallery, "--out", tmp_path / "out", "--workers", 1)

    lines = [line.split() for line in first.stdout.splitlines()]
    assert ["usable", "paintings", "3"] in lines
    assert ["artists", "2"] in lines
    assert ["left", "out:", "truncated", "1"] in lines
    assert "is ready after" in first.stdout
    assert "was already finished" in again.stdout
    assert "left_out.csv" in first.stdout


def test_every_option_of_prepare_reaches_it(gallery: Path, tmp_path: Path) -> None:
    table = gallery.parent / "table.csv"
    names = ["who", "where", "what", "when", "how", "which", "whose"]
    files = ["Monet/a.jpg", "Monet/b.jpg", "Degas/c.jpg"]
    rows = [[file.partition("/")[0], f"gallery/{file}", "Sea", "1890", "Realism", "marina", "Louvre"] for file in files]
    table.write_text("\n".join(map(",".join, [names, *rows, []])))
    fields = ["artist", "path", "title", "date", "style", "genre", "source"]
    columns = [part for field, name in zip(fields, names, strict=True) for part in (f"--{field}-column", name)]

    run("prepare", table, "--out", tmp_path / "one", *columns, "--only-artists", "MONET", "--size", 20)
    run("prepare", table, "--out", tmp_path / "two", *columns, "--max-per-artist", 1, "--workers", 2)
    run("prepare", table, "--out", tmp_path / "three", *columns, "--limit", 1)

    one, two, three = (read_paintings(tmp_path / out) for out in ("one", "two", "three"))
    assert (one["artist"].tolist(), one["height"].tolist()) == (["Monet", "Monet"], [20, 20])
    assert one[["title", "date", "style", "genre", "source"]].to_numpy().tolist()[0] == rows[0][2:]
    assert sorted(two["artist"]) == ["Degas", "Monet"]
    assert len(three) == 1


def test_info_tells_people_and_programs_the_same(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("prepare", gallery, "--out", out, "--workers", 1)

    described: dict[str, Any] = json.loads(run("info", out, "--json").stdout)
    shown = run("info", out).stdout

    assert described == {
        "artists": 2,
        "paintings": 3,
        "artists_with_one_painting": 1,
        "paintings_per_artist": {"median": 1.5, "mean": 1.5},
        "groups": {},
        "sources": {},
        "shorter_side": {"min": 40, "median": 41, "max": 43},
        "status": {"ok": 3},
        "copies": {"of_one_artist": 0, "under_several_artists": 0},
        "left_out": {"truncated": 1},
        "largest_artists": {"Monet": 2, "Degas": 1},
        "smallest_artists": {"Monet": 2, "Degas": 1},
    }
    lines = [line.split() for line in shown.splitlines()]
    assert ["artists", "with", "one", "painting", "1"] in lines
    assert ["left", "out:", "truncated", "1"] in lines
    assert ["most:", "Monet", "2"] in lines


def test_info_of_a_folder_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=r"has no paintings\.parquet"):
        run("info", tmp_path)


def test_info_counts_the_competitions_groups(tmp_path: Path) -> None:
    header = "artist,date,genre,source,style,title,artist_group,in_train,new_filename"
    (tmp_path / "train").mkdir()
    rows = [f"{artist},,,wikiart,,,{group},True,{n}.png" for n, (artist, group) in enumerate(GROUPS)]
    (tmp_path / "all_data_info.csv").write_text("\n".join([header, *rows, ""]))
    for n in range(len(GROUPS)):
        Image.new("RGB", (30, 30), (n, 0, 0)).save(tmp_path / "train" / f"{n}.png")
    run("prepare", tmp_path, "--out", tmp_path / "out", "--workers", 1)

    described = json.loads(run("info", tmp_path / "out", "--json").stdout)

    assert described["groups"] == {
        "test_only": {"artists": 1, "paintings": 1},
        "train_only": {"artists": 2, "paintings": 3},
    }
    assert described["sources"] == {"wikiart": 4}


GROUPS = [("A", "train_only"), ("A", "train_only"), ("B", "train_only"), ("C", "test_only")]


def test_synthesize_writes_a_prepared_folder(tmp_path: Path) -> None:
    sizes = ["--artists", 2, "--paintings-per-artist", 2, "--size", 32, "--seed", 3, "--workers", 1]

    result = run("synthesize", "--out", tmp_path / "out", *sizes)

    assert f"4 paintings by 2 artists are in {tmp_path / 'out'}" in result.stdout
    assert read_paintings(tmp_path / "out")["artist"].nunique() == 2


@pytest.mark.parametrize("command", ["prepare", "synthesize", "info", "download"])
def test_every_command_has_an_example_in_its_help(command: str) -> None:
    assert f"morelli data {command}" in run(command, "--help").stdout


def test_a_mistake_is_printed_without_a_traceback_and_exits_2(tmp_path: Path) -> None:
    answer = run_morelli("prepare", tmp_path / "nowhere", "--out", tmp_path / "out")

    assert answer.returncode == 2
    assert "No source at" in answer.stderr
    assert "one folder per artist" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_progress_goes_to_stderr_and_the_result_to_stdout(gallery: Path, tmp_path: Path) -> None:
    answer = run_morelli("prepare", gallery, "--out", tmp_path / "out")

    assert answer.returncode == 0
    assert "Preparing" in answer.stderr
    assert "Preparing" not in answer.stdout
    assert "usable paintings" in answer.stdout
