"""Two commands at once on one folder, index, file or cache: both right, or the second is told who writes there."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from file_kills import wrong_at_once

SCENARIOS = Path(__file__).with_name("commands_at_once.py")
FAST = (
    "Fresh Fresh",
    "EnrolledSecond EnrolledThird",
    "IndexBeside Enrolled",
    "IndexBeside SearchBeside",
    "Prepare Prepare",
)
SLOW = (
    *("Synthesize Synthesize", "PrepareMore PrepareMore", "Bench Bench", "Bench OtherBench", "Train Train"),
    *("Submit Submit", "Report Report", "Export Export", "Changed Changed"),
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")


def test_both_come_to_their_end_as_one_after_the_other(tmp_path: Path) -> None:
    assert wrong_at_once(SCENARIOS, tmp_path, *FAST) == {pair: [] for pair in FAST}


@pytest.mark.slow
@pytest.mark.parametrize("pair", [*FAST, *SLOW])
def test_three_times(pair: str, tmp_path: Path) -> None:
    assert wrong_at_once(SCENARIOS, tmp_path, pair, rounds=3) == {pair: []}


BROKEN = """
import time
from pathlib import Path

class Append:
    def start(place): (place / "numbers.txt").write_text("")
    def found(place): return (place / "numbers.txt").read_text()
    def work(place):
        before = (place / "numbers.txt").read_text()
        time.sleep(0.2)
        (place / "numbers.txt").write_text(before + "1")
"""


def test_a_lost_update_is_seen(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    assert wrong_at_once(tmp_path / "broken.py", tmp_path, "Append Append") == {"Append Append": ["1 instead of 11"]}
