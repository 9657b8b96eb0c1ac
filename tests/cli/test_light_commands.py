"""Commands that only read tables load no torch, and those of runs no more than they use: they answer at once."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from morelli.bench.run_folder import ENVIRONMENT, METRICS, RunFolder, leave_one_out_path
from morelli.cli import app
from morelli.evaluation.intervals import LeaveOneOut
from morelli.models.config import BackboneConfig

HEAVY = ("torch", "torchvision", "accelerate", "pytorch_metric_learning", "timm")
CODE = f"""
import sys
from morelli.cli import main
sys.argv = ["morelli", *sys.argv[1:]]
try:
    main()
finally:
    print(len(sys.modules), "modules", file=sys.stderr)
    print("loaded:", sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""
MOST_MODULES = 1100
"""Of `table` and `compare-runs`: about 1,000; with scipy's statistics and optimisers 1,443."""
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
DATA = [
    command.callback.__name__
    for group in app.registered_groups
    if group.typer_instance
    for command in group.typer_instance.registered_commands
    if command.callback
]


def ran(*arguments: object, status: int = 0, modules: int = sys.maxsize) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which must end so and without any heavy library."""
    ended = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.endswith("loaded: []\n"), ended.stderr
    loaded = re.search(r"^(\d+) modules$", ended.stderr, re.MULTILINE)
    assert loaded
    assert int(loaded[1]) <= modules
    return ended


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run that was never made."""
    made = RunFolder(tmp_path / "run")
    backbone = BackboneConfig(name="test_vit").model_dump(mode="json")
    config = {"recipe": "r", "backbone_label": "v", "backbone": backbone, "fold": 0, "seed": 0, "split": {}}
    made.start({**config, "objective": {"kind": "frozen", "name": "frozen"}})
    made.write(ENVIRONMENT, {"training_seconds": 1.0, "images_per_second": 2.0})
    measured = {"artists": 2, "paintings": 9, "pair_auc": 0.5, "interval": {}}
    about = {"parameters": 1, "image_size": 32, "embedding_width": 8}
    made.write(METRICS, {**about, "unseen": measured})
    rows = pd.DataFrame({"artist": ["A", "B"], "paintings": 9, "pair_auc": [0.25, 0.75]})
    rows.to_csv(made.path / "per_artist_unseen.csv", index=False)
    without = pd.DataFrame({"pair_auc": [0.5, 0.52, 0.48, 0.51, 0.49, 0.5]})
    LeaveOneOut({"pair_auc": 0.5}, without, "these").write(leave_one_out_path(made.path, "unseen"))
    return made.path


def test_table(run: Path) -> None:
    assert "0.500" in ran("table", run, modules=MOST_MODULES).stdout
    assert "0.250" in ran("table", run, "--artists", 1, modules=MOST_MODULES).stdout


def test_compare_runs(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    better = pd.DataFrame({"pair_auc": [0.6, 0.64, 0.56, 0.63, 0.57, 0.61]})
    LeaveOneOut({"pair_auc": 0.6}, better, "these").write(leave_one_out_path(other, "unseen"))
    compared = ran("compare-runs", other, run, "--metric", "pair_auc", modules=MOST_MODULES)
    assert "0.600 against 0.500, a difference of +0.100 (" in compared.stdout
    assert "has no leave_one_out" in ran("compare-runs", run, run, "--subset", "seen", status=2).stderr


def test_data_info(prepared: Path) -> None:
    assert "paintings" in ran("data", "info", prepared).stdout


def test_score(tmp_path: Path) -> None:
    (tmp_path / "submission.csv").write_text("index,sameArtist\n0,0.9\n1,0.1\n2,0.6\n")
    (tmp_path / "solution.csv").write_text("index,sameArtist\n0,1\n1,0\n2,1\n")
    assert "1.0" in ran("score", tmp_path / "submission.csv", tmp_path / "solution.csv").stdout


def test_help() -> None:
    every = [[], *([name] for name in COMMANDS), *(["data", name] for name in DATA)]
    code = CODE.replace(
        "    main()",
        f"""    for words in {[[word.replace("_", "-") for word in words] for words in every]}:
        sys.argv = ["morelli", *words, "--help"]
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, words""",
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert re.fullmatch(r"\d+ modules\nloaded: \[\]\n", ended.stderr)
    assert ended.stdout.count("Usage: ") == len(every) > 20
