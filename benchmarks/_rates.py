"""What the benchmarks share: the machine in a line, a process for each part, and ``rates.json``, what was measured."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RATES = Path(os.environ.get("MORELLI_RATES") or Path(__file__).with_name("rates.json"))


def machine() -> str:
    """The machine and its load, in a line."""
    import torch

    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    card = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return (
        f"{os.cpu_count()} cores {model} {platform.machine()}{card}, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def peak_megabytes() -> float:
    """The largest resident size of this process and of its largest ended child, in MB of 2^20 bytes."""
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


def in_own_process(script: str, *arguments: str, threads: int | None = None) -> Any:
    """Run a part of a benchmark in a process of its own; → what it printed last, as JSON."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(f"{script} {' '.join(arguments)} failed with status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def save_rates(rates: dict[str, float], **facts: Any) -> None:
    """Write measured figures into ``rates.json``, with when, where and by which command each was measured."""
    known = read_rates()
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    where = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "cores": int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
    }
    origin = {"command": command, **where, **facts}
    known |= {name: {"value": float(f"{value:.4g}"), **origin} for name, value in rates.items()}
    RATES.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def read_rates() -> dict[str, dict[str, Any]]:
    """The figures that were saved: name → value, command, date, machine."""
    return dict(json.loads(RATES.read_text(encoding="utf-8"))) if RATES.is_file() else {}
