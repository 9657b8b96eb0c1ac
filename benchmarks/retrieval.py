"""Our retrieval calculator against pytorch-metric-learning's own: equal values, time and peak memory.

Run it with:  python benchmarks/retrieval.py [--paintings 23817] [--rounds 3] [--save]

Embeddings are drawn around a centre for every artist, 512 wide and of length 1. The numbers of paintings per artist
are the competition's own when ../shared/painter-by-numbers-metadata.zip is there (its 23,817 test paintings, or all
103,250), else a long tail of the same total, which the title then says. Each side runs in a process of its own, the two
in turns; the quickest round counts, and memory is the largest resident size of the process less what it had before the
measurement. Every ratio comes from one run.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from _rates import save_rates

METADATA = Path(__file__).parents[2] / "shared" / "painter-by-numbers-metadata.zip"
TEST_PAINTINGS, ALL_PAINTINGS = 23_817, 103_250
WIDTH = 512
METRICS = (
    "precision_at_1",
    "r_precision",
    "mean_average_precision_at_r",
    "mean_average_precision",
    "mean_reciprocal_rank",
)
SIDES = ("morelli", "pml")


def class_sizes(paintings: int) -> tuple[np.ndarray, str]:
    """How many paintings each artist has, and where that comes from."""
    if paintings in (TEST_PAINTINGS, ALL_PAINTINGS) and METADATA.is_file():
        with zipfile.ZipFile(METADATA) as archive, archive.open("all_data_info.csv") as stream:
            table = pd.read_csv(stream, usecols=["artist", "in_train"])
        if paintings == TEST_PAINTINGS:
            table = table[~table["in_train"]]
        return table["artist"].value_counts().to_numpy(), "the competition's class sizes"
    tail = 1 / np.arange(1, max(2, paintings // 19)) ** 0.6
    sizes = np.maximum(1, np.floor(tail / tail.sum() * paintings)).astype(int)
    sizes[0] += max(0, paintings - sizes.sum())
    return sizes, "a synthetic long tail of class sizes"


def write_embeddings(folder: Path, sizes: np.ndarray) -> None:
    """Draw the paintings' embeddings, in an order that does not follow the artists."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = random.standard_normal((len(sizes), WIDTH), np.float32)
    embeddings = random.standard_normal((len(labels), WIDTH), np.float32)
    embeddings *= 3
    embeddings += centres[labels]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.save(folder / "embeddings.npy", embeddings)
    np.save(folder / "labels.npy", labels)


def measure(side: str, folder: Path) -> None:
    """Run one side in this process and print what it took."""
    import torch

    if side == "morelli":
        from morelli.evaluation.calculator import PaintingAccuracyCalculator

        calculator = PaintingAccuracyCalculator(include=METRICS, k="max_bin_count")
    else:
        from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

        calculator = AccuracyCalculator(include=METRICS, k="max_bin_count", device=torch.device("cpu"))
    embeddings, labels = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("embeddings", "labels"))
    calculator.get_accuracy(embeddings[:500], torch.arange(500) % 50)  # loads what is loaded on first use
    before, start = peak_megabytes(), time.perf_counter()
    values = calculator.get_accuracy(embeddings, labels)
    seconds = time.perf_counter() - start
    print(
        json.dumps({"values": values, "seconds": seconds, "extra": peak_megabytes() - before, "all": peak_megabytes()})
    )


def peak_megabytes() -> float:
    """The largest resident size this process ever had, in MB of 2^20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


def compare(paintings: int, rounds: int, sides: tuple[str, ...], console: Console) -> dict[str, float]:
    """Run all sides in turns, print the table and the ratios; → what is kept of them."""
    sizes, origin = class_sizes(paintings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_embeddings(folder, sizes)
        results: dict[str, list[dict]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                command = [sys.executable, __file__, "--side", side, "--folder", name]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(f"{side} failed with status {done.returncode}:\n{done.stderr}")
                results[side].append(json.loads(done.stdout.splitlines()[-1]))
    best = {side: min(found, key=lambda one: one["seconds"]) for side, found in results.items()}
    table = Table(
        title=f"{sizes.sum():,} × {WIDTH}, {len(sizes):,} artists of {sizes.min()} to {sizes.max()} ({origin})"
    )
    for column in ("", "seconds", "extra MB", "whole process MB"):
        table.add_column(column, justify="left" if not column else "right")
    for side, found in best.items():
        table.add_row(side, f"{found['seconds']:.2f}", f"{found['extra']:,.0f}", f"{found['all']:,.0f}")
    console.print(table)
    if len(best) == 2:
        ours, theirs = (best[side] for side in SIDES)
        apart = max(abs(ours["values"][metric] - theirs["values"][metric]) for metric in METRICS)
        console.print(
            f"time ×{ours['seconds'] / theirs['seconds']:.2f}, extra memory ×{ours['extra'] / theirs['extra']:.3f}, "
            f"largest difference of a value {apart:.1e}"
        )
    console.print("  ".join(f"{metric} {value:.6f}" for metric, value in best[sides[0]]["values"].items()))
    rates = {f"retrieval_{paintings}_{side}_seconds": one["seconds"] for side, one in best.items()}
    if len(best) == 2:
        rates[f"retrieval_{paintings}_ratio"] = theirs["seconds"] / ours["seconds"]
    return rates


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paintings", type=int, nargs="*", default=[TEST_PAINTINGS, ALL_PAINTINGS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=SIDES, help="run one side alone")
    parser.add_argument("--save", action="store_true", help="write the figures into rates.json")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side, arguments.folder)
        return
    console = Console(width=100)
    console.print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    for paintings in arguments.paintings:
        rates = compare(paintings, arguments.rounds, (arguments.only,) if arguments.only else SIDES, console)
        if arguments.save:
            save_rates(rates)


if __name__ == "__main__":
    main()
