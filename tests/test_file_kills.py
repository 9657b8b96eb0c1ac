"""The kill helper sees a writer that is not whole, and passes one that is."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from file_kills import killed_at_every_event

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
WHOLE = """
from morelli._files import write_text_whole

def start(place): (place / "in.txt").write_text("text")
def found(place): return {path.name: path.read_text() for path in place.iterdir() if ".partial" not in path.name}
def work(place): write_text_whole(place / "out.txt", (place / "in.txt").read_text())
"""
IN_PLACE = (
    WHOLE
    + """
def work(place):
    if not (place / "out.txt").exists():
        (place / "out.txt").write_text("")
        (place / "out.txt").rename(place / "second.txt")
        (place / "out.txt").write_text("text")
        (place / "second.txt").unlink()
"""
)


def test_a_writer_that_is_whole_passes(tmp_path: Path) -> None:
    (tmp_path / "scenario.py").write_text(WHOLE)
    assert killed_at_every_event(tmp_path / "scenario.py", tmp_path, fewest=2) == []


def test_a_writer_that_leaves_halves_is_seen(tmp_path: Path) -> None:
    (tmp_path / "scenario.py").write_text(IN_PLACE)
    wrong = killed_at_every_event(tmp_path / "scenario.py", tmp_path, fewest=4)
    assert [line.split(":")[0] for line in wrong] == ["event 2", "event 4"]
    assert "os.rename" in wrong[0]
