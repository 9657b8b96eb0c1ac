"""Have the ratios that matter become worse? Short runs of the benchmarks against the ratios in reference.json.

Run it with:  python benchmarks/check.py [--only retrieval] [--update]

Every ratio compares two ways that took turns in one run, and higher is better; seconds are never compared. A ratio may
fall short of its reference by the share `tolerance`, which allows for a shared machine. Exits 1 if one falls shorter.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
REFERENCE = FOLDER / "reference.json"


def measured(command: list[str]) -> dict[str, float]:
    """Run one benchmark with --save; → the ratios that it wrote."""
    with tempfile.TemporaryDirectory() as name:
        rates = Path(name) / "rates.json"
        script = [sys.executable, str(FOLDER / command[0]), *command[1:], "--save"]
        subprocess.run(script, check=True, stdout=sys.stderr, env=os.environ | {"MORELLI_RATES": str(rates)})
        found: dict[str, Any] = json.loads(rates.read_text(encoding="utf-8"))
    return {key: one["value"] for key, one in found.items() if key.endswith("_ratio")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    references = json.loads(REFERENCE.read_text(encoding="utf-8"))
    parser.add_argument("--only", nargs="*", choices=references, default=list(references))
    parser.add_argument("--update", action="store_true", help="keep what is measured as the new references")
    options = parser.parse_args()
    table = Table()
    for column in ("ratio", "now", "reference", "at least", ""):
        table.add_column(column, justify="left" if column in ("ratio", "") else "right")
    worse = []
    for name in options.only:
        one = references[name]
        now = measured(one["command"].split())
        for key, reference in one["ratios"].items():
            limit = reference * (1 - one["tolerance"])
            if now[key] < limit:
                worse.append(key)
            verdict = "WORSE" if now[key] < limit else "ok"
            table.add_row(key, f"{now[key]:.3g}", f"{reference:.3g}", f"{limit:.3g}", verdict)
        if options.update:
            one["ratios"] = now
    Console(width=110).print(table)
    if options.update:
        REFERENCE.write_text(json.dumps(references, indent=1) + "\n", encoding="utf-8")
    elif worse:
        sys.exit(f"Worse than the reference by more than the tolerance: {', '.join(worse)}.")


if __name__ == "__main__":
    main()
