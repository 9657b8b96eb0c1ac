"""What an index costs beyond the bare backbone, and how long a search takes.

Run it with:  python benchmarks/gallery.py index MODEL FOLDER [--rounds 3]
         or:  python benchmarks/gallery.py search [--pictures 100000] [--widths 512 1536] [--queries 50] [--save]

index: the whole of Painters.index on a fresh index, against the network's bare time on the same batches, which are in
memory already; in turns, the quickest round of each counts. search: unit embeddings drawn at random, one query at a
time after loading, the copies among all looks included.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from _rates import save_rates
from morelli import Painters
from morelli.data.hashes import DHashes
from morelli.gallery.pictures import open_picture
from morelli.gallery.search import Nearest
from morelli.models.embedder import in_batches


def index(model: Path, folder: Path, rounds: int) -> None:
    """Index a folder and pass the same pictures through the bare network, in turns."""
    painters = Painters.load(model)
    reader = painters._reader
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    embedder, transform = reader._embedder(len(files))
    inputs = [(transform(open_picture(path, reader.size).rgb), 0) for path in files]
    bare, whole = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        list(in_batches(embedder, inputs, reader.device))
        bare.append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as name:
            started = time.perf_counter()
            painters.index(folder, Path(name) / "index")
            whole.append(time.perf_counter() - started)
    print(
        f"{len(files):,} pictures: bare network {min(bare):.1f} s, index {min(whole):.1f} s, "
        f"{min(whole) / min(bare) - 1:+.1%} ({rounds} rounds in turns, the quickest of each)"
    )


def search(pictures: int, widths: list[int], queries: int) -> dict[str, float]:
    """Time single queries among random unit embeddings; → milliseconds of a query for each million pictures."""
    rates = {}
    table = Table(title=f"one query among {pictures:,} pictures, {torch.get_num_threads()} threads")
    for column in ("width", "median ms", "slowest ms", "copies, median ms", "wrong"):
        table.add_column(column, justify="right")
    random = torch.Generator().manual_seed(0)
    looks = DHashes([row.tobytes() for row in np.random.default_rng(0).integers(0, 256, (pictures, 32), np.uint8)])
    for width in widths:
        embeddings = functional.normalize(torch.randn(pictures, width, generator=random), dim=1)
        asked = functional.normalize(torch.randn(queries, width, generator=random), dim=1)
        nearest = Nearest(embeddings, by_distance=False)
        times, copies, wrong = [], [], 0
        for query in asked:
            started = time.perf_counter()
            found = nearest.find(query, 12)
            times.append(1e3 * (time.perf_counter() - started))
            started = time.perf_counter()
            looks.copies_of(bytes(32))
            copies.append(1e3 * (time.perf_counter() - started))
            wrong += set(found.tolist()) != set((embeddings @ query).topk(12).indices.tolist())
        rates[f"search_{width}_milliseconds_a_million"] = float(np.median(times)) * 1e6 / pictures
        table.add_row(str(width), *(f"{v:.1f}" for v in (np.median(times), max(times), np.median(copies))), str(wrong))
    Console(width=100).print(table)
    return rates


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    indexing = parts.add_parser("index")
    indexing.add_argument("model", type=Path)
    indexing.add_argument("folder", type=Path)
    indexing.add_argument("--rounds", type=int, default=3)
    searching = parts.add_parser("search")
    searching.add_argument("--pictures", type=int, default=100_000)
    searching.add_argument("--widths", type=int, nargs="*", default=[512, 1536])
    searching.add_argument("--queries", type=int, default=50)
    searching.add_argument("--save", action="store_true", help="write the figures into rates.json")
    arguments = parser.parse_args()
    if arguments.part == "index":
        index(arguments.model, arguments.folder, arguments.rounds)
    else:
        rates = search(arguments.pictures, arguments.widths, arguments.queries)
        if arguments.save:
            save_rates(rates)


if __name__ == "__main__":
    main()
