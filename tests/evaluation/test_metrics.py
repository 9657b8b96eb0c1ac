"""The table of metrics: every name has one entry, its variants are known, and docs/metrics.md lists them all."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import MorelliError
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.evaluate import evaluate
from morelli.evaluation.metrics import (
    METRICS,
    Metric,
    Ranking,
    check_metrics,
    from_descriptions,
    load_metrics,
    metric_of,
)
from morelli.evaluation.retrieval import retrieve
from morelli.evaluation.verification import recall_at_false_accept
from morelli.models.heads import CosineScorer, DistanceScorer

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
AT_2 = Metric("precision_at_2", "P@2", "share of the two nearest", lambda r: r.per_query(r.rank <= 2) / 2)


def test_every_metric_has_one_entry() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert [metric.name for metric in METRICS if metric.lower_is_better] == [
        *("eer", "brier", "cllr", "cllr_min", "cllr_cal", "min_dcf_0.1", "ece")
    ]


def test_variants_are_those_of_their_metric() -> None:
    assert metric_of("eer_csls").lower_is_better
    assert metric_of("pair_auc_same_style").heading == "pair AUC same style"
    assert not metric_of("pair_auc_same_style").shown_first
    assert metric_of("recall_at_far_0.01").heading == "recall at far 0.01"
    assert metric_of("mean_average_precision_at_r").heading == "MAP@R"
    assert metric_of("realised_far_0.1").heading == "realised far 0.1"
    assert metric_of("precision_at_10").heading == "precision at 10"


def test_a_run_folder_keeps_what_tables_need_of_a_metric_from_outside() -> None:
    kept = json.loads(json.dumps([AT_2.described()]))
    assert metric_of("precision_at_2", from_descriptions(kept)).heading == "P@2"
    assert metric_of("precision_at_2").heading == "precision at 2"


@given(st.integers(0, 1000), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_a_ranking_without_some_neighbours_is_that_of_the_others(seed: int, neighbours: int) -> None:
    random = np.random.default_rng(seed)
    hits, kept = random.random((2, 5, neighbours)) < 0.5
    kept |= hits
    to_find = random.integers(1, 5, 5)
    found = Ranking.of(hits, to_find, kept)
    for metric in (*METRICS, AT_2):
        if metric.takes == "ranking":
            alone = [
                metric.compute(Ranking.of(mine[there][None], to_find[row : row + 1]))[0]
                for row, (mine, there) in enumerate(zip(hits, kept, strict=True))
            ]
            assert metric.compute(found) == pytest.approx(alone)


def test_metrics_from_outside_are_checked() -> None:
    assert check_metrics([AT_2]) == [AT_2]
    for wrong in (METRICS[0], Metric("x", "x", "", None)):
        with pytest.raises(MorelliError, match=f'"{wrong.name}"'):
            check_metrics([wrong])
    with pytest.raises(MorelliError, match="two metrics"):
        check_metrics([AT_2, AT_2])


def test_the_docs_list_every_metric_with_its_definition() -> None:
    docs = DOCS.read_text(encoding="utf-8")
    for metric in METRICS:
        if "recall_at_far" not in metric.name and metric.takes != "other":
            assert f"| `{metric.name}` | {metric.doc} |" in docs, metric.name
        assert metric.name.removesuffix("_0.01").removesuffix("_0.001") in docs


def painted() -> tuple[torch.Tensor, pd.DataFrame]:
    hands = np.repeat(np.arange(12), 5)
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(12, 8))[hands] + random.normal(size=(60, 8))
    return torch.from_numpy(embeddings), pd.DataFrame(
        {"id": range(60), "artist": [f"Hand {hand:02}" for hand in hands]}
    )


def fails(*_: object) -> np.ndarray:
    raise RuntimeError("no such thing")


def test_metrics_from_outside_have_values_intervals_and_a_place_beside_each_artist() -> None:
    recall = Metric(
        "recall_at_half", "R@½", "", lambda p, n: recall_at_false_accept(p, n, 0.5), "scores", per_artist=True
    )
    found = evaluate(*painted(), CosineScorer(), metrics=[AT_2, recall])
    assert 0 < found.metrics["precision_at_2"] < 1
    assert {"precision_at_2", "recall_at_half"} <= found.intervals.keys()
    assert {"precision_at_2", "recall_at_half"} <= set(found.per_artist)
    assert found.leave_one_out.values["precision_at_2"].nunique() > 1
    assert found.notes == ()
    alone = retrieve(*painted()[:1], painted()[1]["artist"].tolist(), metrics=[AT_2])
    normal = evaluate(painted()[0], painted()[1], DistanceScorer(), metrics=[AT_2])
    assert normal.metrics["precision_at_2"] == alone.mean("precision_at_2")


@pytest.mark.parametrize("takes", ["ranking", "scores", "probabilities", "threshold"])
@pytest.mark.parametrize(("compute", "why"), [(fails, "RuntimeError: no such thing"), (lambda *_: 1.0, "shape")])
def test_a_metric_that_fails_is_left_out_with_the_reason(takes: str, compute: Callable, why: str) -> None:
    wrong = Metric("wrong", "wrong", "", compute, takes, per_artist=True)
    calibration = Calibration("platt", 3.0, 0.0, {}, ("Other",))
    found = evaluate(*painted(), CosineScorer(), metrics=[wrong], calibration=calibration, threshold=0.1)
    plain = evaluate(*painted(), CosineScorer(), calibration=calibration, threshold=0.1)
    assert found.metrics == plain.metrics
    (note,) = found.notes
    assert "The metric wrong failed" in note
    assert why in note


def test_a_dotted_path_names_a_metric() -> None:
    assert load_metrics(["morelli.evaluation.metrics:MEAN_AVERAGE_PRECISION"])[0].heading == "MAP"
    for path, why in {
        "morelli.evaluation.metrics:METRICS": "of type tuple",
        "morelli.evaluation.metrics:MEAN": "Did you mean",
        "morelli.evaluation.metrics:Metric": "must be a Metric",
        "no.such:Name": "No module named",
    }.items():
        with pytest.raises(MorelliError, match=why):
            load_metrics([path])
