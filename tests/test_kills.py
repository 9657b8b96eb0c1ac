"""Kill tests: each command that writes, killed at its file events, goes on to what an uninterrupted run leaves."""

import os
import sys
from pathlib import Path

import pytest

from morelli import MorelliError, _locks
from morelli._locks import only_writer
from morelli.bench.recipe import Recipe
from morelli.bench.runner import bench, train
from morelli.errors import MorelliWarning
from morelli.report.report import report

sys.path.insert(0, str(Path(__file__).parent))
from file_kills import killed_at_every_event

SCENARIOS = Path(__file__).with_name("killed_commands.py")
LINES = Path(__file__).with_name("command_lines.py")

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")


@forks
@pytest.mark.parametrize(("name", "step"), [("Synthesize", 20), ("Prepare", 25)])
def test_killed_at_some_file_events(name: str, step: int, tmp_path: Path) -> None:
    assert killed_at_every_event(SCENARIOS, tmp_path, name, fewest=20, step=step) == []


@forks
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fewest", "step"),
    [
        ("Synthesize", 30, 1),
        ("Prepare", 30, 1),
        ("PrepareMore", 20, 1),
        ("PrepareParquet", 30, 3),
        ("Bench", 60, 5),
        ("Train", 40, 3),
        ("Submit", 4, 1),
        ("Report", 3, 1),
        ("Export", 4, 1),
    ],
)
def test_killed_at_a_spread_of_file_events(name: str, fewest: int, step: int, tmp_path: Path) -> None:
    assert killed_at_every_event(SCENARIOS, tmp_path, name, fewest=fewest, step=step) == []


FAULTS = ("SIGINT", "SIGTERM", "ENOSPC", "EROFS")


@forks
@pytest.mark.parametrize("fault", FAULTS)
def test_a_signal_or_a_disk_without_room_is_one_sentence_and_costs_nothing(fault: str, tmp_path: Path) -> None:
    assert killed_at_every_event(LINES, tmp_path, "Synthesize", fault=fault, fewest=20, step=20) == []


@forks
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("name", "fewest", "step"),
    [
        *(("Prepare", 30, 8), ("Synthesize", 30, 8), ("Merge", 50, 25), ("Bench", 60, 15), ("Train", 40, 10)),
        *(("Evaluate", 10, 4), ("Index", 5, 2), ("Enroll", 5, 2), ("Search", 2, 1), ("Explain", 2, 1)),
        *(("Submit", 4, 2), ("Report", 3, 1), ("Export", 4, 1)),
    ],
)
def test_each_command_is_stopped_or_has_no_room_at_a_spread_of_events(
    name: str, fewest: int, step: int, fault: str, tmp_path: Path
) -> None:
    assert killed_at_every_event(LINES, tmp_path, name, fault=fault, fewest=fewest, step=step) == []


@pytest.mark.parametrize("command", ["bench", "train"])
def test_a_second_one_into_the_same_folder_is_told_who_writes_there(
    command: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_locks, "WAIT", 0.1)
    backbone = {"name": "test_resnet", "weights": "none", "image_size": 32}
    recipe = Recipe.model_validate(
        {"name": "tiny", "data": str(prepared), "backbones": [backbone], "objectives": ["frozen"]}
    )
    with (
        only_writer(tmp_path / "tiny"),
        pytest.warns(MorelliWarning, match="waiting for it"),
        pytest.raises(MorelliError, match=f"Process {os.getpid()} writes into {tmp_path / 'tiny'}"),
    ):
        _ = bench(recipe, tmp_path) if command == "bench" else train(recipe, tmp_path / "tiny")
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == [".lock"]


def test_no_file_of_a_run_becomes_a_report(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(MorelliError, match=r"writes a \.html or \.htm file"):
        report([tmp_path], tmp_path / "metrics.json")
    assert (tmp_path / "metrics.json").read_text() == "{}"
