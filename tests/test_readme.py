"""The README and the pages are true: their Python runs, their commands print what stands there, their links lead on."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from morelli.bench.compare_runs import compare_runs
from morelli.bench.recipe import Recipe
from morelli.synthetic.painters import SyntheticPainters

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with a virtual environment: that of the tests; and somebody's paintings."""
    (tmp_path / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    hands = SyntheticPainters(artists=30, paintings_per_artist=4, size=64)
    for artist in range(30):
        for painting in range(4):
            path = tmp_path / "my-paintings" / f"Painter {chr(65 + artist % 26)}{artist}" / f"{painting}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            hands.paint(artist, painting).save(path)
    return tmp_path


def run(script: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    env = {"PATH": path, "HOME": str(folder), "COLUMNS": "100", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_short() -> None:
    assert README.count("\n") <= 180


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run_as_scripts(code: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "block.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout.split()[0]) < 1


def test_the_first_answer_is_the_one_that_is_printed() -> None:
    """Every word, and every number within one of its last place: processors differ by less."""
    command, *expected = blocks("text")[0].strip().splitlines()
    assert command.startswith("$ morelli compare examples/pictures/")
    printed = run(command.removeprefix("$ "), ROOT).strip().splitlines()
    assert [NUMBER.sub("#", line) for line in printed] == [NUMBER.sub("#", line) for line in expected]
    for now, then in zip(printed, expected, strict=True):
        for found, given in zip(NUMBER.findall(now), NUMBER.findall(then), strict=True):
            last_place = 10.0 ** -len(given.partition(".")[2])
            assert float(found.replace(",", "")) == pytest.approx(float(given.replace(",", "")), abs=1.01 * last_place)


@pytest.mark.slow
def test_bash_blocks_run(folder: Path) -> None:
    for script in blocks("bash"):
        if "pip install" not in script:  # which CI runs
            run(script, folder)
    supcon, frozen = (next((folder / "runs" / "demo").glob(f"*-{name}-*")) for name in ("supcon", "frozen"))
    assert compare_runs(supcon, frozen, ["pair_auc"])["low"].item() > 0
    assert (folder / "prepared" / "mine" / "paintings.parquet").is_file()
    shutil.rmtree(folder / "runs")


@pytest.mark.parametrize("text", [block for page in PAGES for block in blocks("yaml", page.read_text("utf-8"))])
def test_yaml_blocks_are_recipes(text: str) -> None:
    assert Recipe.model_validate(yaml.safe_load(text)).objectives


def test_ci_takes_its_test_command_from_the_readme() -> None:
    command = README.split("<!-- test command -->")[1].split("```bash\n")[1].split("\n```")[0]
    assert command.endswith("-m pytest -n 2")
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index
