"""How fast a submission of the competition's size is written and scored, and how much memory that takes.

Run it with:  python benchmarks/pairs.py [--rounds 2] [--folder DIR] [--save]

It makes what the competition has: 23,817 pictures in 13 groups, and all 21,916,047 pairs within the groups. Embeddings
are 512 wide and drawn around a centre for each of 76 artists a group, so that 1 pair in 76 is by one artist. Timed in
turns, each in a process of its own:

- floor: bare pyarrow reads the list (`read_csv` as it comes) and writes the submission, the scores being there already;
- cosine, pair head: `write_submission`, from embeddings in memory to the finished file;
- per line: a loop over the list's first lines that looks up two embeddings and calls the same scorer, extrapolated to
  all lines; and the leanest such loop, with one numpy product of two unit vectors instead;
- reading: bare pyarrow reads what `score_submission` reads;
- score: `score_submission`, of all pairs, and by kind of pair, which reads the list of pairs as well.

Every ratio comes from one run; the quickest of the rounds counts. Peak memory is the largest resident size that the
process ever had, with all libraries loaded. Needs 3 GB of disk.
"""

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from rich.console import Console
from rich.table import Table

from _rates import save_rates

GROUPS = (1988, 2055, 1827, 1962, 1879, 1755, 1908, 1888, 1704, 1775, 1657, 1838, 1581)
PICTURES, PAIRS = 23_817, 21_916_047
WIDTH, HIDDEN = 512, 32
ARTISTS_A_GROUP = 76
LIST, SUBMISSION, SOLUTION, PAINTINGS = "pairs.csv", "submission.csv", "solution.csv", "paintings.parquet"

Side = Callable[[Path], dict[str, float]]


def make_files(folder: Path) -> dict[str, float]:
    """Write embeddings, paintings, the list of pairs, its solution and a submission."""
    random = np.random.default_rng(0)
    starts = np.cumsum([0, *GROUPS])
    group = np.repeat(np.arange(len(GROUPS)), GROUPS)
    artist = group * ARTISTS_A_GROUP + random.integers(0, ARTISTS_A_GROUP, PICTURES)
    embeddings = 3 * random.standard_normal((PICTURES, WIDTH), np.float32)
    embeddings += random.standard_normal((artist.max() + 1, WIDTH), np.float32)[artist]
    np.save(folder / "embeddings.npy", embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    ids = random.permutation(103_250)[:PICTURES].astype(str)
    choose = random.choice
    paintings = {
        "id": ids,
        "artist": artist.astype(str),
        "artist_group": np.where(random.random(artist.max() + 1) < 0.12, "test_only", "train_and_test")[artist],
        "style": choose([f"style {n}" for n in range(30)], PICTURES),
        "genre": choose([f"genre {n}" for n in range(20)], PICTURES),
        "date": choose([str(year) for year in range(1600, 2000)], PICTURES),
        "source": choose(["wikiart", "wikipedia"], PICTURES, p=[0.95, 0.05]),
    }
    pd.DataFrame(paintings).to_parquet(folder / PAINTINGS)

    names = pa.array(ids + ".jpg")
    types = {"index": pa.int64(), "image1": pa.string(), "image2": pa.string()}
    first_index = 0
    with (
        pyarrow.csv.CSVWriter(folder / LIST, pa.schema(types.items())) as pairs,
        pyarrow.csv.CSVWriter(
            folder / SOLUTION, pa.schema({"index": pa.int64(), "sameArtist": pa.int8()}.items())
        ) as truth,
    ):
        for start, size in zip(starts[:-1], GROUPS, strict=True):
            first, second = (start + side for side in np.triu_indices(size, 1))
            index = np.arange(first_index, first_index + len(first))
            first_index += len(first)
            pairs.write(pa.table({"index": index, "image1": names.take(first), "image2": names.take(second)}))
            truth.write(pa.table({"index": index, "sameArtist": (artist[first] == artist[second]).astype(np.int8)}))
    if first_index != PAIRS:
        raise AssertionError(f"{first_index} pairs, not {PAIRS}")
    submit(folder, head=False)
    scores = pyarrow.csv.read_csv(folder / SUBMISSION)["sameArtist"].to_numpy()
    np.save(folder / "scores.npy", scores.astype(np.float32))
    return {}


def floor(folder: Path) -> dict[str, float]:
    """Read the list and write the submission, nothing else."""
    scores = np.load(folder / "scores.npy")
    start = time.perf_counter()
    index = pyarrow.csv.read_csv(folder / LIST)["index"]
    pyarrow.csv.write_csv(pa.table({"index": index, "sameArtist": scores}), folder / "floor.csv")
    return {"seconds": time.perf_counter() - start}


def submit(folder: Path, head: bool) -> dict[str, float]:
    """Write a submission with the library."""
    import torch

    from morelli.competition.submission import write_submission
    from morelli.models.heads import CosineScorer, PairHead

    torch.manual_seed(0)
    embeddings = torch.from_numpy(np.load(folder / "embeddings.npy"))
    ids = pd.read_parquet(folder / PAINTINGS)["id"].tolist()
    scorer = PairHead(WIDTH, HIDDEN) if head else CosineScorer()
    start = time.perf_counter()
    summary = write_submission(embeddings, ids, scorer, folder / LIST, folder / ("head.csv" if head else SUBMISSION))
    seconds = time.perf_counter() - start
    if (summary.pairs, summary.groups) != (PAIRS, len(GROUPS)):
        raise AssertionError(f"unexpected summary: {summary}")
    return {"seconds": seconds}


def per_line(folder: Path) -> dict[str, float]:
    """Write the first lines of a submission, calling the scorer for each."""
    import torch

    from morelli.models.heads import CosineScorer

    score = CosineScorer().pairwise_distance
    with torch.inference_mode():
        return loop(folder, 20_000, torch.from_numpy, lambda first, second: float(score(first[None], second[None])))


def lean_per_line(folder: Path) -> dict[str, float]:
    """Write the first lines of a submission with as little for each as Python can."""
    return loop(folder, 200_000, np.asarray, lambda first, second: float(first @ second))


def loop(
    folder: Path, lines: int, load: Callable[[np.ndarray], Any], score_pair: Callable[[Any, Any], float]
) -> dict[str, float]:
    """Read, score and write line by line; the time is extrapolated to all lines."""
    embeddings = load(np.load(folder / "embeddings.npy"))
    row_of = {picture: row for row, picture in enumerate(pd.read_parquet(folder / PAINTINGS)["id"])}
    start = time.perf_counter()
    with (folder / LIST).open(newline="") as pairs, (folder / "slice.csv").open("w", newline="") as out:
        reader, writer = csv.reader(pairs), csv.writer(out)
        next(reader)
        writer.writerow(["index", "sameArtist"])
        for _, (index, image1, image2) in zip(range(lines), reader, strict=False):
            first = embeddings[row_of[image1.removesuffix(".jpg")]]
            second = embeddings[row_of[image2.removesuffix(".jpg")]]
            writer.writerow([index, score_pair(first, second)])
    return {"seconds": (time.perf_counter() - start) * PAIRS / lines}


def reading(folder: Path, names: tuple[str, ...]) -> dict[str, float]:
    """Read files, one after the other."""
    start = time.perf_counter()
    for name in names:
        pyarrow.csv.read_csv(folder / name)
    return {"seconds": time.perf_counter() - start}


def score(folder: Path, by_kind: bool) -> dict[str, float]:
    """Score the cosine submission with the library."""
    from morelli.competition.scoring import score_submission

    paintings = pd.read_parquet(folder / PAINTINGS) if by_kind else None
    start = time.perf_counter()
    table = score_submission(
        folder / SUBMISSION, folder / SOLUTION, paintings, pairs=folder / LIST if by_kind else None
    )
    seconds = time.perf_counter() - start
    row = table.rows[0]
    return {"seconds": seconds, "auc": row.auc, "bound": row.error_bound, "rows": len(table.rows)}


def exact(folder: Path) -> dict[str, float]:
    """The AUC by scikit-learn, from the same two files."""
    from sklearn.metrics import roc_auc_score

    start = time.perf_counter()
    scores, truth = (pyarrow.csv.read_csv(folder / name)["sameArtist"].to_numpy() for name in (SUBMISSION, SOLUTION))
    return {"auc": roc_auc_score(truth, scores), "seconds": time.perf_counter() - start}


SIDES: dict[str, Side] = {
    "floor": floor,
    "cosine": lambda folder: submit(folder, head=False),
    "pair head": lambda folder: submit(folder, head=True),
    "per line, extrapolated": per_line,
    "lean per line, extrapolated": lean_per_line,
    "reading 2 files": lambda folder: reading(folder, (SUBMISSION, SOLUTION)),
    "score": lambda folder: score(folder, by_kind=False),
    "reading 3 files": lambda folder: reading(folder, (SUBMISSION, SOLUTION, LIST)),
    "score by kind": lambda folder: score(folder, by_kind=True),
}
EXTRA_SIDES: dict[str, Side] = {"make": make_files, "exact": exact}
SHORT = ("floor", "cosine", "reading 2 files", "score")
RATIOS = (
    ("cosine", "floor", "at most 2.5"),
    ("per line, extrapolated", "cosine", "at least 20"),
    ("lean per line, extrapolated", "cosine", "none"),
    ("pair head", "cosine", "at most 6"),
    ("score", "reading 2 files", "under 2"),
    ("score by kind", "reading 3 files", "under 2"),
)


def peak_megabytes() -> float:
    """The largest resident size this process ever had, in MB of 2^20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


def run_apart(side: str, folder: Path) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed with status {done.returncode}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(folder: Path, rounds: int, sides: tuple[str, ...], console: Console) -> dict[str, float]:
    """Run the sides in turns, print the times, the ratios and the errors; → the ratios that matter."""
    run_apart("make", folder)  # in a process of its own too: a child counts its parent's peak memory as its own
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(run_apart(side, folder))
    best = {side: min(runs, key=lambda run: run["seconds"]) for side, runs in found.items()}
    table = Table(title=f"{PAIRS:,} pairs of {PICTURES:,} × {WIDTH} in {len(GROUPS)} groups")
    for column in ("", "seconds", "peak MB"):
        table.add_column(column, justify="left" if not column else "right")
    for side, run in best.items():
        is_whole = "extrapolated" not in side
        table.add_row(side, f"{run['seconds']:.2f}", f"{run['peak']:,.0f}" if is_whole else "")
    console.print(table)
    for above, below, target in RATIOS:
        if not {above, below} <= set(sides):
            continue
        ratio = best[above]["seconds"] / best[below]["seconds"]
        console.print(f"{above} / {below}: {ratio:.2f} (target {target})")
    ours, truth = best["score"], run_apart("exact", folder)
    console.print(
        f"AUC {ours['auc']:.8f}, off scikit-learn's by {abs(ours['auc'] - truth['auc']):.1e}, "
        f"stated bound {ours['bound']:.1e} (target 1e-5)"
    )
    sizes = ", ".join(f"{name} {(folder / name).stat().st_size / 1e6:,.0f} MB" for name in (LIST, SUBMISSION, SOLUTION))
    console.print(f"Files: {sizes}.")
    seconds = {side: run["seconds"] for side, run in best.items()}
    return {
        "submit_ratio": seconds["floor"] / seconds["cosine"],
        "score_ratio": seconds["reading 2 files"] / seconds["score"],
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="Where to make the files, and leave them; else a temporary folder.")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}")
    parser.add_argument("--save", action="store_true", help="write the ratios into rates.json")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        result = (SIDES | EXTRA_SIDES)[arguments.side](arguments.folder)
        print(json.dumps({**result, "peak": peak_megabytes()}))
        return
    console = Console(width=100)
    console.print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        rates = compare(folder, arguments.rounds, SHORT if arguments.short else tuple(SIDES), console)
    if arguments.save:
        save_rates(rates)


if __name__ == "__main__":
    main()
