"""The script that fills pages from run folders: what is there is filled in, what is not stays, in one process."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from morelli.bench.run_folder import METRICS, RunFolder
from morelli.models.config import BackboneConfig

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "results.py"


def test_a_page_is_filled_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path / "runs" / "here" / "one")
    about = {"recipe": "r", "backbone_label": "v", "backbone": BackboneConfig(name="test_vit").model_dump(mode="json")}
    run.start({**about, "fold": 0, "seed": 0, "split": {}, "objective": {"kind": "frozen", "name": "frozen"}})
    run.write("environment.json", {"training_seconds": 1.0, "images_per_second": 2.0})
    measured = {"artists": 2, "paintings": 9, "pair_auc": 0.625, "interval": {}}
    run.write(METRICS, {"parameters": 1, "image_size": 32, "embedding_width": 8, "unseen": measured})
    page = tmp_path / "page.md"
    commands = [f"morelli table runs/{place} --format md" for place in ("here", "elsewhere")]
    page.write_text("".join(f"Before.\n<!-- {one} -->\nold\n<!-- end -->\nAfter.\n" for one in commands))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(page)])
    monkeypatch.setattr(subprocess, "Popen", None)  # a process for each of 54 commands took six minutes

    for _ in range(2):
        runpy.run_path(str(SCRIPT), run_name="__main__")
        filled, kept = page.read_text().split("After.\n")[:2]
        assert f"Before.\n<!-- {commands[0]} -->\n\n`{commands[0]}`\n\n" in filled
        assert "| 0.625" in filled
        assert "old" not in filled
        assert kept == f"Before.\n<!-- {commands[1]} -->\nold\n<!-- end -->\n"
        said = capsys.readouterr().out
        assert f"kept: {commands[1]}" in said
        assert "There is no folder runs/elsewhere" in said
