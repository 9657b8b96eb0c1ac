"""Sets of paintings: one hand or two for two sets, calibrated for how many paintings each has.

A set stands as an artist does in identification: by the mean of its paintings' embeddings. A mean of more paintings
strays less, so ratios are learned for each pair of sizes in turn, on sets drawn from the validation artists' paintings.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
import torch
from torch import Tensor

from morelli.evaluation.calibration import ArtistTallies, Calibration, Method, calibrate
from morelli.evaluation.identification import artist_embedding
from morelli.evaluation.intervals import FEWEST_ARTISTS
from morelli.evaluation.verification import best_threshold
from morelli.models.heads import Scorer

Array = np.ndarray
SIZES: Final = (1, 2, 3, 5, 10)
"""Paintings of a set that ratios are learned for; of a set in between, the next smaller size's count."""
DRAWS: Final = 10
SizedCalibrations = dict[str, Calibration]
"""By the sizes of the smaller and the larger set, as ``3-5``; each with a threshold called ``balanced``."""


def learn_sets(
    groups: Sequence[tuple[Tensor, Sequence[str], Scorer]], method: Method, draws: int = DRAWS
) -> SizedCalibrations:
    """Learn a calibration for each pair of sizes, two single paintings apart. The same input gives the same ones.

    Args:
        groups: of each source: (N, D) embeddings, their artists, and the scorer.
        method: as in :func:`~morelli.evaluation.calibration.fit_calibration`.
        draws: how often sets are drawn.

    Returns:
        Those that five artists or more have paintings enough for.
    """
    learned = {}
    for smaller, larger in [pair for pair in combinations_with_replacement(SIZES, 2) if pair != (1, 1)]:
        drawn = [simulate(*group, smaller, larger, draws) for group in groups]
        blocks = [(names, scores) for one in drawn for names, scores in one]
        names = {name for of_block, _ in blocks for name in of_block}
        if len(names) >= FEWEST_ARTISTS:
            learned[f"{smaller}-{larger}"] = _calibrate(blocks, sorted(names), method)
    return learned


@torch.no_grad()
def simulate(
    embeddings: Tensor, artists: Sequence[str], scorer: Scorer, smaller: int, larger: int, draws: int = DRAWS
) -> Iterator[tuple[list[str], Array]]:
    """Draw two sets of each artist's paintings that share none, again and again.

    Args:
        embeddings, artists: (N, D), and whose.
        scorer: the way of scoring.
        smaller, larger: paintings of the first set and of the second.
        draws: how often.

    Yields:
        The A artists who have paintings enough, two at least, and the scores (A, A) of all first sets with all second.
    """
    names, codes = np.unique(np.asarray(artists), return_inverse=True)
    fit = np.flatnonzero(np.bincount(codes, minlength=len(names)) >= smaller + larger)
    random, places = np.random.default_rng(0), [np.flatnonzero(codes == code) for code in fit]
    for _ in range(draws if len(fit) > 1 else 0):
        rows = np.stack([random.permutation(own)[: smaller + larger] for own in places])
        sets = [embeddings[torch.from_numpy(part)] for part in (rows[:, :smaller], rows[:, smaller:])]
        scores = scorer.matrix(*(artist_embedding(one, scorer) for one in sets))
        yield names[fit].tolist(), scores.double().numpy()


def sizes_of(learned: SizedCalibrations, first: int, second: int) -> tuple[int, int] | None:
    """The sizes whose calibration counts for two sets, the first's and the second's; None where none was learned."""
    fitting = [
        (a, b)
        for a, b in ((int(a), int(b)) for key in learned for a, b in [key.split("-")])
        if a <= min(first, second) and b <= max(first, second)
    ]
    if not fitting:
        return None
    smaller, larger = max(fitting, key=lambda sizes: (sum(sizes), sizes))
    return (smaller, larger) if first <= second else (larger, smaller)


def _calibrate(blocks: Sequence[tuple[list[str], Array]], names: Sequence[str], method: Method) -> Calibration:
    own = [np.eye(len(scores), dtype=bool) for _, scores in blocks]
    positives, negatives = (
        np.concatenate([scores[is_own == same] for (_, scores), is_own in zip(blocks, own, strict=True)])
        for same in (True, False)
    )
    ends = np.concatenate([positives, negatives])
    tallies = ArtistTallies(float(ends.min()), float(ends.max()), bins=64)
    for of_block, scores in blocks:
        for place, name in enumerate(of_block):
            others = np.delete(scores[place], place), np.delete(scores[:, place], place)
            tallies.add(name, scores[place, place], np.concatenate(others))
    found = calibrate(positives, negatives, names, method=method, rates=(), tallies=tallies)
    found.thresholds["balanced"] = best_threshold(positives, negatives)
    return found
