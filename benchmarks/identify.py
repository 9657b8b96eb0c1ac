"""Identification among artists that the network has never seen: 40 enrolled with 5 paintings each, 20 never enrolled.

Run it with:  python benchmarks/identify.py RUN --data prepared/painters-mini [--enrolled 40] [--paintings 5]

RUN is a run folder of morelli train or morelli bench; its split names the unseen artists. Nothing is chosen on them:
the rule and its threshold were learned on validation artists when the network was trained, and are read from its model.
Each draw enrols other artists and other paintings; all other paintings of all unseen artists are then identified. The
lowest and highest draw show how much hangs on who is enrolled.
"""

import argparse
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from morelli import Network, PaintersByNumbers
from morelli.data.artists import artist_key
from morelli.data.splits import Split
from morelli.evaluation.identification import NONE, Identification, learn_identification, simulate
from morelli.models.network import embed_with

MEASURES = ("accuracy when answering", "share answered", "false acceptance", "right artist first, answering or not")


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--enrolled", type=int, default=40)
    parser.add_argument("--paintings", type=int, default=5)
    parser.add_argument("--draws", type=int, default=20)
    arguments = parser.parse_args()
    network = Network.load(arguments.run)
    split = Split.load(arguments.run / "split.json")
    everything = PaintersByNumbers(arguments.data, transform=network.backbone.transform())

    def embedded(side: tuple[str, ...]) -> tuple:
        dataset = everything.only(side)
        keys = dataset.paintings["artist"].map(artist_key).to_numpy()
        return embed_with(network, dataset, Accelerator().device), keys

    if network.card.identification:
        rules = Identification.from_dict(network.card.identification)
    else:  # a model of before identification was learned in training
        rules = learn_identification(*embedded(split.validation), network.scorer)
    embeddings, keys = embedded(split.unseen)
    _, codes = np.unique(keys, return_inverse=True)
    able = np.flatnonzero(np.bincount(codes) > arguments.paintings)
    trials = simulate(
        embeddings, codes, network.scorer, able, arguments.paintings, arguments.enrolled, draws=arguments.draws
    )
    print_table(trials, rules, arguments, len(able), network.card.objective)


def print_table(trials: list, rules: Identification, arguments: argparse.Namespace, artists: int, title: str) -> None:
    """Measure every trial and print the means."""
    rule = rules.rule(arguments.paintings)
    spread = []
    for trial in trials:
        best = rules.probabilities(trial.scores, [arguments.paintings] * trial.scores.shape[1])[:, :-1]
        named, right, known = best.max(1) >= rule.threshold, best.argmax(1) == trial.truth, trial.truth != NONE
        these = np.stack([known & named & right, known & named, known & right, known, ~known & named])
        spread.append(measures(np.append(these.sum(1), (~known).sum()).astype(float)[:, None]))
    table = Table(
        title=f"{title}: {arguments.enrolled} of {artists} unseen artists enrolled, {arguments.paintings} paintings "
        f"each; {len(trials)} draws of {len(trials[0].truth)} questions"
    )
    for column in ("", "mean", "lowest draw", "highest draw"):
        table.add_column(column, justify="left" if not column else "right")
    values = np.concatenate(spread, axis=1)
    for name, row in zip(MEASURES, values, strict=True):
        table.add_row(name, *(f"{100 * value:.1f} %" for value in (row.mean(), row.min(), row.max())))
    Console(width=110).print(table)
    rates = rule.rates
    print(
        f"On the validation artists that the threshold was chosen on ({rates.artists} enrolled, {rates.others} not): "
        f"{rates.accuracy:.1%} right when answering, {rates.answered:.1%} answered, {rates.false_acceptance:.1%} "
        f"falsely accepted, {rates.first:.1%} first."
    )
    print(f"Always answering nobody is right for {1 - np.mean(trials[0].truth != NONE):.1%} of the questions.")


def measures(counts: np.ndarray) -> np.ndarray:
    """Counts (right and named, named, right, known; named others, others) by column → :data:`MEASURES` (4, columns)."""
    right_named, named, right, known, accepted, others = counts
    return np.stack([right_named / np.maximum(named, 1), named / known, accepted / others, right / known])


if __name__ == "__main__":
    main()
