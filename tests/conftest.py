"""What several test packages share: a tiny prepared folder, a browser, and a cache that is never the user's own."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from morelli.synthetic.painters import SyntheticPainters

sys.path.append(str(Path(__file__).parents[1]))  # for examples/, as from the repository's root

# Each worker of `-n` gets its share of the cores: torch's threads would spin on those of the others. OpenMP reads this
# when it starts, which importing what is above does not do yet.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))

# The same examples on every run: a suite that fails by luck tells nobody what broke it.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own, in the place of ``~/.cache/morelli``."""
    folder = tmp_path / "morelli-cache"
    monkeypatch.setenv("MORELLI_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished prepared folder: 12 artists with 6 paintings each, 64 pixels. Tests only read it."""
    folder = tmp_path_factory.mktemp("prepared") / "synthetic"
    SyntheticPainters(artists=12, paintings_per_artist=6, size=64).write(folder, workers=1)
    return folder


_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, which asks nothing of the network by itself; without one, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium here")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=_QUIET)
        yield opened
        opened.close()
