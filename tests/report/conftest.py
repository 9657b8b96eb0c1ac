"""A small finished bench whose artists and titles try to break out of whatever they are written into."""

import shutil
from pathlib import Path

import pytest

from morelli.bench.recipe import load_recipe
from morelli.bench.runner import bench
from morelli.data.prepared import read_paintings, write_paintings
from morelli.report.report import report

HOSTILE = "</script><script>alert({})</script>"


@pytest.fixture(scope="session")
def hostile(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared synthetic paintings, every second artist and title with HTML in it."""
    folder = tmp_path_factory.mktemp("hostile") / "prepared"
    shutil.copytree(prepared, folder)
    paintings = read_paintings(folder)
    names = sorted(paintings["artist"].unique())
    new = {name: f"{name} & {HOSTILE.format(place)}" if place % 2 else name for place, name in enumerate(names)}
    paintings["artist"] = paintings["artist"].map(new)
    paintings.loc[::2, "title"] = "\"><img src=x onerror='alert(2)'>"
    write_paintings(folder, paintings)
    return folder


@pytest.fixture(scope="session")
def benched(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished runs on the hostile folder. Tests only read them, or copy them first."""
    overrides = [
        f"data={hostile}",
        "name=small",
        "split={kind: fraction, unseen_fraction: 0.5, validation_fraction: 0.34}",
        "backbones=[{name: test_efficientnet, weights: none, image_size: 32}]",
        "objectives=[frozen, triplet, bce-pair]",
        "head={hidden: [8], width: 8}",
        "training={epochs: 3, batch_size: 8, m: 2, validate_every: 1}",
    ]
    out = tmp_path_factory.mktemp("benched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(out / "cache"))
        runs = bench(load_recipe("demo", overrides), out)
    assert [run.failure for run in runs] == [None] * 3
    return out / "small"


@pytest.fixture(scope="session")
def report_file(benched: Path, hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of those runs, with everything in it."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MORELLI_CACHE", str(folder / "cache"))
        report([benched], folder / "new" / "report.html", data=hostile)
    return folder / "new" / "report.html"
