"""The tables of docs/scale.md are what the script prints from the measured figures, and follow from them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from morelli import Painters, SyntheticPainters

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "scale.py"
PAGE = ROOT / "docs" / "scale.md"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="needs the repository")


@pytest.fixture(scope="module")
def printed() -> str:
    return subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True).stdout


def test_the_page_shows_what_the_script_prints(printed: str) -> None:
    assert printed in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), "python benchmarks/scale.py --write"


def test_costs_follow_from_the_rates(printed: str) -> None:
    rates = json.loads((ROOT / "benchmarks" / "rates.json").read_text(encoding="utf-8"))
    cells = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in printed.splitlines()}

    core_hours = rates["prepare_12mp_core_seconds_a_picture"]["value"] * 1e8 / 3600
    assert cells["prepare"][3].endswith(f", {core_hours * 0.04:,.2f} $")
    assert cells["embeddings, and memory of exact search"][4].startswith("2,048.0 GB")
    query = rates["search_512_milliseconds_a_million"]["value"] * 100 / 1000
    assert cells["exact, a query"][3] == f"{query:,.1f} s"
    pairs = rates["retrieval_23817_morelli_seconds"]["value"] * (1e8 / 23_817) ** 2
    assert cells["exact, all against all"][3] in (f"{pairs / 86400:,.1f} days", f"{pairs / 31_557_600:,.1f} years")


def test_every_figure_says_where_it_was_measured(printed: str) -> None:
    measured = printed.split("| measured |")[1].splitlines()[2:]
    known = [line for line in measured if "| not measured |" not in line]
    assert len(measured) == 11
    assert len(known) >= 5
    assert all("`python benchmarks/" in line and "cores" in line and " | 20" in line for line in known)


SCRIPTS = re.findall(r"^```python\n# needs: (\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some pictures, and their index by the packaged network."""
    folder = tmp_path_factory.mktemp("scale")
    hands = SyntheticPainters(artists=2, paintings_per_artist=2, size=96)
    (folder / "my-pictures").mkdir()
    for place in range(4):
        hands.paint(place // 2, place % 2).save(
            folder / "my-pictures" / f"{('one', 'two', 'three', 'four')[place]}.png"
        )
    Painters.load().index(folder / "my-pictures")
    return folder


@pytest.mark.parametrize(
    ("needs", "script"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] == "ray" else (), id=one[0]) for one in SCRIPTS],
)
def test_scripts_run_as_they_stand(folder: Path, needs: str, script: str) -> None:
    pytest.importorskip(needs)
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "true", "MORELLI_ENGINE": "torch"}
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    if needs in ("lancedb", "qdrant_client"):
        expected = Painters.load().search(
            folder / "my-pictures.index", folder / "my-pictures" / "one.png", cohort="none"
        )
        found = [line.split() for line in done.stdout.splitlines()]
        assert found[0] == ["1.000", "one.png"]
        assert found[1:] == [[f"{one.score:.3f}", one.file] for one in expected.matches]
    elif needs == "daft":
        assert done.stdout.split() == ["4"]
    else:
        vectors = pq.read_table(folder / "embedded")["vector"]
        assert (len(vectors), vectors.null_count) == (4, 0)
