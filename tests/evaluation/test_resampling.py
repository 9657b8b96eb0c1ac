"""Intervals over artists: by their definition on small cases, and by simulation where the truth is known."""

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.metrics import roc_auc_score

from morelli.errors import MorelliError
from morelli.evaluation.evaluate import Evaluation, evaluate
from morelli.evaluation.resampling import (
    Resamples,
    artist_weights,
    interval,
    mean_over_runs,
    paired_difference,
    standard_error,
)
from morelli.evaluation.retrieval import retrieve
from morelli.models.heads import DistanceScorer

DISTANCE = DistanceScorer()
WIDTH = 8


def painted(artists: int, seed: int, noise: float = 1.0) -> tuple[torch.Tensor, pd.DataFrame]:
    """Artists' centres from a normal distribution, 4 to 11 paintings around each."""
    random = np.random.default_rng(seed)
    hands = np.repeat(np.arange(artists), random.integers(4, 12, artists))
    embeddings = random.normal(size=(artists, WIDTH))[hands] + noise * random.normal(size=(len(hands), WIDTH))
    return torch.from_numpy(embeddings), pd.DataFrame({"id": range(len(hands)), "artist": [f"{h:04}" for h in hands]})


@functools.cache
def truths() -> dict[str, float]:
    """What infinitely many such artists give: both kinds of squared distance are multiples of a χ².

    The two distances of a triplet share the anchor, so triplet accuracy is another number; it is drawn.
    """
    same, different = (stats.chi2(WIDTH, scale=scale) for scale in (2, 4))
    anchor, positive, centre, negative = np.random.default_rng(0).normal(size=(4, 1_000_000, WIDTH))
    negative = np.sqrt(2) * negative - centre
    triplets = np.square(anchor - positive).sum(1) < np.square(anchor - negative).sum(1)
    crossing = optimize.brentq(lambda t: same.sf(t) - different.cdf(t), 0.1, 100)
    return {
        "pair_auc": stats.f(WIDTH, WIDTH).sf(0.5),
        "triplet_accuracy": triplets.mean(),
        "eer": same.sf(crossing),
        "recall_at_far_0.1": same.cdf(different.ppf(0.1)),
        "balanced_accuracy": (same.cdf(20) + different.sf(20)) / 2,
    }


def coverage(draws: int, artists: int, resamples: int) -> dict[str, float]:
    """In what share of draws each measure's interval holds the truth; retrieval's truth is the mean of the draws."""
    results = [
        evaluate(*painted(artists, seed), DISTANCE, threshold=-np.sqrt(20), resamples=resamples, seed=seed)
        for seed in range(draws)
    ]
    retrieval = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank")
    wanted = truths() | {name: np.mean([result.metrics[name] for result in results]) for name in retrieval}

    def holds(result: Evaluation, name: str) -> bool:
        low, high = result.intervals[name]
        return low <= wanted[name] <= high

    return {name: np.mean([holds(result, name) for result in results]) for name in wanted}


@pytest.mark.slow
def test_intervals_cover_the_truth_in_93_to_97_percent_of_1500_draws():
    covered = coverage(1500, artists=50, resamples=500)
    print({name: round(float(share), 3) for name, share in covered.items()})
    for name, share in covered.items():
        assert 0.93 <= share <= 0.97, name


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    for name, share in coverage(60, artists=40, resamples=200).items():
        assert share >= 0.85, name


def test_values_approach_the_truth():
    found = evaluate(*painted(1000, 0), DISTANCE, threshold=-np.sqrt(20), resamples=0).metrics
    for name, value in truths().items():
        assert found[name] == pytest.approx(value, abs=0.01), name


@given(st.integers(0, 10_000), st.integers(5, 9))
@settings(max_examples=15, deadline=None)
def test_each_resample_is_the_measure_on_the_drawn_artists(seed, artists):
    """A resample by hand: repeat every pair as often as its artists were drawn, and measure again."""
    embeddings, table = painted(artists, seed)
    result = evaluate(embeddings, table, DISTANCE, threshold=-4.0, resamples=3, seed=seed)
    weights = artist_weights(artists, 3, seed)[1:]
    codes = table["artist"].astype(int).to_numpy()
    score = -torch.cdist(embeddings.float(), embeddings.float()).numpy()
    first, second = np.array(list(itertools.combinations(range(len(codes)), 2))).T
    same = codes[first] == codes[second]
    for drawn, (_, resampled) in zip(weights, result.resamples.values.iterrows(), strict=True):
        if (drawn > 0).sum() < 2:
            assert np.isnan(resampled["pair_auc"])
            continue
        weight = np.where(same, drawn[codes[first]], drawn[codes[first]] * drawn[codes[second]])
        scores = score[first, second]
        assert resampled["pair_auc"] == pytest.approx(roc_auc_score(same, scores, sample_weight=weight), abs=0.01)
        right = (scores >= -4.0) == same
        balanced = [np.average(right[kind], weights=weight[kind]) for kind in (same, ~same)]
        assert resampled["balanced_accuracy"] == pytest.approx(np.mean(balanced))
        anchors = [
            roc_auc_score(codes[others] == codes[i], score[i, others], sample_weight=drawn[codes[others]])
            if drawn[codes[i]]
            else 0
            for i in range(len(codes))
            for others in [np.delete(np.arange(len(codes)), i)]
        ]
        wanted = np.average(anchors, weights=drawn[codes])
        assert resampled["triplet_accuracy"] == pytest.approx(wanted, abs=0.01)


@given(st.integers(0, 10_000), st.integers(5, 9))
@example(54, 5)  # a left-out artist of the largest size stands before all that a query is to find
@settings(max_examples=15, deadline=None)
def test_retrieval_is_resampled_by_leaving_each_artist_out(seed, artists):
    """By hand: search again without each artist, as query and as obstacle, and add up what the drawn artists change."""
    embeddings, table = painted(artists, seed)
    codes = table["artist"].to_numpy()
    found = evaluate(embeddings, table, DISTANCE, resamples=4, seed=seed).resamples.values
    full = retrieve(embeddings, codes)
    by_name = [codes == name for name in sorted(set(codes))]
    for metric in ("precision_at_1", "r_precision", "mean_average_precision_at_r"):
        own, gains, noise = [], [], 0.0
        for left_out in by_name:
            again = retrieve(embeddings[~left_out], codes[~left_out]).values[metric]
            gain = again - full.values[metric][~left_out]
            parts = np.array([gain[mine[~left_out]].sum() for mine in by_name])
            own.append(full.values[metric][left_out].sum())
            gains.append(gain.sum())
            noise += np.square(parts).sum() - parts.sum() ** 2 / artists
        apart = np.array(gains) - np.mean(gains)
        sure = np.sqrt(max(0, 1 - noise / 2 / np.square(apart).sum())) if apart.any() else 0
        counts = np.array([mine.sum() for mine in by_name])
        without = (sum(own) - own + np.mean(gains) + sure * apart) / (len(codes) - counts)
        influence = (artists - 1) / artists * (without.mean() - without)
        wanted = full.mean(metric) + (artist_weights(artists, 4, seed)[1:] - 1) @ influence
        assert found[metric].to_numpy() == pytest.approx(wanted, abs=1e-9)


def test_paired_runs_can_be_told_apart_where_single_intervals_overlap():
    embeddings, table = painted(50, 0)
    worse = embeddings + 0.3 * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
    first, second = (evaluate(x, table, DISTANCE) for x in (embeddings, worse))
    assert first.intervals["pair_auc"][0] < second.intervals["pair_auc"][1]
    difference = paired_difference("pair_auc", first.resamples, second.resamples)
    assert difference.distinguishable
    assert difference.low < difference.value < difference.high
    assert difference.value == first.metrics["pair_auc"] - second.metrics["pair_auc"]
    again = paired_difference("pair_auc", second.resamples, first.resamples)
    assert (again.low, again.high) == pytest.approx((-difference.high, -difference.low))


def told_apart(draws: int, artists: int, resamples: int, metric: str) -> float:
    """In what share of draws two equally good networks on the same paintings are told apart: 5 % is right."""
    apart = 0
    for seed in range(draws):
        embeddings, table = painted(artists, seed)
        random = torch.Generator().manual_seed(seed)
        sides = [embeddings + 0.5 * torch.randn(embeddings.shape, generator=random) for _ in range(2)]
        first, second = (evaluate(x, table, DISTANCE, resamples=resamples).resamples for x in sides)
        apart += paired_difference(metric, first, second).distinguishable
    return apart / draws


def test_equally_good_runs_are_rarely_told_apart():
    assert told_apart(40, artists=30, resamples=200, metric="pair_auc") <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["pair_auc", "mean_average_precision_at_r"])
def test_equally_good_runs_are_told_apart_in_3_to_7_percent_of_500_draws(metric):
    share = told_apart(500, artists=50, resamples=500, metric=metric)
    print(metric, share)
    assert 0.03 <= share <= 0.07


def test_resamples_survive_the_disk(tmp_path):
    resamples = evaluate(*painted(10, 0), DISTANCE, resamples=20).resamples
    resamples.write(tmp_path / "unseen.parquet")
    again = Resamples.read(tmp_path / "unseen.parquet")
    pd.testing.assert_frame_equal(again.values, resamples.values)
    assert (again.measured, again.artists, again.drawn_from) == (
        resamples.measured,
        resamples.artists,
        resamples.drawn_from,
    )


def test_other_files_are_no_resamples(tmp_path):
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no")
    for name in ("other.parquet", "text.parquet", "missing.parquet"):
        with pytest.raises(MorelliError, match="holds no resamples"):
            Resamples.read(tmp_path / name)


@pytest.mark.parametrize("change", [{"seed": 1}, {"resamples": 30}, {"other": True}])
def test_runs_that_do_not_share_their_draws_are_not_paired(change):
    embeddings, table = painted(10, 0)
    first = evaluate(embeddings, table, DISTANCE, resamples=20).resamples
    if change.pop("other", False):
        embeddings, table = embeddings[1:], table[1:]
    second = evaluate(embeddings, table, DISTANCE, **{"resamples": 20, **change}).resamples
    with pytest.raises(MorelliError, match="cannot be paired"):
        paired_difference("pair_auc", first, second)


def test_a_misspelt_measure_gets_a_hint_and_equal_runs_no_interval():
    run = evaluate(*painted(10, 0), DISTANCE, resamples=20).resamples
    with pytest.raises(MorelliError, match='Did you mean "pair_auc"'):
        paired_difference("pair_acu", run, run)
    with pytest.raises(MorelliError, match="has no interval"):
        paired_difference("pair_auc", run, run)


def test_where_resampling_cannot_tell_there_is_no_interval():
    spread = np.linspace(0.4, 0.6, 100)
    assert interval(0.5, spread, artists=50) is not None
    assert interval(0.5, spread, artists=4) is None
    assert interval(0.5, spread[:0], artists=50) is None
    assert interval(1.0, np.ones(100), artists=50) is None
    assert interval(0.5, np.where(np.arange(100) < 10, np.nan, spread), artists=50) is None
    assert evaluate(*painted(4, 0), DISTANCE).intervals == {}


@given(st.floats(0.02, 0.98), st.floats(1e-4, 0.1), st.integers(5, 300))
@settings(max_examples=100, deadline=None)
def test_intervals_stay_between_0_and_1_and_widen_with_fewer_artists(value, spread, artists):
    resampled = value + spread * np.linspace(-1, 1, 50)
    low, high = interval(value, resampled, artists)
    assert 0 <= low < value < high <= 1
    fewer = interval(value, resampled, max(5, artists // 2))
    assert fewer[0] <= low
    assert fewer[1] >= high
    assert standard_error(resampled, artists) > resampled.std()


def test_the_mean_over_runs_has_students_interval():
    mean, half = mean_over_runs([0.7, 0.8, 0.75])
    wanted = stats.ttest_1samp([0.7, 0.8, 0.75], 0).confidence_interval()
    assert (mean - half, mean + half) == pytest.approx((wanted.low, wanted.high))
    assert mean_over_runs([0.7]) == (0.7, None)
