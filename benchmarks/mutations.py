"""Mutated files: how many of each format are refused, read as they were, or raise something else.

python benchmarks/mutations.py --count 3000 --seed 0

The formats and the mutations are those of ``tests/file_formats.py``; formats that take long get fewer. The exit code is
1 if any file raised anything but a ``MorelliError`` that names it (warnings count), took over ten seconds, or was read
otherwise although it has a checksum.
"""

import argparse
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from file_formats import FORMATS, make_files, outcomes

HANGS = 10


def hangs(*_: object) -> NoReturn:
    sys.exit(f"no answer in {HANGS} s")  # no reader may take it for an error of its own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3_000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(FORMATS), metavar="FORMAT", help="by default all")
    options = parser.parse_args()
    total = wrong = 0
    signal.signal(signal.SIGALRM, hangs)
    with tempfile.TemporaryDirectory() as place:
        make_files(Path(place))
        warnings.simplefilter("error")
        print("| format | files | refused | read | wrong | s |\n|---|---:|---:|---:|---:|---:|")
        for name in options.only:
            started = time.perf_counter()
            counts = outcomes(name, Path(place), options.count, options.seed, before_each=lambda: signal.alarm(HANGS))
            signal.alarm(0)
            others = {what: count for what, count in counts.items() if what not in ("refused", "read")}
            total, wrong = total + counts.total(), wrong + sum(others.values())
            figures = [counts.total(), counts["refused"], counts["read"], sum(others.values())]
            seconds = time.perf_counter() - started
            print(f"| {name} | {' | '.join(f'{one:,}' for one in figures)} | {seconds:.0f} |", flush=True)
            for what, count in others.items():
                print(f"{name}: {count} {what}", file=sys.stderr, flush=True)
    print(f"| all | {total:,} | | | {wrong:,} | |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
