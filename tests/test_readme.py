"""The README is true: its Python runs, its YAML is a recipe, its test command is the one that CI calls."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from morelli.bench.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run_as_scripts(code: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "block.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout.split()[0]) < 1


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_blocks_are_recipes(text: str) -> None:
    assert Recipe.model_validate(yaml.safe_load(text)).objectives


def test_ci_takes_its_test_command_from_the_readme() -> None:
    command = README.split("<!-- test command -->")[1].split("```bash\n")[1].split("\n```")[0]
    assert command.endswith("-m pytest -n 2")
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_linked_files_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
