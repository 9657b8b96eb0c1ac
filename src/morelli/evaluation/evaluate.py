"""All measures of one set of paintings, with their intervals: what a run writes into its metrics."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from morelli.errors import MorelliError
from morelli.evaluation import verification
from morelli.evaluation._blocks import Positives
from morelli.evaluation._checks import refuse_collapsed, refuse_unusable, refuse_zero
from morelli.evaluation._measures import Accepted, Curve, Measure, Measured, Triplets, gather
from morelli.evaluation._pairs import Paintings, Pairs
from morelli.evaluation._questions import questions
from morelli.evaluation.resampling import Resamples, artist_weights, interval, painting_mean
from morelli.evaluation.retrieval import Retrieval, retrieve
from morelli.models.heads import DistanceScorer, Scorer

RETRIEVAL = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank")


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: measure → value; what the paintings do not define is left out.
        intervals: measure → bounds of its 95 % interval over artists.
        per_artist: one row an artist: ``artist, paintings, pair_auc`` and the retrieval measures.
        resamples: every measure on every resample, to compare two runs; None without resamples.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_artist: pd.DataFrame
    resamples: Resamples | None


def evaluate(
    embeddings: Tensor,
    paintings: pd.DataFrame,
    scorer: Scorer,
    *,
    threshold: float | None = None,
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
        resamples: of the bootstrap over artists; 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        MorelliError: fewer than two artists, no artist with two paintings, embeddings that are not finite or all the
            same, or a table that does not fit them.
    """
    _refuse_unfit(embeddings, paintings)
    order = Paintings(paintings["artist"])
    weights = artist_weights(len(order.names), resamples, seed)
    ordered = paintings.iloc[order.order].reset_index(drop=True)
    verification.refuse_one_class(int(order.counts.max() > 1), int(len(order.names) > 1))

    retrieval = _retrieve(embeddings, order, scorer)
    measured, artist_auc = _measure_pairs(Pairs(embeddings, order, scorer), ordered, weights, threshold)
    measured = _resampled_retrieval(retrieval, order, weights) | measured

    per_artist = retrieval.per_artist()
    per_artist["artist"] = order.names
    per_artist.insert(2, "pair_auc", artist_auc)
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
    )


def choose_threshold(embeddings: Tensor, paintings: pd.DataFrame, scorer: Scorer) -> float:
    """The score that best parts same-artist from different-artist pairs of these (validation) paintings.

    It maximises balanced accuracy over all pairs. Arguments and errors as in :func:`evaluate`.
    """
    return verification.best_threshold(*pair_scores(embeddings, paintings, scorer))


def pair_scores(embeddings: Tensor, paintings: pd.DataFrame, scorer: Scorer) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all same-artist and of all different-artist pairs. Arguments and errors as in :func:`evaluate`."""
    _refuse_unfit(embeddings, paintings)
    pairs = Pairs(embeddings, Paintings(paintings["artist"]), scorer)
    positives = Positives.of(pairs).scores
    later = pairs.paintings.starts[1:]
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


def _retrieve(embeddings: Tensor, order: Paintings, scorer: Scorer) -> Retrieval:
    ordered = embeddings[torch.from_numpy(order.order).to(embeddings.device)].float()
    if not isinstance(scorer, DistanceScorer):
        ordered = functional.normalize(ordered, dim=1)
    codes = np.repeat(np.arange(len(order.names)), order.counts)
    return retrieve(ordered, codes, metrics=RETRIEVAL)


def _resampled_retrieval(retrieval: Retrieval, order: Paintings, weights: np.ndarray) -> Measured:
    searched = order.column_sums((~retrieval.lone).astype(float))
    measured: Measured = {}
    for metric, values in retrieval.values.items():
        sums = order.column_sums(np.where(retrieval.lone, 0.0, values))
        measured[metric] = retrieval.mean(metric), painting_mean(weights, sums, searched)
    return measured


def _measure_pairs(
    pairs: Pairs, ordered: pd.DataFrame, weights: np.ndarray, threshold: float | None
) -> tuple[Measured, np.ndarray]:
    positives = Positives.of(pairs)
    triplets = Triplets(pairs, weights)
    chosen = {} if threshold is None else {"balanced_accuracy": threshold}
    measures: list[Measure] = [
        *(Curve(question, pairs, positives, weights) for question in questions(ordered)),
        triplets,
        Accepted(pairs, positives, weights, chosen),
    ]
    return gather(pairs, positives, measures), triplets.artist_auc


def _kept_resamples(measured: Measured, ordered: pd.DataFrame, artists: int, seed: int) -> Resamples:
    identity = ordered["id"] if "id" in ordered else ordered["artist"]
    content = "\n".join([str(seed), *identity.astype(str), *ordered["artist"].astype(str)])
    values = pd.DataFrame({name: resampled[1:] for name, (_, resampled) in measured.items()})
    return Resamples(values, artists, hashlib.sha256(content.encode()).hexdigest()[:16])
