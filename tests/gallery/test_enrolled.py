"""Who is enrolled can be listed, renamed and removed."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from morelli import MorelliError, Painters
from morelli.cli import app
from morelli.gallery.enrolled import EnrolledArtist


@pytest.fixture
def index(painters: Painters, pictures: Path, tmp_path: Path) -> Path:
    path = painters.index(pictures, tmp_path / "an.index").path
    for number, name in enumerate(("Bertha Morisot", "Édouard Manet")):
        folder = tmp_path / f"enrolled-{number}"
        shutil.copytree(pictures / f"artist-{number}" / "deep", folder)
        painters.enroll(path, name, folder)
    return path


def test_a_slip_of_the_pen_is_mended(painters: Painters, index: Path, pictures: Path) -> None:
    with pytest.raises(MorelliError, match='--rename "Bertha Morisot" "Berthe Morisot"'):
        painters.enroll(index, "Berthe Morisot", index.parent / "enrolled-0")

    assert painters.rename(index, "bertha_morisot", " Berthe  Morisot ") == EnrolledArtist("Berthe Morisot", 2)

    assert [one.artist for one in painters.enrolled(index)] == ["Berthe Morisot", "Édouard Manet"]
    answer = painters.identify(index, pictures / "artist-0" / "0.png")
    assert {one.artist for one in answer.candidates} == {"Berthe Morisot", "Édouard Manet"}
    assert painters.enroll(index, "Morisot, Berthe", index.parent / "enrolled-0", replace=True).paintings == 2


def test_only_the_spelling_of_a_name_may_change_too(painters: Painters, index: Path) -> None:
    painters.rename(index, "Edouard Manet", "Manet, Edouard")

    assert [one.artist for one in painters.enrolled(index)] == ["Bertha Morisot", "Manet, Edouard"]


def test_the_removed_are_compared_with_no_more(painters: Painters, index: Path, pictures: Path) -> None:
    assert painters.remove(index, "MANET, EDOUARD") == EnrolledArtist("Édouard Manet", 2)

    answer = painters.identify(index, pictures / "artist-0" / "0.png")
    assert [one.artist for one in answer.candidates] == ["Bertha Morisot"]
    painters.remove(index, "Bertha Morisot")
    assert painters.enrolled(index) == []
    with pytest.raises(MorelliError, match="No artist is enrolled"):
        painters.identify(index, pictures / "artist-0" / "0.png")
    assert painters.enroll(index, "Berthe Morisot", index.parent / "enrolled-0").paintings == 2


def test_what_cannot_be_mended(painters: Painters, index: Path) -> None:
    with pytest.raises(MorelliError, match=r'No artist "Berta Morisot".*Did you mean "Bertha Morisot"'):
        painters.remove(index, "Berta Morisot")
    with pytest.raises(MorelliError, match="Édouard Manet is enrolled already, with 2 paintings"):
        painters.rename(index, "Bertha Morisot", "Manet, Edouard")
    with pytest.raises(MorelliError, match="needs a name"):
        painters.rename(index, "Bertha Morisot", " ")


def test_a_name_of_no_artist_is_noted(painters: Painters, index: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures / "artist-2" / "deep", tmp_path / "two")

    assert (
        '"Workshop of Titian" stands for no one artist'
        in painters.enroll(index, "Workshop of Titian", tmp_path / "two").text()
    )


def test_the_commands(index: Path) -> None:
    def enroll(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["enroll", str(index), *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    assert "Enrolled artists: 2" in enroll("--list")
    assert "now called Berthe Morisot, with 2 paintings" in enroll("--rename", "Bertha Morisot", "Berthe Morisot")
    assert "Édouard Manet was removed" in enroll("--remove", "edouard manet")
    assert enroll("--list").split("\n")[1:] == ["  Berthe Morisot  2 paintings", ""]


@pytest.mark.parametrize("arguments", [[], ["--artist", "X"], ["--list", "--remove", "X"], ["a-folder"]])
def test_enroll_is_asked_for_one_thing(index: Path, arguments: list[str]) -> None:
    with pytest.raises(MorelliError, match="enroll takes either"):
        CliRunner().invoke(app, ["enroll", str(index), *arguments], catch_exceptions=False)
