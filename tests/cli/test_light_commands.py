"""Commands that only read tables load no torch: they answer at once."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from morelli.bench.run_folder import ENVIRONMENT, METRICS, RunFolder
from morelli.cli import app
from morelli.models.config import BackboneConfig

HEAVY = ("torch", "torchvision", "accelerate", "pytorch_metric_learning", "timm")
CODE = f"""
import sys
from morelli.cli import main
sys.argv = ["morelli", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
DATA = [
    command.callback.__name__
    for group in app.registered_groups
    if group.typer_instance
    for command in group.typer_instance.registered_commands
    if command.callback
]


def ran(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which must end so and without any heavy library."""
    ended = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.endswith("loaded: []\n"), ended.stderr
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
    return made.path


def test_table(run: Path) -> None:
    assert "0.500" in ran("table", run).stdout
    assert "0.250" in ran("table", run, "--artists", 1).stdout


def test_compare_runs(run: Path) -> None:
    assert "has no leave_one_out" in ran("compare-runs", run, run, status=2).stderr


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
    assert ended.stderr == "loaded: []\n"
    assert ended.stdout.count("Usage: ") == len(every) > 20
