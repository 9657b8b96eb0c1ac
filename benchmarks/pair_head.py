"""How long all measures of a pair head take, against one pass of its matrix products over all pairs.

Run it with:  python benchmarks/pair_head.py [--heads pair concat] [--width 2024] [--paintings 1762] [--save]

The sizes are those of `configs/ablation/losses.yaml` on painters-mini: 1,762 paintings by 75 unseen artists, 407 by 22
validation artists, 386 by 193 seen ones, a cohort of 1,000; embeddings are random around a centre for each artist.

- floor: the products of the head's weights with rows in memory, once for each of the 1.55 million unseen pairs (for
  `concat`, which is not symmetric by itself, in both orders); measured on a part and multiplied up;
- measures: what a run of the bench does once the embeddings are there: identification, threshold and calibration from
  the validation artists, then every measure of all three subsets with intervals, histograms and tables of artists, and
  on unseen artists also with both score normalisations.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from _rates import machine, save_rates
from morelli.evaluation.calibration import calibrate
from morelli.evaluation.evaluate import evaluate, score_pairs
from morelli.evaluation.identification import learn_identification
from morelli.evaluation.normalisation import METHODS, CohortScorer
from morelli.evaluation.pair_subsets import PairSubset
from morelli.evaluation.verification import best_threshold
from morelli.models.heads import ConcatHead, PairHead, Scorer

HEADS: dict[str, tuple[type[Scorer], int]] = {"pair": (PairHead, 1), "concat": (ConcatHead, 2)}  # with orders to score
SUBSETS = {"validation": (407, 22), "seen": (386, 193)}
ARTISTS, COHORT, PAIRS_AT_ONCE, OF_FLOOR = 75, 1000, 4096, 20


def painted(paintings: int, artists: int, width: int, name: str) -> tuple[Tensor, pd.DataFrame]:
    """Embeddings of length 1, and the paintings' table."""
    random = np.random.default_rng(len(name))
    hands = np.sort(
        np.concatenate([np.repeat(np.arange(artists), 2), random.integers(0, artists, paintings)])[:paintings]
    )
    rows = random.standard_normal((artists, width), np.float32)[hands]
    rows += 2 * random.standard_normal((paintings, width), np.float32)
    about = {"style": hands % 7, "genre": random.integers(0, 5, paintings), "date": 1600 + 5 * (hands % 60)}
    table = pd.DataFrame({key: values.astype(str) for key, values in about.items()})
    table["id"], table["artist"] = [f"{name}{row}" for row in range(paintings)], [f"{name} {hand}" for hand in hands]
    return nn.functional.normalize(torch.from_numpy(rows), dim=1), table


@torch.inference_mode()
def floor(head: Scorer, orders: int, pairs: int) -> float:
    """Seconds of the products alone."""
    layers = [layer.weight for layer in head.modules() if isinstance(layer, nn.Linear)]
    if isinstance(head, ConcatHead):
        layers = layers[2:]  # the first two are of single paintings
    rows = [torch.rand(PAIRS_AT_ONCE, weight.shape[1]) for weight in layers]
    turns = max(1, orders * pairs // PAIRS_AT_ONCE // OF_FLOOR)
    start = time.perf_counter()
    for _ in range(turns):
        for row, weight in zip(rows, layers, strict=True):
            row @ weight.T
    return (time.perf_counter() - start) * orders * pairs / turns / PAIRS_AT_ONCE


def measures(head: Scorer, width: int, paintings: int) -> float:
    """Seconds of all that a run measures."""
    subsets = {name: painted(*size, width, name) for name, size in SUBSETS.items()}
    unseen, cohort = painted(paintings, ARTISTS, width, "unseen"), painted(COHORT, 200, width, "cohort")
    artists = cohort[1]["artist"].tolist()
    start = time.perf_counter()
    embeddings, table = subsets["validation"]
    learn_identification(embeddings, table["artist"].tolist(), head)
    scored = score_pairs(embeddings, table)
    positives, negatives = scored.by(head).of(PairSubset())
    threshold, calibration = best_threshold(positives, negatives), calibrate(positives, negatives, table["artist"])
    evaluate(embeddings, table, head, threshold=threshold, scored=scored)
    evaluate(*subsets["seen"], head, threshold=threshold, calibration=calibration)
    normalised = {method: CohortScorer(head, cohort[0], artists, method=method) for method in METHODS}
    evaluate(*unseen, head, threshold=threshold, calibration=calibration, normalised=normalised)
    return time.perf_counter() - start


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", nargs="*", choices=HEADS, default=["pair"])
    parser.add_argument("--width", type=int, default=2024)
    parser.add_argument("--paintings", type=int, default=1762)
    parser.add_argument("--rounds", type=int, default=2, help="the quickest counts")
    parser.add_argument("--save", action="store_true", help="write what was measured into rates.json")
    options = parser.parse_args()
    pairs = options.paintings * (options.paintings - 1) // 2
    table = Table(title=f"{options.paintings} paintings, {pairs:,} pairs, {options.width} features")
    for column in ("head", "floor, s", "all measures, s", "ratio"):
        table.add_column(column, justify="right")
    rates = {}
    for name in options.heads:
        made, orders = HEADS[name]
        torch.manual_seed(0)
        head = made(options.width).eval()
        turns = [
            (floor(head, orders, pairs), measures(head, options.width, options.paintings))
            for _ in range(options.rounds)
        ]
        bare, whole = map(min, zip(*turns, strict=True))
        table.add_row(name, f"{bare:.2f}", f"{whole:.2f}", f"{whole / bare:.2f}")
        rates |= {f"{name}_head_floor_seconds": bare, f"{name}_head_seconds": whole, f"{name}_head_ratio": bare / whole}
    Console(width=100).print(machine(), table)
    if options.save:
        save_rates(rates, paintings=options.paintings, width=options.width)


if __name__ == "__main__":
    main()
