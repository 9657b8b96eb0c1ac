"""All measures of one set of paintings, with their intervals: what a run writes into its metrics."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from morelli.data.artists import artist_key
from morelli.errors import MorelliError
from morelli.evaluation import verification
from morelli.evaluation._blocks import Positives
from morelli.evaluation._gallery import measure_retrieval
from morelli.evaluation._histogram import ScoreHistogram
from morelli.evaluation._pairs import NormalisedPairs, Paintings, Pairs
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.normalisation import CohortScorer
from morelli.evaluation.pair_metrics import Curve, Measure, Measured, Triplets, gather
from morelli.evaluation.pair_subsets import Question, questions
from morelli.evaluation.resampling import Resamples, artist_weights, interval, undefined_of_few
from morelli.evaluation.threshold_metrics import Accepted, Probabilities
from morelli.evaluation.validate import refuse_collapsed, refuse_overlap, refuse_unusable, refuse_zero
from morelli.models.heads import Scorer


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: measure → value; what the paintings do not define is left out.
        intervals: measure → bounds of its 95 % interval over artists.
        per_artist: one row an artist: ``artist, paintings, pair_auc`` and the retrieval measures.
        resamples: every measure on every resample, to compare two runs; None without resamples.
        reliability: the reliability diagram: ``probability, share, mass`` of each bin; None without a calibration.
        score_histogram: ``score, same, different``: how many pairs of either kind fall into even bins of score.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_artist: pd.DataFrame
    resamples: Resamples | None
    reliability: pd.DataFrame | None
    score_histogram: pd.DataFrame


def evaluate(
    embeddings: Tensor,
    paintings: pd.DataFrame,
    scorer: Scorer,
    *,
    threshold: float | None = None,
    calibration: Calibration | None = None,
    normalised: Mapping[str, CohortScorer] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure how well embeddings tell the artists of these paintings apart. The same input gives the same numbers.

    Args:
        embeddings: (N, D), a row a painting.
        paintings: N rows with the columns ``id`` and ``artist``, and ``style``, ``genre``, ``date``, ``source`` where
            known.
        scorer: the network's own; retrieval goes by the embeddings, whatever the scorer.
        threshold: chosen on other artists with :func:`choose_threshold`; without it no ``balanced_accuracy``.
        calibration: learned on other artists; with it ``brier``, ``ece``, and for each of its thresholds the realised
            error rates.
        normalised: scorers to measure beside the network's own: each adds ``pair_auc_<name>``, ``eer_<name>`` and
            ``recall_at_far_<rate>_<name>``.
        resamples: of the bootstrap over artists; 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        MorelliError: fewer than two artists, no artist with two paintings, embeddings that are not finite or all the
            same, a table that does not fit them, or artists that are in the calibration or in a cohort.
    """
    _refuse_unfit(embeddings, paintings)
    order = Paintings(paintings["artist"])
    normalised = normalised or {}
    _refuse_known_artists(order.names, calibration, [scorer, *normalised.values()])
    verification.refuse_one_class(int(order.counts.max() > 1), int(len(order.names) > 1))
    weights = artist_weights(len(order.names), resamples, seed)
    ordered, in_order = paintings.iloc[order.order].reset_index(drop=True), order.sort(embeddings)

    retrieval, measured = measure_retrieval(in_order, scorer, order, weights)
    pairs = Pairs(in_order, order, scorer)
    positives = Positives.of(pairs)
    triplets = Triplets(pairs, weights)
    measures: list[Measure] = [
        *(Curve(question, pairs, positives, weights) for question in questions(ordered)),
        triplets,
        Accepted(pairs, positives, weights, _thresholds(threshold, calibration)),
    ]
    histogram = ScoreHistogram(pairs, positives)
    measures.append(histogram)
    probabilities = None if calibration is None else Probabilities(pairs, positives, weights, calibration)
    measured |= gather(pairs, positives, [*measures, *([probabilities] if probabilities else [])])
    for name, cohort_scorer in normalised.items():
        base = pairs if cohort_scorer.base is scorer else Pairs(in_order, order, cohort_scorer.base)
        beside = _measure_curve(NormalisedPairs(base, cohort_scorer), weights)
        measured |= {f"{metric}_{name}": values for metric, values in beside.items()}

    measured = {
        name: (value, undefined_of_few(resampled, positives.artist)) for name, (value, resampled) in measured.items()
    }

    per_artist = retrieval.per_artist()
    per_artist["artist"] = order.names
    per_artist.insert(2, "pair_auc", triplets.artist_auc)
    artists = len(order.names)
    metrics = {
        "artists": artists,
        "paintings": len(paintings),
        "lone_artists": len(retrieval.lone_artists),
        **{name: value for name, (value, _) in measured.items()},
    }
    bounds = {name: interval(value, resampled[1:], artists) for name, (value, resampled) in measured.items()}
    return Evaluation(
        metrics,
        {name: bound for name, bound in bounds.items() if bound is not None},
        per_artist,
        _kept_resamples(measured, ordered, artists, seed) if resamples else None,
        probabilities.reliability() if probabilities else None,
        histogram.table(),
    )


def too_few(side: str, paintings: pd.DataFrame) -> str | None:
    """Why the artists of one side (``seen``, ``unseen``) cannot be measured, in a sentence; None where they can."""
    counts = paintings["artist"].map(artist_key).value_counts()
    if len(counts) > 1 and counts.iloc[0] > 1:
        return None
    return (
        f"{side.capitalize()} artists: {len(counts)} with {len(paintings)} paintings, too few to measure; it takes two "
        "artists, and one with two paintings."
    )


def choose_threshold(embeddings: Tensor, paintings: pd.DataFrame, scorer: Scorer) -> float:
    """The score that best parts same-artist from different-artist pairs of these (validation) paintings.

    It maximises balanced accuracy over all pairs. Arguments and errors as in :func:`evaluate`.
    """
    return verification.best_threshold(*pair_scores(embeddings, paintings, scorer))


def pair_scores(embeddings: Tensor, paintings: pd.DataFrame, scorer: Scorer) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all same-artist and of all different-artist pairs. Arguments and errors as in :func:`evaluate`."""
    _refuse_unfit(embeddings, paintings)
    order = Paintings(paintings["artist"])
    pairs = Pairs(order.sort(embeddings), order, scorer)
    positives = Positives.of(pairs).scores
    later = order.starts[1:]
    negatives = np.concatenate([scores[:, later[artist] :].ravel() for artist, scores in pairs.by_artist()])
    verification.refuse_one_class(len(positives), len(negatives))
    return positives, negatives


def _refuse_unfit(embeddings: Tensor, paintings: pd.DataFrame) -> None:
    if "artist" not in paintings:
        raise MorelliError(f"The paintings' table has no column artist; it has: {', '.join(map(str, paintings))}.")
    if len(paintings) != len(embeddings):
        raise MorelliError(f"{len(embeddings)} embeddings came with a table of {len(paintings)} paintings.")
    refuse_unusable(embeddings)
    refuse_collapsed(embeddings)
    refuse_zero(embeddings)


def _refuse_known_artists(names: list[str], calibration: Calibration | None, scorers: list[Scorer]) -> None:
    if calibration is not None:
        refuse_overlap(names, calibration.artists, "the calibration")
    for scorer in scorers:
        if isinstance(scorer, CohortScorer):
            refuse_overlap(names, scorer.artists, "the cohort")


def _thresholds(threshold: float | None, calibration: Calibration | None) -> dict[str, float]:
    chosen = {} if threshold is None else {"balanced": threshold}
    return chosen | (calibration.thresholds if calibration else {})


def _measure_curve(pairs: Pairs, weights: np.ndarray) -> Measured:
    positives = Positives.of(pairs)
    return gather(pairs, positives, [Curve(Question(""), pairs, positives, weights)])


def _kept_resamples(measured: Measured, ordered: pd.DataFrame, artists: int, seed: int) -> Resamples:
    identity = ordered["id"] if "id" in ordered else ordered["artist"]
    content = sorted(f"{one}\t{artist}" for one, artist in zip(identity, ordered["artist"], strict=True))
    drawn_from = hashlib.sha256("\n".join([str(seed), *content]).encode()).hexdigest()[:16]
    values = pd.DataFrame({name: resampled[1:] for name, (_, resampled) in measured.items()})
    sample = {name: value for name, (value, _) in measured.items()}
    return Resamples(sample, values, artists, drawn_from)
