"""Whatever a command writes: where it cannot, one sentence says so, and the exit code is 2."""

import sys
from pathlib import Path

import pytest
import yaml

from morelli.cli import main

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["frozen"],
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place under a file, which nobody may make, not even root."""
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file"


@pytest.fixture
def recipe(tmp_path: Path, prepared: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE | {"data": str(prepared)}))
    return tmp_path / "tiny.yaml"


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *command: str | Path) -> str:
    monkeypatch.setattr(sys, "argv", ["morelli", *map(str, command)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    return last


@pytest.mark.parametrize(
    "command",
    [
        "bench {recipe} --out {place}/runs",
        "train {recipe} --out {place}/run",
        "data prepare {pictures} --out {place}/prepared",
        "data synthesize --artists 2 --paintings-per-artist 2 --size 32 --workers 1 --out {place}/prepared",
    ],
)
def test_a_place_for_results(
    command: str,
    place: Path,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pictures" / "A").mkdir(parents=True)
    (tmp_path / "pictures" / "A" / "1.png").touch()
    parts = command.format(recipe=recipe, place=place, pictures=tmp_path / "pictures").split()

    said = refused(capsys, monkeypatch, *parts)

    assert "cannot be written" in said
    assert str(place) in said


@pytest.mark.parametrize("command", ["bench", "train"])
def test_the_cache(
    command: str,
    place: Path,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(place / "cache"))

    said = refused(capsys, monkeypatch, command, recipe, "--out", tmp_path / "out")

    assert "set MORELLI_CACHE to a folder that can be written" in said


def test_any_other_error_of_the_system_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "a/b.parquet")

    monkeypatch.setattr("morelli.data.describe.describe", broken)

    assert "a/b.parquet cannot be read or written (Input/output error)" in refused(
        capsys, monkeypatch, "data", "info", tmp_path
    )
