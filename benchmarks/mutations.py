"""Mutated files: how many of each format are refused, read as they were, or raise something else.

python benchmarks/mutations.py --count 10000 --seed 0

The formats and the mutations are those of ``tests/test_damaged_files.py``. The exit code is 1 if any file raised
anything but a ``MorelliError`` that names it (warnings count), or was read otherwise although it has a checksum.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import test_damaged_files as formats
from morelli.errors import MorelliError
from morelli.synthetic.painters import SyntheticPainters


def outcome(read: Callable[[], Any], path: Path, whole: Any, *, has_checksum: bool) -> str:
    """What became of one mutated file."""
    try:
        found = read()
    except MorelliError as error:
        return "refused" if path.name in str(error) else "refused without its name"
    except Exception as error:
        return f"raised {type(error).__name__}"
    return "read" if not has_checksum or formats.same(found, whole) else "read otherwise"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        SyntheticPainters(artists=4, paintings_per_artist=3, size=32).write(base / "prepared", workers=1)
        readers: dict[str, tuple[Path, Callable[[], Any], bool]] = {}
        for make in (formats.a_table, formats.some_tensors):
            (base / make.__name__).mkdir()
            read = make(base / make.__name__, base / "prepared")
            (path,) = (base / make.__name__).iterdir()
            readers[path.name] = path, read, True
        for name, (content, reader) in formats.READERS.items():
            path = base / name
            path.write_bytes(content)
            readers[name] = path, lambda path=path, reader=reader: reader(path), False
        for name, (path, read, has_checksum) in readers.items():
            rng, content, whole, counts = np.random.default_rng(options.seed), path.read_bytes(), read(), Counter[str]()
            started = time.perf_counter()
            for _ in range(options.count):
                path.write_bytes(formats.mutated(content, rng))
                counts[outcome(read, path, whole, has_checksum=has_checksum)] += 1
            said = ", ".join(f"{what} {count:,}" for what, count in counts.most_common())
            print(f"{name}: {said} ({time.perf_counter() - started:.0f} s)", flush=True)
            wrong += options.count - counts["refused"] - counts["read"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
