"""Pages are filled from run folders in one process, what is not there stays; results/ holds their tables as CSV."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from morelli.bench.run_folder import METRICS, RunFolder
from morelli.bench.tables import render
from morelli.models.config import BackboneConfig

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "results.py"


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
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(page), "--csv", "csv"])
    monkeypatch.setattr(subprocess, "Popen", None)  # a process for each of 54 commands took six minutes

    for _ in range(2):
        runpy.run_path(str(SCRIPT), run_name="__main__")
        filled, kept = page.read_text().split("After.\n")[:2]
        assert f"Before.\n<!-- {commands[0]} -->\n\n`{commands[0]}`\n\n" in filled
        assert "| 0.625" in filled
        assert "old" not in filled
        assert kept == f"Before.\n<!-- {commands[1]} -->\nold\n<!-- end -->\n"
        assert pd.read_csv("csv/here.csv")["unseen_pair_auc"].tolist() == [0.625]
        assert sorted(path.name for path in Path("csv").iterdir()) == ["README.md", "here.csv"]
        assert "| [here.csv](here.csv) | `morelli table runs/here --format csv` |" in Path("csv/README.md").read_text()
        said = capsys.readouterr().out
        assert f"kept: {commands[1]}" in said
        assert "There is no folder runs/elsewhere" in said


TABLES = re.findall(
    r"<!-- morelli table runs/(\S+) --format md (.*?)-->\n(.*?)<!-- end -->",
    "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/results.md")),
    re.DOTALL,
)


@pytest.mark.parametrize(("name", "options", "shown"), TABLES, ids=[one[0] for one in TABLES])
def test_the_csv_of_a_table_agrees_with_it(name: str, options: str, shown: str) -> None:
    path = ROOT / "results" / f"{name}.csv"
    if name in ("seed_mini", "ablation-finetuning"):  # their run folders were of an earlier form
        assert not path.exists()
        return
    rows = pd.read_csv(path)
    table = render(rows, "md", options.replace("--metric", "").split())
    assert [line for line in table.splitlines() if line[:1] == "|"] == [
        line for line in shown.splitlines() if line[:1] == "|"
    ]


def test_the_list_of_results_is_whole() -> None:
    listed = re.findall(r"^\| \[(\S+)\]", (ROOT / "results" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == sorted(path.name for path in (ROOT / "results").glob("*.csv"))
    assert {path.removesuffix(".csv") for path in listed} <= {name for name, *_ in TABLES}
