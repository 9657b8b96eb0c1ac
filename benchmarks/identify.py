"""Identification among artists that the network has never seen: 40 enrolled with 5 paintings each, 20 never enrolled.

Run it with:  python benchmarks/identify.py --data prepared/painters-mini [--model RUN] [--enrolled 40] [--paintings 5]

Nothing is chosen on these artists: the rule and its threshold were learned on validation artists when the network was
trained, and are read from its model; by its own scores, and by those that all these pictures normalise (own cohort).
Each draw enrols other artists and other paintings; all other paintings of all unseen artists are then identified. The
lowest and highest draw show how much hangs on who is enrolled.
"""

import argparse

import numpy as np
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from _unseen import from_command_line
from morelli.data.artists import artist_keys
from morelli.evaluation.identification import NONE, Identification, simulate
from morelli.evaluation.normalisation import FolderScorer
from morelli.models.network import embed_with

MEASURES = ("accuracy when answering", "share answered", "false acceptance", "right artist first, answering or not")


def main() -> None:
    """Read the command line, measure, print the tables."""
    network, dataset, arguments = from_command_line(__doc__, enrolled=40, paintings=5, draws=20)
    embeddings = embed_with(network, dataset, Accelerator().device)
    codes = np.unique(artist_keys(dataset.paintings["artist"]), return_inverse=True)[1]
    able = np.flatnonzero(np.bincount(codes) > arguments.paintings)
    ways = [("own scores", network.scorer, network.card.identification)]
    if "own" in network.card.with_cohort:
        own = FolderScorer(network.scorer, embeddings), network.card.with_cohort["own"]["identification"]
        ways.append(("own cohort", *own))
    for way, scorer, kept in ways:
        rules = Identification.from_dict(kept)
        trials = simulate(
            embeddings, codes, scorer, able, arguments.paintings, arguments.enrolled, draws=arguments.draws
        )
        print_table(trials, rules, arguments, len(able), f"{network.card.objective}, {way}")


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
