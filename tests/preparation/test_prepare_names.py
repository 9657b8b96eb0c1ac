"""What ``prepare`` makes of names: spellings, names of no artist, and pictures that stand under many artists."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from morelli import MorelliError, PaintersByNumbers, SyntheticPainters, prepare, read_paintings
from morelli.cli import app
from morelli.data.describe import describe

HANDS = SyntheticPainters(artists=3, paintings_per_artist=8, size=64, seed=5)
ADA, BELA, CORA = "Ada Érard", "Bela Lund", "Cora Orth"


def paint(folder: Path, names: list[str], each: int = 1) -> Path:
    """``each`` pictures in a folder of every name, all different."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for painting in range(each):
            place = number * each + painting
            HANDS.paint(place // 8 % 3, place % 8).save(folder / name / f"{place}.png")
    return folder


def run(source: Path, out: Path, **options):
    return prepare(source, out, workers=1, **options)


def listed(out: Path) -> dict[str, str]:
    left = pd.read_csv(out / "left_out.csv", keep_default_na=False)
    return dict(zip(left["artist"], left["reason"], strict=True))


def test_spellings_become_one_artist_and_are_listed(tmp_path: Path) -> None:
    source = paint(tmp_path / "in", [ADA, "ada_erard", "Erard, Ada", "ADA-ERARD", BELA, "Lund, B."], each=2)
    summary = run(source, tmp_path / "out", layout="{artist}/**")

    assert summary.artists == describe(tmp_path / "out")["artists"] == 3
    assert PaintersByNumbers(tmp_path / "out").artists == [ADA, BELA, "Lund, B."]
    assert {name: sorted(written) for name, written in summary.names.spellings.items()} == {
        ADA: sorted([ADA, "ada_erard", "Erard, Ada", "ADA-ERARD"])
    }
    assert [pair[:2] for pair in summary.names.perhaps_one] == [("Lund, B.", BELA)]
    assert any(line.startswith("4 spellings of Ada Érard: ") for line in summary.names.lines())
    spellings = pd.read_csv(tmp_path / "out" / "spellings.csv")
    assert set(spellings["written"][spellings["artist"] == ADA]) == {ADA, "ada_erard", "Erard, Ada", "ADA-ERARD"}
    assert set(spellings["paintings"]) == {2}
    again = run(source, tmp_path / "out", layout="{artist}/**")
    assert again.already_done
    assert again.names == summary.names


def test_names_of_no_artist_are_left_out_and_can_be_kept(tmp_path: Path) -> None:
    no_one = ["Unknown Artist", "Workshop of Titian", "Various", "Attributed to Titian"]
    source = paint(tmp_path / "in", [ADA, BELA, *no_one], each=2)
    summary = run(source, tmp_path / "out", layout="{artist}/**")

    assert (summary.artists, summary.usable) == (2, 4)
    assert summary.names.unattributed == dict.fromkeys(no_one, 2)
    assert sum(summary.left_out.values()) == 8
    assert set(listed(tmp_path / "out")) == set(no_one)
    assert describe(tmp_path / "out")["left_out"] == summary.left_out
    assert "--keep-unattributed" in summary.names.lines()[-1]

    kept = run(source, tmp_path / "out", layout="{artist}/**", keep_unattributed=True)
    assert (kept.artists, kept.usable, kept.added) == (6, 12, 8)
    assert kept.names.unattributed == kept.left_out == {}
    assert kept.names.kept == dict.fromkeys(no_one, 2)
    assert kept.names.lines()[-1].startswith(
        "Kept as artists: 8 paintings by no known artist: Attributed to Titian (2), "
    )
    rows = pd.read_csv(tmp_path / "out" / "spellings.csv").set_index("written")
    assert rows["judged"][rows["judged"].str.startswith("no one")].to_dict() == {
        "Attributed to Titian": "no one artist's name, kept as one: attribution uncertain",
        "Unknown Artist": "no one artist's name, kept as one: artist unknown",
        "Various": "no one artist's name, kept as one: several artists",
        "Workshop of Titian": "no one artist's name, kept as one: a workshop, school, follower or copyist",
    }
    once_more = run(source, tmp_path / "out", layout="{artist}/**")
    assert (once_more.artists, once_more.removed) == (2, 8)
    asked = run(source, tmp_path / "asked", layout="{artist}/**", only_artists=["workshop of titian", ADA])
    assert set(read_paintings(tmp_path / "asked")["artist"]) == {ADA, "Workshop of Titian"}
    assert asked.left_out == {}
    assert asked.names.kept == {"Workshop of Titian": 2}


def test_a_source_of_nobody_known_is_refused_with_the_way_out(tmp_path: Path) -> None:
    source = paint(tmp_path / "in", ["Unknown", "anonymous"])
    with pytest.raises(MorelliError, match=r"artists are called: Unknown, anonymous.*--keep-unattributed"):
        run(source, tmp_path / "out", layout="{artist}/**")

    assert run(source, tmp_path / "out", layout="{artist}/**", keep_unattributed=True).artists == 2


def test_a_picture_under_many_artists_is_left_out_everywhere_and_named(tmp_path: Path) -> None:
    source = paint(tmp_path / "in", [ADA, BELA, CORA], each=2)
    for name in (ADA, BELA):
        shutil.copy(source / ADA / "0.png", source / name / "no-image.png")
    two = run(source, tmp_path / "out", layout="{artist}/**")
    assert two.names.stand_ins == {}
    assert two.duplicates_across_artists == 1

    shutil.copy(source / ADA / "0.png", source / CORA / "no-image.png")
    three = run(source, tmp_path / "out", layout="{artist}/**")
    assert (three.artists, three.usable) == (3, 5)
    assert list(three.names.stand_ins.values()) == [4]
    assert three.left_out == {"one picture under 3 artists": 4}
    assert "such as Ada Érard/" in three.names.lines()[-1]
    assert not any("no-image" in file for file in read_paintings(tmp_path / "out")["file"])
    assert run(source, tmp_path / "out", layout="{artist}/**").already_done

    (source / CORA / "no-image.png").unlink()  # now it may be right for one of two
    assert run(source, tmp_path / "out", layout="{artist}/**").usable == 8


def test_a_picture_under_many_spellings_of_one_artist_stays(tmp_path: Path) -> None:
    source = paint(tmp_path / "in", [ADA, "ada_erard", "Erard, Ada", BELA])
    for name in ("ada_erard", "Erard, Ada"):
        shutil.copy(source / ADA / "0.png", source / name / "again.png")
    summary = run(source, tmp_path / "out", layout="{artist}/**")

    assert summary.names.stand_ins == {}
    assert (summary.usable, summary.duplicates_within_artists) == (6, 1)


def test_the_command_says_it_in_80_columns_and_runs_no_name(tmp_path: Path) -> None:
    names = [
        "[bold]Ray[-]",
        "[bold]ray[-]",
        ":smile: Ort",
        "Unknown :cat:",
        "Anonymous " + "x" * 90,
        "a\tb c",
        "Ort, A.",
    ]
    paint(tmp_path / "in", names)
    asked = ["data", "prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--layout", "{artist}/**"]
    result = CliRunner().invoke(app, [*asked, "--workers", "1"], env={"COLUMNS": "80"}, catch_exceptions=False)

    said = " ".join(result.stdout.split())
    assert "2 spellings of [bold]Ray[-]: [bold]Ray[-], [bold]ray[-]" in said
    assert "Unknown :cat:" in said
    assert "2 paintings by no known artist" in said
    table = [line for line in result.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(len, table)) <= 80
