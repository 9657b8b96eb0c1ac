"""The command line as a function, in this process: importing what the commands need takes longer than most of them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from morelli.cli import main


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def morelli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run a command as ``main`` does, with variables of the environment by name."""

    def run(*command: str | Path | bytes, **environment: str) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["morelli", *map(os.fsdecode, command)])
            for name, value in environment.items():
                patch.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        return Ended(ended.value.code or 0, *capsys.readouterr())  # type: ignore[arg-type]

    return run
