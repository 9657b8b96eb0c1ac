"""Probabilities from scores: recovered where they are known, honest about the prior, refused where undefined."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from morelli.errors import MorelliError
from morelli.evaluation.calibration import ArtistTallies, Calibration, calibrate, fit_calibration
from morelli.evaluation.evaluate import evaluate, pair_scores
from morelli.models.heads import CosineScorer

COSINE = CosineScorer()


def normal_scores(positives: int, negatives: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose log-odds at prior ½ are known: with unit spread and means ±1, twice the score."""
    random = np.random.default_rng(seed)
    return random.normal(1, 1, positives), random.normal(-1, 1, negatives)


def painted(artists: int, seed: int, name: str) -> tuple[torch.Tensor, pd.DataFrame]:
    random = np.random.default_rng(seed)
    hands = np.repeat(np.arange(artists), 6)
    embeddings = random.normal(size=(artists, 8))[hands] + random.normal(size=(len(hands), 8))
    table = pd.DataFrame({"id": range(len(hands)), "artist": [f"{name} {hand}" for hand in hands]})
    return torch.from_numpy(embeddings), table


@pytest.fixture(scope="module")
def learned() -> Calibration:
    validation, table = painted(60, 1, "Validation")
    return calibrate(*pair_scores(validation, table, COSINE), table["artist"])


@pytest.mark.parametrize(("positives", "negatives"), [(20_000, 20_000), (3_000, 300_000)])
def test_platt_finds_the_true_log_odds_whatever_the_numbers_of_pairs(positives, negatives):
    slope, offset = fit_calibration(*normal_scores(positives, negatives))
    assert (slope, offset) == pytest.approx((2, 0), abs=0.12)


def test_platt_equals_scikit_learns_weighted_logistic_regression():
    positives, negatives = normal_scores(500, 9_000)
    scores = np.concatenate([positives, negatives])[:, None]
    labels = np.repeat([1, 0], [500, 9_000])
    wanted = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10).fit(scores, labels)
    slope, offset = fit_calibration(positives, negatives)
    assert (slope, offset) == pytest.approx((wanted.coef_[0, 0], wanted.intercept_[0]), rel=0.02, abs=0.02)


def test_temperature_only_stretches():
    positives, negatives = normal_scores(20_000, 20_000)
    assert fit_calibration(positives, negatives, "temperature") == pytest.approx((2, 0), abs=0.05)
    assert fit_calibration(positives / 10, negatives / 10, "temperature") == pytest.approx((20, 0), abs=0.5)


def test_scores_that_part_the_pairs_fully_give_no_certainty():
    slope, offset = fit_calibration(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3]))
    probability = Calibration("platt", slope, offset, {}, ()).probability(np.array([0.1, 0.9]))
    assert 0 < probability[0] < 0.3 < 0.7 < probability[1] < 1


def test_a_higher_score_never_means_a_lower_probability():
    positives, negatives = normal_scores(300, 300)
    slope, offset = fit_calibration(-positives, -negatives)
    assert slope == 0
    assert special.expit(offset) == pytest.approx(0.5, abs=0.01)


def test_the_prior_moves_the_odds_by_its_own_odds():
    calibration = Calibration("platt", 3.0, -1.0, {}, ())
    even, rare = (calibration.probability(0.4, prior) for prior in (0.5, 0.0131))
    assert special.logit(rare) - special.logit(even) == pytest.approx(special.logit(0.0131))
    positives, negatives = normal_scores(2_000, 150_000)
    calibration = Calibration("platt", *fit_calibration(positives, negatives), {}, ())
    everything = calibration.probability(np.concatenate([positives, negatives]), 2_000 / 152_000)
    assert everything.mean() == pytest.approx(2_000 / 152_000, rel=0.05)


def test_probabilities_hold_for_artists_never_seen(learned):
    unseen, table = painted(100, 2, "Unseen")
    result = evaluate(unseen, table, COSINE, calibration=learned)
    assert evaluate(unseen, table, COSINE, calibration=replace(learned, bounds=None)).metrics["ece"] < 0.05
    assert result.metrics["ece"] < 0.06  # a bounded ratio says less than is so at either end
    for rate in ("0.1", "0.01", "0.001"):
        assert result.metrics[f"realised_far_{rate}"] == pytest.approx(float(rate), rel=0.35)
        assert result.metrics[f"realised_recall_{rate}"] == pytest.approx(
            result.metrics[f"recall_at_far_{rate}"], abs=0.08
        )


def test_brier_and_ece_by_their_definitions(learned):
    unseen, table = painted(30, 3, "Unseen")
    result = evaluate(unseen, table, COSINE, calibration=learned)
    positives, negatives = pair_scores(unseen, table, COSINE)
    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    probability = learned.probability(np.concatenate([positives, negatives]))
    weights = np.where(labels == 1, 0.5 / len(positives), 0.5 / len(negatives))
    assert result.metrics["brier"] == pytest.approx(brier_score_loss(labels, probability, sample_weight=weights))
    bins = np.minimum((probability * 15).astype(int), 14)
    gaps = [abs((weights * (labels - probability))[bins == b].sum()) for b in range(15)]
    assert result.metrics["ece"] == pytest.approx(sum(gaps), abs=1e-6)
    assert result.reliability["mass"].sum() == pytest.approx(1)
    assert (result.reliability["mass"] * result.reliability["share"]).sum() == pytest.approx(0.5)
    for name in ("brier", "ece", "realised_far_0.01"):
        low, high = result.intervals[name]
        assert low <= result.metrics[name] <= high


def test_it_survives_json(learned):
    again = Calibration.from_dict(json.loads(json.dumps(learned.to_dict())))
    assert again == learned
    with pytest.raises(MorelliError, match="This is no calibration: method: Field required"):
        Calibration.from_dict({"slope": 1.0})


def test_ratios_and_probabilities_stay_within_what_the_artists_support(learned):
    low, high = learned.bounds
    assert low < 0 < high
    ratios = learned.log_likelihood_ratio(np.array([-9.0, 9.0]))
    assert ratios.tolist() == [low, high]
    assert special.logit(learned.probability(9.0)) == pytest.approx(high)
    free = replace(learned, bounds=None)
    assert free.log_likelihood_ratio(9.0) == pytest.approx(9 * learned.slope + learned.offset)


def tallied(artists: int, seed: int) -> Calibration:
    """Scores of 4 paintings each, of which a pair's depend on both artists, as real ones do."""
    random = np.random.default_rng(seed)
    hands = np.repeat(np.arange(artists), 4)
    bias = random.normal(0, 0.4, artists)[hands]
    same = hands[:, None] == hands
    scores = np.triu(random.normal(0, 1, same.shape), 1) + (bias[:, None] + bias) + np.where(same, 1, -1)
    scores = np.triu(scores, 1) + np.triu(scores, 1).T
    above = np.triu(np.ones_like(same), 1)
    tallies = ArtistTallies(scores.min(), scores.max())
    for hand in range(artists):
        own = scores[hands == hand][:, hands == hand]
        tallies.add(str(hand), own[np.triu_indices(4, 1)], scores[hands == hand][:, hands != hand])
    return calibrate(scores[same & above], scores[~same & above], map(str, range(artists)), tallies=tallies)


def test_the_interval_is_the_jackknifes_of_the_fit_without_each_artist():
    random = np.random.default_rng(0)
    own, others = random.normal(1, 1, (8, 6)), random.normal(-1, 1, (8, 8, 16))
    others = np.triu(np.ones((8, 8)), 1)[..., None] * others  # each pair of artists once
    tallies = ArtistTallies(-5, 5)
    both = others + others.transpose(1, 0, 2)
    for artist in range(8):
        tallies.add(str(artist), own[artist], np.delete(both[artist], artist, 0))
    lines = []
    for left_out in range(8):
        kept = [artist for artist in range(8) if artist != left_out]
        pairs = [others[a, b] for a in kept for b in kept if a < b]
        lines.append(fit_calibration(own[kept].ravel(), np.concatenate(pairs)))
    wanted = np.cov(np.transpose(lines), bias=True) * 7
    assert tallies.covariance() == pytest.approx(wanted, rel=0.05, abs=0.02)


def test_few_artists_have_no_interval(learned):
    tallies = ArtistTallies(-1, 1)
    for artist in range(4):
        tallies.add(str(artist), np.array([0.5, 0.1]), np.array([0.2, -0.3]))
    assert tallies.covariance() is None
    assert replace(learned, covariance=None).interval(0.5) is None


@pytest.mark.slow
def test_the_interval_holds_the_truth():
    """Of 200 draws of 40 artists, the interval of the ratio at a score holds what 600 artists say."""
    truth = tallied(600, 0)
    held = []
    for seed in range(1, 201):
        calibration = replace(tallied(40, seed), bounds=None)
        low, high = calibration.interval(0.7)
        held.append(low <= 0.7 * truth.slope + truth.offset <= high)
    assert 0.9 <= np.mean(held) <= 0.99


def test_validation_artists_cannot_be_measured(learned):
    embeddings, table = painted(5, 4, "VALIDATION")
    with pytest.raises(MorelliError, match="also in the calibration: VALIDATION 0"):
        evaluate(embeddings, table, COSINE, calibration=learned)


@pytest.mark.parametrize(
    ("positives", "negatives", "method", "message"),
    [
        ([], [0.1], "platt", "no pairs by the same artist"),
        ([0.1], [], "platt", "no pairs by different artists"),
        ([0.1], [0.0], "plat", 'Did you mean "platt"'),
    ],
)
def test_what_cannot_be_calibrated_is_refused(positives, negatives, method, message):
    with pytest.raises(MorelliError, match=message):
        calibrate(np.array(positives), np.array(negatives), ["Anker"], method=method)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0])
def test_an_impossible_prior_is_refused(learned, prior):
    with pytest.raises(MorelliError, match="between 0 and 1"):
        learned.probability(0.3, prior)
