"""Evaluation: all metrics of one set of paintings, with their intervals, as a run writes them into ``metrics.json``."""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from morelli.data.artists import artist_key
from morelli.errors import MorelliError
from morelli.evaluation import verification
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.intervals import LeaveOneOut, interval
from morelli.evaluation.metrics import METRICS, Metric, check_metrics, guarded, metric_of
from morelli.evaluation.normalisation import NormalisedScorer
from morelli.evaluation.pair_metrics import (
    ArtistCurves,
    AtThresholds,
    Collector,
    Measured,
    Normalised,
    Probabilities,
    ScoreCurve,
    ScoreHistogram,
    Triplets,
    collect,
)
from morelli.evaluation.pair_subsets import PairSubset, pair_subsets
from morelli.evaluation.pairs import Paintings, ScoredPairs
from morelli.evaluation.retrieval import measure_retrieval
from morelli.evaluation.validate import refuse_collapsed, refuse_overlap, refuse_unusable, refuse_zero
from morelli.models.heads import Scorer


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: metric → value; what the paintings do not define is left out.
        intervals: metric → bounds of its 95 % interval over artists.
        per_artist: one row an artist: ``artist, paintings, pair_auc`` and the retrieval metrics.
        leave_one_out: every metric without each artist, to compare two runs.
        reliability: the reliability diagram: ``probability, share, mass`` of each bin; None without a calibration.
        score_histogram: ``score, same, different``: how many pairs of either kind fall into even bins of score.
        notes: metrics from outside that failed, and why.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_artist: pd.DataFrame
    leave_one_out: LeaveOneOut
    reliability: pd.DataFrame | None
    score_histogram: pd.DataFrame
    notes: tuple[str, ...] = ()


def evaluate(
    embeddings: Tensor,
    paintings: pd.DataFrame,
    scorer: Scorer,
    *,
    threshold: float | None = None,
    calibration: Calibration | None = None,
    normalised: Mapping[str, NormalisedScorer] | None = None,
    calibrations: Mapping[str, Calibration] | None = None,
    metrics: Collection[Metric] = (),
    scored: ScoredPairs | None = None,
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
        calibrations: of these scorers, by the same names, learned on other artists: with one, what ``calibration``
            adds is measured of its scorer too, each metric as ``<metric>_<name>``.
        metrics: metrics of your own, beside :data:`~morelli.evaluation.metrics.METRICS`. One that fails is left out,
            and the reason stands in ``notes``.
        scored: what :func:`score_pairs` gave for these embeddings and paintings, if something else needed it.

    Raises:
        MorelliError: fewer than two artists, no artist with two paintings, embeddings that are not finite or all the
            same, a table that does not fit them, or artists that are in the calibration or in a cohort.
    """
    scored = scored or score_pairs(embeddings, paintings)
    order, normalised, calibrations = scored.paintings, normalised or {}, calibrations or {}
    for learned in [*([calibration] if calibration else []), *calibrations.values()]:
        refuse_overlap(order.names, learned.artists, "the calibration")
    for one in (scorer, *normalised.values()):
        if isinstance(one, NormalisedScorer):
            refuse_overlap(order.names, one.artists, "the cohort")
    failures: dict[str, str] = {}
    table = [*METRICS, *(guarded(metric, failures) for metric in check_metrics(metrics))]
    ordered = paintings.iloc[order.order].reset_index(drop=True)

    ranked = [metric for metric in table if metric.takes == "ranking"]
    retrieval, measured = measure_retrieval(scored.embeddings, scorer, order, ranked)
    pairs = scored.by(scorer)
    per_artist, histogram = ArtistCurves(table), ScoreHistogram(pairs)
    probabilities = Probabilities(pairs, calibration, table) if calibration else None
    thresholds = {} if threshold is None else {"balanced": threshold}
    thresholds |= calibration.thresholds if calibration else {}
    collectors: list[Collector] = [
        *(ScoreCurve(pairs, subset, table) for subset in pair_subsets(ordered)),
        Triplets(pairs),
        AtThresholds(pairs, thresholds, table),
        per_artist,
        histogram,
        *([probabilities] if probabilities else []),
    ]
    besides = {name: scored.normalised_by(one) for name, one in normalised.items()}
    for own in dict.fromkeys([pairs, *(one.own for one in besides.values())]):
        also = [Normalised(one, name, table, calibrations.get(name)) for name, one in besides.items() if one.own is own]
        measured |= collect(own, [*(collectors if own is pairs else []), *also])
    for suffix in ["", *(f"_{name}" for name in normalised)]:
        of_scorer = {name.removesuffix(suffix): values for name, values in measured.items() if name.endswith(suffix)}
        for metric in table:
            if metric.takes == "metrics" and metric.compute is not None:
                with suppress(KeyError):
                    measured[metric.name + suffix] = metric.compute(of_scorer)
    measured = {name: values for name, values in measured.items() if not np.isnan(values[0])}
    values = {name: float(all_artists[0]) for name, all_artists in measured.items()}
    bounds = {name: interval(values[name], measured[name][1:], scale=metric_of(name, table).scale) for name in measured}
    counts = {"artists": len(order.names), "paintings": len(paintings), "lone_artists": len(retrieval.lone_artists)}
    by_artist = retrieval.per_artist()
    return Evaluation(
        {**counts, **values},
        {name: bound for name, bound in bounds.items() if bound},
        pd.concat([by_artist.iloc[:, :2], pd.DataFrame(per_artist.columns), by_artist.iloc[:, 2:]], axis=1),
        _leave_one_out(values, measured, ordered),
        probabilities.diagram() if probabilities else None,
        histogram.table(),
        tuple(f"The metric {name} failed on these paintings: {reason}." for name, reason in failures.items()),
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
    return score_pairs(embeddings, paintings).by(scorer).of(PairSubset())


def score_pairs(embeddings: Tensor, paintings: pd.DataFrame) -> ScoredPairs:
    """The pairs of these paintings, to be scored by any scorer, once. Errors as in :func:`evaluate`."""
    if "artist" not in paintings:
        raise MorelliError(f"The paintings' table has no column artist; it has: {', '.join(map(str, paintings))}.")
    if len(paintings) != len(embeddings):
        raise MorelliError(f"{len(embeddings)} embeddings came with a table of {len(paintings)} paintings.")
    refuse_unusable(embeddings)
    refuse_collapsed(embeddings)
    refuse_zero(embeddings)
    order = Paintings(paintings["artist"])
    verification.refuse_one_class(int(order.counts.max() > 1), int(len(order.names) > 1))
    return ScoredPairs(embeddings, order)


def _leave_one_out(values: dict[str, float], measured: Measured, ordered: pd.DataFrame) -> LeaveOneOut:
    identity = ordered["id"] if "id" in ordered else ordered["artist"]
    content = sorted(f"{one}\t{artist}" for one, artist in zip(identity, ordered["artist"], strict=True))
    fingerprint = hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
    return LeaveOneOut(values, pd.DataFrame({name: one[1:] for name, one in measured.items()}), fingerprint)
