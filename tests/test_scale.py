"""The tables of docs/scale.md are what the script prints from the measured figures, and follow from them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "scale.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="needs the repository")


@pytest.fixture(scope="module")
def printed() -> str:
    return subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True).stdout


def test_the_page_shows_what_the_script_prints(printed: str) -> None:
    assert printed in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), "python benchmarks/scale.py --write"


def test_costs_follow_from_the_rates(printed: str) -> None:
    rates = json.loads((ROOT / "benchmarks" / "rates.json").read_text(encoding="utf-8"))
    cells = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in printed.splitlines()}

    core_hours = rates["prepare_12mp_core_seconds_a_picture"]["value"] * 1e7 / 3600
    assert cells["prepare"][2].endswith(f", {core_hours * 0.04:,.2f} $")
    assert cells["embeddings, and memory of exact search"][3].startswith("2,048.0 GB")
    query = rates["search_512_milliseconds_a_million"]["value"] * 10 / 1000
    assert cells["exact, a query"][2] == f"{query:,.1f} s"
    pairs = rates["retrieval_23817_morelli_seconds"]["value"] * (1e7 / 23_817) ** 2
    assert cells["exact, all against all"][2] in (f"{pairs / 86400:,.1f} days", f"{pairs / 31_557_600:,.1f} years")


def test_every_figure_says_where_it_was_measured(printed: str) -> None:
    measured = printed.split("| measured |")[1].splitlines()[2:]
    known = [line for line in measured if "| not measured |" not in line]
    assert len(measured) == 11
    assert len(known) >= 5
    assert all("`python benchmarks/" in line and "cores" in line and " | 20" in line for line in known)
