"""Few artists and odd ones: every measure is a number with an honest interval, is left out, or the reason is told."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from morelli.errors import MorelliError, UnmeasurableError
from morelli.evaluation.calibration import calibrate
from morelli.evaluation.evaluate import evaluate, pair_scores, too_few
from morelli.evaluation.identification import learn_identification
from morelli.evaluation.intervals import FEWEST_ARTISTS, paired_difference
from morelli.evaluation.metrics import metric_of
from morelli.evaluation.normalisation import METHODS, CohortScorer
from morelli.evaluation.verification import best_threshold
from morelli.models.heads import CosineScorer, DistanceScorer, PairHead, Scorer

COSINE = CosineScorer()
WIDTH = 8
ENDS = {"share": (0, 1), "cost": (0, np.inf), "difference": (-np.inf, np.inf)}
COUNTS = {"artists", "paintings", "lone_artists"}


def table_of(counts: list[int]) -> pd.DataFrame:
    artists = np.repeat([f"Hand {number}" for number in range(len(counts))], counts)
    rows = np.arange(len(artists))
    columns = {
        "style": "one",
        "genre": np.where(rows % 2, "a", "b"),
        "date": "c.1900",
        "source": np.where(rows % 3, "wikiart", "wikipedia"),
    }
    return pd.DataFrame({"id": rows.astype(str), "artist": artists, **columns})


def embedded(how: str, artists: pd.Series) -> Tensor:
    random = torch.Generator().manual_seed(0)
    codes = torch.from_numpy(pd.factorize(artists)[0])
    apart = functional.one_hot(codes, max(WIDTH, artists.nunique())).float()
    return {
        "random": torch.randn(len(artists), WIDTH, generator=random),
        "perfect": apart,
        "nearly perfect": apart + 0.01 * torch.randn(apart.shape, generator=random),
        "two places": functional.one_hot(torch.arange(len(artists)) % 2, WIDTH).float(),
        "all scores equal": torch.eye(len(artists), max(WIDTH, len(artists))),
    }[how]


HOW = ["random", "perfect", "nearly perfect", "two places", "all scores equal"]


@given(
    counts=st.lists(st.integers(1, 6), min_size=2, max_size=8),
    how=st.sampled_from(HOW),
    kind=st.sampled_from([COSINE, DistanceScorer(), PairHead]),
)
@example([2, 2], "perfect", COSINE)
@example([3, 1, 1, 1, 1, 1], "random", COSINE)  # all lone but one
@example([1, 1, 1], "random", COSINE)
@example([6] * 8, "all scores equal", COSINE)
@example([6] * 8, "two places", PairHead)
@settings(max_examples=20, deadline=None)
def test_every_measure_is_a_number_or_absent_and_no_interval_is_impossible(
    counts: list[int], how: str, kind: Scorer | type[PairHead]
) -> None:
    table = table_of(counts)
    embeddings = embedded(how, table["artist"])
    scorer = kind(embeddings.shape[1]) if isinstance(kind, type) else kind
    others = table.assign(artist="Other " + table["artist"])
    reason = too_few("unseen", table)
    if reason:
        assert max(counts) == 1
        assert f"{len(counts)} with {sum(counts)} paintings" in reason
        with pytest.raises(MorelliError, match="at least one artist needs two paintings"):
            evaluate(embeddings, table, scorer)
        return
    positives, negatives = pair_scores(embeddings, others, scorer)
    cohort = torch.randn(3, embeddings.shape[1], generator=torch.Generator().manual_seed(1))
    learn_identification(embeddings, others["artist"].tolist(), scorer)

    found = evaluate(
        embeddings,
        table,
        scorer,
        threshold=best_threshold(positives, negatives),
        calibration=calibrate(positives, negatives, others["artist"]),
        normalised={method: CohortScorer(scorer, cohort, ["Cohort"], method=method) for method in METHODS},
    )

    for name, value in found.metrics.items():
        assert np.isfinite(value), name
        least, most = ENDS[metric_of(name).scale]
        assert name in COUNTS or least - 1e-9 <= value <= most + 1e-9, name
    for name, (low, high) in found.intervals.items():
        least, most = ENDS[metric_of(name).scale]
        assert least <= low <= found.metrics[name] <= high <= most, name
    if sum(count > 1 for count in counts) < FEWEST_ARTISTS:
        assert not found.intervals
    if how == "perfect" and kind is COSINE:
        assert found.metrics["precision_at_1"] == found.metrics["pair_auc"] == 1
        assert "precision_at_1" not in found.intervals


def test_artists_without_a_pair_do_not_make_an_interval() -> None:
    """Four artists with pairs among forty say no more of how a measure varies than four alone."""
    few, enough = (table_of([5] * paired + [1] * 40) for paired in (FEWEST_ARTISTS - 1, FEWEST_ARTISTS))
    of_few, of_enough = (evaluate(embedded("random", table["artist"]), table, COSINE) for table in (few, enough))
    assert of_few.intervals == {}
    assert "precision_at_1" in of_enough.intervals
    assert of_few.leave_one_out is not None
    with pytest.raises(UnmeasurableError, match="has no interval"):
        paired_difference("pair_auc", of_few.leave_one_out, of_few.leave_one_out)


def test_a_measure_of_a_part_of_the_pairs_counts_its_own_artists() -> None:
    table = table_of([6] * 12)
    table["source"] = np.where(table["artist"].isin([f"Hand {number}" for number in range(3)]), "rare", "common")
    found = evaluate(embedded("random", table["artist"]), table, COSINE)
    assert {"pair_auc_source_rare", "pair_auc_source_common"} <= found.metrics.keys()
    assert "pair_auc_source_common" in found.intervals
    assert "pair_auc_source_rare" not in found.intervals


def test_spellings_of_one_artist_are_no_two_artists() -> None:
    assert "1 with 2 paintings" in (too_few("seen", pd.DataFrame({"artist": ["Degas", "DÉGAS"]})) or "")
    assert too_few("seen", pd.DataFrame({"artist": ["Degas", "DÉGAS", "Manet"]})) is None
