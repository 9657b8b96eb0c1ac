"""What an index costs beyond the bare backbone, and how long a search takes.

Run it with:  python benchmarks/gallery.py index MODEL FOLDER [--rounds 3]
         or:  python benchmarks/gallery.py growth [--pictures 100000] [--width 512]
         or:  python benchmarks/gallery.py search [--pictures 100000] [--widths 512 1536] [--queries 50] [--save]

index: the whole of Painters.index on a fresh index, against the network's bare time on the same batches, which are in
memory already; in turns, the quickest round of each counts. growth: pictures of 32 px read from disk, with embeddings
drawn at random in place of a network; the processor's time for each tenth, and for what comes after the last. search:
unit embeddings drawn at random, one query at a time after loading, the copies among all looks included.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from _rates import save_rates
from morelli import Painters
from morelli.data.hashes import DHashes
from morelli.gallery.index import index_folder
from morelli.gallery.pictures import open_picture, read_file
from morelli.gallery.reader import ReadBatch, Reader
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


def growth(pictures: int, width: int) -> None:
    """Time each tenth of an index of many pictures, whose network costs nothing, in seconds of the processor."""
    ended = [0.0]

    class Cheap:
        fingerprint = "none"

        def read(self, root: Path, files: list[str], _: str) -> Iterator[ReadBatch]:
            ended[0] = time.process_time()
            for start in range(0, len(files), 8):
                read = [read_file(root / file, file, 32).info for file in files[start : start + 8]]
                yield ReadBatch(read, torch.randn(len(read), width), [])
                if (start + 8) * 10 // len(files) > len(ended) - 1:  # after what the index did with it
                    ended.append(time.process_time())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (pictures, 32, 32, 3), np.uint8)):
            (folder / f"{number // 1000:03d}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number // 1000:03d}" / f"{number:06d}.jpg")
        index_folder(cast(Reader, Cheap()), "nowhere", folder)
        after = time.process_time() - ended[-1]
    tenths = np.diff(ended)
    each = ", ".join(f"{one:.1f}" for one in tenths)
    print(
        f"{pictures:,} pictures of 32 px, {width} numbers each: tenths of {each} s, the last against the first "
        f"{tenths[-1] / tenths[0]:.2f}; then {after:.1f} s for copies and one table"
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
    growing = parts.add_parser("growth")
    growing.add_argument("--pictures", type=int, default=100_000)
    growing.add_argument("--width", type=int, default=512)
    searching = parts.add_parser("search")
    searching.add_argument("--pictures", type=int, default=100_000)
    searching.add_argument("--widths", type=int, nargs="*", default=[512, 1536])
    searching.add_argument("--queries", type=int, default=50)
    searching.add_argument("--save", action="store_true", help="write the figures into rates.json")
    arguments = parser.parse_args()
    if arguments.part == "index":
        index(arguments.model, arguments.folder, arguments.rounds)
    elif arguments.part == "growth":
        growth(arguments.pictures, arguments.width)
    else:
        rates = search(arguments.pictures, arguments.widths, arguments.queries)
        if arguments.save:
            save_rates(rates)


if __name__ == "__main__":
    main()
