"""Likelihood ratios: Cllr and its parts are those of the Netherlands Forensic Institute's ``lir``."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lir import metrics as reference
from lir.algorithms.bayeserror import elub
from lir.data.models import LLRData

from morelli.evaluation.calibration import Calibration
from morelli.evaluation.evaluate import Evaluation, evaluate, pair_scores
from morelli.evaluation.likelihood_ratios import (
    calibrated_by_pav,
    cllr_costs,
    cllr_min,
    cross_entropy,
    empirical_bounds,
    min_detection_cost,
    tippett,
)
from morelli.evaluation.verification import exact_masses
from morelli.models.heads import CosineScorer

NAMES = ("cllr", "cllr_min", "cllr_cal")


def as_lir(same: np.ndarray, different: np.ndarray) -> LLRData:
    labels = np.repeat([1, 0], [len(same), len(different)])
    return LLRData(features=np.concatenate([same, different]).reshape(-1, 1), labels=labels)


def scores(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    same = random.normal(random.uniform(-1, 3), random.uniform(0.2, 3), random.integers(1, 60))
    different = random.normal(-1, 1.5, random.integers(1, 200))
    return (same.round(), different.round()) if ties else (same, different)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=150, deadline=None)
def test_costs_are_those_of_the_reference(seed: int, ties: bool) -> None:
    same, different = scores(seed, ties)
    data = as_lir(same / np.log(10), different / np.log(10))

    found = (cllr_costs(same, same=True).mean() + cllr_costs(different, same=False).mean()) / 2
    least = cllr_min(*exact_masses(same, different))

    assert found == pytest.approx(reference.cllr(data), abs=1e-9)
    assert least == pytest.approx(reference.cllr_min(data), abs=1e-9)
    assert least <= found + 1e-12


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=100, deadline=None)
def test_bounds_are_those_of_the_reference_where_ratios_are_independent(seed: int, ties: bool) -> None:
    same, different = scores(seed, ties)
    labels = np.repeat([1, 0], [len(same), len(different)])

    found = empirical_bounds(same, different, same_units=len(same), different_units=len(different))

    assert found == pytest.approx(
        elub(np.concatenate([same, different]), labels), abs=0.0101
    )  # of ties rounding decides, by one step


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=50, deadline=None)
def test_plots_by_their_definitions(seed: int, ties: bool) -> None:
    same, different = scores(seed, ties)
    ratios = np.unique(np.concatenate([same, different]))
    masses = [(ratios[:, None] == side).sum(1).astype(float) for side in (same, different)]
    grid = np.linspace(-3, 3, 13)
    assert tippett(ratios, masses[0], grid) == pytest.approx([(same >= at).mean() for at in grid])

    found = cross_entropy(ratios, *masses, grid)
    for odds, value in zip(grid, found, strict=True):
        prior = 10**odds / (1 + 10**odds)
        unknown = [np.log2(1 + 1 / (10**same * 10**odds)).mean(), np.log2(1 + 10**different * 10**odds).mean()]
        assert value == pytest.approx(prior * unknown[0] + (1 - prior) * unknown[1])

    best = calibrated_by_pav(*masses) / np.log(10)
    assert (best[1:] >= best[:-1]).all()
    assert cross_entropy(best, *masses, np.zeros(1))[0] == pytest.approx(cllr_min(*masses))
    assert (cross_entropy(best, *masses, grid) <= found + 1e-9).all()


def test_fewer_artists_support_less() -> None:
    same, different = (np.random.default_rng(0).normal(mean, 1, 5_000) for mean in (1.0, -1.0))
    by_pairs = empirical_bounds(same, different, same_units=5_000, different_units=5_000)
    by_artists = empirical_bounds(same, different, same_units=30, different_units=435)
    assert by_pairs[0] < by_artists[0] < 0 < by_artists[1] < by_pairs[1]


@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.5, 0.9]))
@settings(max_examples=50, deadline=None)
def test_the_detection_cost_is_the_least_of_all_thresholds(seed: int, prior: float) -> None:
    same, different = scores(seed, ties=True)
    thresholds = np.append(np.unique(np.concatenate([same, different])), np.inf)
    costs = [prior * (same < t).mean() + (1 - prior) * (different >= t).mean() for t in thresholds]

    found = min_detection_cost(*exact_masses(same, different), prior)

    assert found == pytest.approx(min(costs) / min(prior, 1 - prior))


def measured(artists: int) -> tuple[Evaluation, Calibration, torch.Tensor, pd.DataFrame]:
    random = np.random.default_rng(0)
    hands = np.repeat(random.normal(size=(artists, 8)), 5, axis=0)
    embeddings = torch.from_numpy(hands + 1.2 * random.normal(size=hands.shape)).float()
    table = pd.DataFrame({"id": range(len(hands)), "artist": [f"Artist {row // 5}" for row in range(len(hands))]})
    calibration = Calibration("platt", 6.0, -3.0, {}, ())
    return evaluate(embeddings, table, CosineScorer(), calibration=calibration), calibration, embeddings, table


def test_an_evaluation_measures_them_with_intervals() -> None:
    result, calibration, embeddings, table = measured(12)
    ratios = [
        calibration.log_likelihood_ratio(one) / np.log(10) for one in pair_scores(embeddings, table, CosineScorer())
    ]
    data = as_lir(*(one.astype(float) for one in ratios))

    for name in NAMES:
        assert result.metrics[name] == pytest.approx(getattr(reference, name)(data), abs=1e-6)
        low, high = result.intervals[name]
        assert low < result.metrics[name] < high
    assert 0 < result.metrics["min_dcf_0.1"] <= 1


def test_without_a_calibration_only_what_needs_none() -> None:
    _, _, embeddings, table = measured(6)

    found = evaluate(embeddings, table, CosineScorer()).metrics

    assert {"cllr_min", "min_dcf_0.1"} < found.keys()
    assert not {"cllr", "cllr_cal"} & found.keys()


def test_without_one_artist_is_as_measured_without_the_artist() -> None:
    result, calibration, embeddings, table = measured(8)
    rest = table["artist"] != "Artist 0"

    again = evaluate(embeddings[rest.to_numpy(copy=True)], table[rest], CosineScorer(), calibration=calibration)

    left_out = result.leave_one_out.values.iloc[0]
    assert left_out["cllr"] == pytest.approx(again.metrics["cllr"])
    assert left_out["cllr_min"] == pytest.approx(again.metrics["cllr_min"], abs=0.02)
