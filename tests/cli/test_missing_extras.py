"""A command whose extra is not installed says in one sentence what to install, and ends with status 2."""

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = [("app", "nicegui", ["app"]), ("ray", "ray", ["index", "{folder}", "--ray", "local"])]


@pytest.mark.parametrize(("extra", "package", "command"), EXTRAS, ids=[extra for extra, *_ in EXTRAS])
def test_a_missing_extra_is_named(extra: str, package: str, command: list[str], tmp_path: Path) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from morelli.cli import main; main()"
    arguments = [part.format(folder=tmp_path) for part in command]

    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )

    assert ended.returncode == 2, ended.stderr
    assert f"pip install 'morelli[{extra}]'" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
