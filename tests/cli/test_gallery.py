"""The commands on one's own pictures as they are typed."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from morelli import SyntheticPainters
from morelli.cli import main

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 8, "m": 2, "validate_every": 1},
}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def morelli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process; gives its status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["morelli", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="module")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from morelli import load_recipe, train

    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, "data": str(prepared)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(folder / "cache"))
        return train(load_recipe(folder / "tiny.yaml"), folder / "run").path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    hands = SyntheticPainters(artists=3, paintings_per_artist=3, size=64, seed=7)
    for artist in range(3):
        (tmp_path / "pictures" / f"hand-{artist}").mkdir(parents=True)
        for painting in range(3):
            hands.paint(artist, painting).save(tmp_path / "pictures" / f"hand-{artist}" / f"{painting}.png")
    return tmp_path / "pictures"


def test_compare(morelli: Command, model: Path, pictures: Path, tmp_path: Path) -> None:
    two = pictures / "hand-0" / "0.png", pictures / "hand-1" / "0.png"
    status, said, errors = morelli(
        "compare", *two, "--model", model, "--prior", 0.0131, "--explain", tmp_path / "why.png"
    )
    assert status == 0
    assert "if 1.3 % of such pairs are by one hand" in said
    assert said.endswith("This is evidence, not authentication.\n")
    assert "why.png" in errors
    with Image.open(tmp_path / "why.png") as sheet:
        assert sheet.width > 700
    status, said, _ = morelli("compare", *two, "--model", model, "--json")
    found: dict[str, Any] = json.loads(said)
    assert (status, found["b"], found["caveat"]) == (0, str(two[1]), "This is evidence, not authentication.")
    assert 0 <= found["probability"] <= 1


def test_compare_of_folders_and_of_one_folder(morelli: Command, pictures: Path) -> None:
    hands = [pictures / f"hand-{artist}" for artist in range(2)]
    status, said, _ = morelli("compare", *hands)
    assert (status, "log10 LR" in said, "(3 paintings)" in said) == (0, True, True)
    status, said, _ = morelli("compare", pictures / "hand-2" / "0.png", hands[0], "--json")
    assert (status, json.loads(said)["paintings"]) == (0, [1, 3])
    status, said, _ = morelli("compare", "--one-out", pictures, "--json")
    assert (status, len(json.loads(said)["paintings"])) == (0, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one.png"], "takes two pictures or folders, or --one-out"),
        (["hand-0", "hand-1", "--one-out", "hand-2"], "takes two pictures or folders, or --one-out"),
        (["--one-out", "hand-0", "--explain", "why.png"], "takes two pictures or folders, or --one-out"),
        (["hand-0", "hand-1", "--explain", "why.png"], "they take no folder"),
        (["hand-0", "hand-1", "--cohort", "hand-2"], "A cohort of 3 pictures is too small"),
        (["hand-0", "hand-1", "--prior", "0"], "between 0 and 1"),
    ],
)
def test_what_compare_cannot_take(
    morelli: Command, pictures: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(pictures)
    status, said, error = morelli("compare", *arguments)
    assert (status, said) == (2, "")
    assert message in " ".join(error.split())


def test_index_and_search(morelli: Command, model: Path, pictures: Path, tmp_path: Path) -> None:
    status, said, _ = morelli("index", pictures, "--model", model)
    assert status == 0
    assert "9 pictures (9 embedded now" in said
    assert "0 embedded now, 9 unchanged" in morelli("index", pictures, "--model", model)[1]
    search = "search", tmp_path / "pictures.index", pictures / "hand-0" / "0.png"
    status, said, _ = morelli(*search, "-k", 2, "--html", tmp_path / "found.html")
    assert status == 0
    assert "Copies of the picture itself:\n  hand-0/0.png" in said
    assert (tmp_path / "found.html").is_file()
    assert len(json.loads(morelli(*search, "--json", "--model", model)[1])["matches"]) == 8


def test_the_former_order_still_works_and_says_what_to_write_now(
    morelli: Command, model: Path, pictures: Path, prepared: Path, tmp_path: Path
) -> None:
    one, other = pictures / "hand-0" / "0.png", pictures / "hand-1" / "0.png"
    for former, now in (
        (("compare", model, one, other), ("compare", one, other, "--model", model)),
        (("index", model, pictures), ("index", pictures, "--model", model)),
        (("export", model, "--onnx", tmp_path / "a.onnx"), ("export", "--onnx", tmp_path / "a.onnx", "--model", model)),
        (
            ("evaluate", model, "--data", prepared),
            ("evaluate", "--data", prepared, "--model", model),
        ),
    ):
        status, said, noted = morelli(*former)
        again, answer, quiet = morelli(*now)
        assert (status, again) == (0, 0)
        assert said.split(" now,")[0].partition("(")[0] == answer.partition("(")[0]
        assert f"morelli {former[0]}" in noted
        assert f"--model {model}" in noted.replace("\n", "")
        assert "the model is named with --model" not in quiet


def test_mistakes_end_with_a_sentence_and_status_2(
    morelli: Command, model: Path, pictures: Path, tmp_path: Path
) -> None:
    picture = pictures / "hand-0" / "0.png"
    (tmp_path / "text.jpg").write_text("a letter")
    for command, why in (
        (("compare", picture, picture, "--model", tmp_path), "holds no trained model"),
        (("compare", picture, tmp_path / "text.jpg", "--model", model), "not a picture"),
        (("compare", picture, tmp_path / "none.jpg", "--model", model), "There is no picture"),
        (("compare", picture, picture, "--prior", 1, "--model", model), "between 0 and 1"),
        (("compare", picture, picture, "--explain", "why.txt", "--model", model), ".png or .jpg"),
        (("compare", picture, picture, "--explain", picture, "--model", model), "would be overwritten"),
        (("index", tmp_path / "none", "--model", model), "no folder"),
        (("search", pictures, picture), "is no index"),
        (("export", "--model", tmp_path, "--onnx", "hands.onnx"), "holds no trained model"),
        (("export", "--model", model, "--onnx", "hands.pt"), "writes a .onnx file"),
        (("push", model, "hands"), "OWNER/NAME"),
    ):
        status, _, errors = morelli(*command)
        assert status == 2
        assert errors.startswith("Error: ")
        assert why in errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("command", ["compare", "index", "search", "enroll", "identify", "export", "push"])
def test_each_explains_itself(morelli: Command, command: str) -> None:
    status, said, _ = morelli(command, "--help")
    assert status == 0
    assert "Example" in said
