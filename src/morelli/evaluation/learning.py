"""What a network learns on validation artists: threshold, calibration, rules of identification, ratios of sets.

Each is learned for the network's own scores, and again for scores that are normalised by a cohort. Pairs across sources
are told apart by their pictures' makers, so all of it is learned from pairs within one source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli.data.artists import artist_key, artist_keys, rows_by_source
from morelli.evaluation.calibration import FEWEST_PAIRS, ArtistTallies, Calibration, Method, calibrate
from morelli.evaluation.evaluate import score_pairs, too_few
from morelli.evaluation.identification import Identification, learn_identification
from morelli.evaluation.likelihood_ratios import tippett
from morelli.evaluation.normalisation import SMALLEST_FOLDER, FolderScorer, cohort_scorers
from morelli.evaluation.pair_subsets import PairSubset
from morelli.evaluation.pairs import ScoredPairs
from morelli.evaluation.sets import SizedCalibrations, learn_sets
from morelli.evaluation.verification import best_threshold
from morelli.models.heads import CosineScorer, DistanceScorer, EmbeddingHead, Scorer
from morelli.models.network import Network, NetworkCard

Cohort = Literal["none", "own", "training"]
COHORTS: Final[tuple[Cohort, ...]] = ("own", "training")
"""What scores are normalised by: all pictures of the folder that they are of, or the training paintings."""


_USUAL: Final = 0.99


class TooFewPairsError(ValueError):
    """There are too few validation pairs for a threshold and a calibration."""


@dataclass(frozen=True)
class Learned:
    """What was learned for one way of scoring; ``threshold`` and ``calibration`` in its scores."""

    threshold: float
    calibration: Calibration
    identification: Identification | None
    sets: SizedCalibrations

    def facts(self) -> dict[str, Any]:
        """As a network's card keeps it."""
        return {
            "threshold": self.threshold,
            "calibration": self.calibration.to_dict(),
            "identification": self.identification.to_dict() if self.identification else None,
            "sets": {sizes: one.to_dict() for sizes, one in self.sets.items()},
        }


class Validation:
    """The validation paintings, their pairs within each source scored once.

    Args:
        embeddings: (N, D).
        paintings: N rows with ``artist``, and ``source`` where known.
        scorer: the network's own.
        cohort: (C, D) embeddings of training paintings, if the network has them.

    Errors as of :func:`~morelli.evaluation.evaluate.score_pairs`.
    """

    def __init__(self, embeddings: Tensor, paintings: pd.DataFrame, scorer: Scorer, cohort: Tensor | None) -> None:
        self.embeddings, self.paintings, self.scorer, self.cohort = embeddings, paintings, scorer, cohort
        self.groups = validation_groups(paintings)
        self.scored = [
            score_pairs(embeddings[rows], paintings.iloc[rows].reset_index(drop=True)) for rows in self.groups
        ]

    @property
    def all_scored(self) -> ScoredPairs | None:
        """The pairs of all paintings, where they are of one source."""
        return self.scored[0] if len(self.groups[0]) == len(self.paintings) else None

    def cohorts(self) -> list[Cohort]:
        """By what the scores can be normalised: a pair head's cannot, which takes too long for each score."""
        if not self._is_quick:
            return []
        has_training = self.cohort is not None and len(self.cohort) >= SMALLEST_FOLDER
        has_own = min(map(len, self.groups)) >= SMALLEST_FOLDER
        return [name for name, there in zip(COHORTS, (has_own, has_training), strict=True) if there]

    def identification(self, cohort: Cohort = "none") -> Identification | None:
        """The rules of identification; None where there are too few artists, and for training paintings as a cohort."""
        if cohort == "training":
            return None
        keys = artist_keys(self.paintings["artist"]).tolist()
        return learn_identification(self.embeddings, keys, self._scorers(cohort), self.groups)

    def learn(self, method: Method, cohort: Cohort = "none") -> Learned:
        """Learn all that a card keeps.

        Raises:
            TooFewPairsError: there are fewer than ten pairs of either kind; the message counts them.
        """
        scorers = self._scorers(cohort)
        pairs = [one.by(scorer) for one, scorer in zip(self.scored, scorers, strict=True)]
        sides = zip(*(one.of(PairSubset()) for one in pairs), strict=True)
        positives, negatives = (np.concatenate(side) for side in sides)
        if min(len(positives), len(negatives)) < FEWEST_PAIRS:
            raise TooFewPairsError(f"{len(positives)} pairs by one validation artist and {len(negatives)} by two")
        ends = [[side.min(), side.max()] for side in (positives, negatives)]
        tallies = ArtistTallies(float(np.min(ends)), float(np.max(ends)))
        for one in pairs:
            for block in one.by_artist():
                tallies.add(artist_key(one.paintings.names[block.artist]), block.positives, block.others)
        artists = self.paintings["artist"].unique()
        calibration = calibrate(positives, negatives, artists, method=method, tallies=tallies)
        threshold, rules = best_threshold(positives, negatives), self.identification(cohort)
        return Learned(threshold, calibration, rules, self._sets(method, cohort))

    def _sets(self, method: Method, cohort: Cohort) -> SizedCalibrations:
        """What sets of paintings are worth; a pair head takes too long for them."""
        if not self._is_quick or cohort == "training":
            return {}
        keys, scorers = artist_keys(self.paintings["artist"]).to_numpy(), self._scorers(cohort)
        groups = zip(self.groups, scorers, strict=True)
        return learn_sets([(self.embeddings[rows], keys[rows], scorer) for rows, scorer in groups], method)

    @property
    def _is_quick(self) -> bool:
        """A pair head takes up to half a millisecond for a score."""
        return isinstance(self.scorer, CosineScorer | DistanceScorer)

    def facts(self, method: Method) -> dict[str, Any]:
        """All that a card keeps, of every way of scoring. Errors as of :meth:`learn`."""
        with_cohort = {cohort: self.learn(method, cohort).facts() for cohort in self.cohorts()}
        return self.learn(method).facts() | {"with_cohort": with_cohort}

    def _scorers(self, cohort: Cohort) -> Sequence[Scorer]:
        """Each group's scorer."""
        if cohort == "own":
            return [FolderScorer(self.scorer, self.embeddings[rows]) for rows in self.groups]
        if cohort == "training":
            assert self.cohort is not None
            return [FolderScorer(self.scorer, self.cohort)] * len(self.groups)
        return [self.scorer] * len(self.groups)


def validation_groups(paintings: pd.DataFrame) -> list[np.ndarray]:
    """The places of the rows whose pairs are learned from: each source's.

    Sources without pairs of both kinds are passed over; where none has them, all rows count as of one.
    """
    sources = [rows for rows in rows_by_source(paintings) if too_few("validation", paintings.iloc[rows]) is None]
    return sources or [np.arange(len(paintings))]


def calibration_of(card: NetworkCard, cohort: Cohort = "none") -> Calibration | None:
    """The calibration that a network's card keeps for one way of scoring."""
    with_cohort = card.with_cohort.get(cohort)
    kept = card.calibration if cohort == "none" else with_cohort and with_cohort["calibration"]
    return Calibration.from_dict(kept) if kept else None


def tippett_of(histogram: pd.DataFrame, calibration: Calibration) -> dict[str, list[float]]:
    """The Tippett plot of measured pairs, 81 points, as a card keeps it: of each log10 ratio, what shares lie above."""
    ratios = calibration.log_likelihood_ratio(histogram["score"].to_numpy()) / np.log(10)
    grid = np.linspace(min(ratios.min(), -0.5), max(ratios.max(), 0.5), 81)
    curves = {side: tippett(ratios, histogram[side].to_numpy(float), grid) for side in ("same", "different")}
    return {name: values.round(5).tolist() for name, values in {"log10_lr": grid, **curves}.items()}


def unexplained_limit(head: Any, features: Tensor) -> float | None:
    """What share of its features, (N, F) or (N, V, F), a validation painting in a hundred leaves unexplained."""
    if not isinstance(head, EmbeddingHead) or not len(features):
        return None
    with torch.inference_mode():
        shares = head.unexplained(features.to(head.centre))
    return None if shares is None else float(np.quantile(shares.double().cpu().numpy(), _USUAL))


def sets_of(card: NetworkCard, cohort: Cohort = "none") -> SizedCalibrations:
    """The calibrations of sets that a network's card keeps for one way of scoring; none in an earlier version's."""
    with_cohort = card.with_cohort.get(cohort)
    kept = card.sets if cohort == "none" else with_cohort.get("sets", {}) if with_cohort else {}
    return {sizes: Calibration.from_dict(one) for sizes, one in kept.items()}


def in_other_ways(network: Network, folder: Tensor, *, calibrated: bool = True) -> dict[str, Any]:
    """What :func:`~morelli.evaluation.evaluate.evaluate` measures beside a network's own scores.

    Args:
        folder: (C, D) embeddings of all pictures of the folder that is measured.
        calibrated: with what was learned on validation artists, who are not measured.
    """
    calibrations = {}
    for cohort in COHORTS if calibrated else ():
        if learned := calibration_of(network.card, cohort):
            balanced = {"balanced": network.card.with_cohort[cohort]["threshold"]}
            calibrations[f"{cohort}_cohort"] = replace(learned, thresholds=balanced | learned.thresholds)
    return {"normalised": cohort_scorers(network, folder), "calibrations": calibrations}
