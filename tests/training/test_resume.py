"""A training that is killed at any moment and gone on with ends with the same weights, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("killed_training.py")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("killed"))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=540, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX")
def test_killed_at_any_moment_it_goes_on_to_the_same_weights(outcome: dict[str, Any]) -> None:
    assert len(outcome) == 13
    for name, what in outcome.items():
        assert what["statuses"] == [-signal.SIGKILL, 0], name
        whole, resumed = what["digests"]
        assert whole, name
        assert resumed == whole, name
        assert what["left over"] == [], name
