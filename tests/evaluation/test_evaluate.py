"""One call that measures a set of paintings: against naive loops over pairs, triplets and queries."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from morelli.errors import MorelliError
from morelli.evaluation import pairs
from morelli.evaluation.calibration import calibrate
from morelli.evaluation.evaluate import choose_threshold, evaluate, pair_scores, score_pairs
from morelli.evaluation.normalisation import CohortScorer
from morelli.evaluation.pair_subsets import PairSubset
from morelli.models.heads import ConcatHead, CosineScorer, DistanceScorer, PairHead

COSINE = CosineScorer()


def painted(paintings: int, artists: int, seed: int = 0, width: int = 8) -> tuple[torch.Tensor, pd.DataFrame]:
    random = np.random.default_rng(seed)
    hands = random.integers(0, artists, paintings)
    embeddings = random.normal(size=(artists, width))[hands] + random.normal(size=(paintings, width))
    table = pd.DataFrame(
        {
            "id": [str(i) for i in range(paintings)],
            "artist": [f"Artist {hand:03}" for hand in hands],
            "style": random.choice(["Cubism", "Baroque", None], paintings),
            "genre": random.choice(["portrait", "landscape"], paintings),
            "date": random.choice(["c.1910", "1920.0", "1950", "1905-1907", None], paintings),
            "source": random.choice(["wikiart", "wikipedia"], paintings),
        }
    )
    return torch.from_numpy(embeddings), table


def naive(embeddings: torch.Tensor, table: pd.DataFrame, threshold: float) -> dict[str, float]:
    """Pair measures by their definitions, in loops over pairs and triplets."""
    x = functional.normalize(embeddings.float(), dim=1).double().numpy()
    score = (x @ x.T).astype(np.float32)
    artist, years = (
        table["artist"].tolist(),
        table["date"].map({"c.1910": 1910, "1920.0": 1920, "1950": 1950, "1905-1907": 1906}),
    )
    pairs = list(itertools.combinations(range(len(table)), 2))
    same = {(i, j): artist[i] == artist[j] for i, j in pairs}

    def auc(kept) -> float | None:
        labels = [same[pair] for pair in kept]
        return roc_auc_score(labels, [score[pair] for pair in kept]) if len(set(labels)) == 2 else None

    def hard(alike):
        return auc([pair for pair in pairs if same[pair] or alike(*pair)])

    def equal(column):
        return lambda i, j: isinstance(table[column][i], str) and table[column][i] == table[column][j]

    anchors = []
    for i in range(len(table)):
        positives = [j for j in range(len(table)) if j != i and artist[j] == artist[i]]
        negatives = [j for j in range(len(table)) if artist[j] != artist[i]]
        if positives and negatives:
            won = [(score[i, p] > score[i, n]) + (score[i, p] == score[i, n]) / 2 for p in positives for n in negatives]
            anchors.append(np.mean(won))
    accepted = {
        kind: np.mean([score[pair] >= threshold for pair in pairs if same[pair] is kind]) for kind in (True, False)
    }
    measures = {
        "pair_auc": auc(pairs),
        "pair_auc_same_style": hard(equal("style")),
        "pair_auc_same_genre": hard(equal("genre")),
        "pair_auc_same_period": hard(lambda i, j: abs(years[i] - years[j]) <= 25),
        "triplet_accuracy": np.mean(anchors),
        "balanced_accuracy": (accepted[True] + 1 - accepted[False]) / 2,
    }
    for source in ("wikiart", "wikipedia"):
        measures[f"pair_auc_source_{source}"] = auc([p for p in pairs if all(table["source"][i] == source for i in p)])
    return {name: value for name, value in measures.items() if value is not None}


@given(st.integers(0, 100_000), st.integers(4, 24), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_every_pair_measure_equals_a_naive_loop(seed, paintings, artists):
    embeddings, table = painted(paintings, artists, seed)
    if not 1 < table["artist"].nunique() < paintings:
        return
    found = evaluate(embeddings, table, COSINE, threshold=0.2).metrics
    wanted = naive(embeddings, table, 0.2)
    assert {name for name in found if name.startswith("pair_auc")} == {n for n in wanted if n.startswith("pair_auc")}
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_beyond_ten_million_pairs_a_histogram_is_as_good(monkeypatch):
    embeddings, table = painted(700, 40)
    exact = evaluate(embeddings, table, COSINE, threshold=0.2)
    monkeypatch.setattr(pairs, "EXACT_PAIRS", 1000)
    kept = evaluate(embeddings, table, COSINE, threshold=0.2)
    monkeypatch.setattr(pairs, "KEPT_SCORES", 1000)
    binned = evaluate(embeddings, table, COSINE, threshold=0.2)
    assert binned.metrics == pytest.approx(kept.metrics, abs=1e-6)
    bound = binned.metrics.pop("pair_auc_error_bound")
    assert abs(binned.metrics["pair_auc"] - exact.metrics["pair_auc"]) <= bound < 1e-4
    assert binned.metrics == pytest.approx(exact.metrics, abs=2e-4)
    assert exact.intervals.keys() == binned.intervals.keys()
    for name, bounds in exact.intervals.items():
        assert binned.intervals[name] == pytest.approx(bounds, abs=2e-4)
    pd.testing.assert_frame_equal(binned.per_artist, exact.per_artist, atol=1e-6)


def test_dropout_of_a_pair_network_is_off_while_it_is_measured():
    embeddings, table = painted(60, 6)
    head = ConcatHead(8, dropout=0.9).train()
    assert evaluate(embeddings, table, head).metrics == evaluate(embeddings, table, head).metrics
    assert head.training


def test_the_same_input_gives_the_same_numbers_bit_for_bit():
    embeddings, table = painted(300, 20)
    first, again = (evaluate(embeddings, table, COSINE, threshold=0.2) for _ in range(2))
    assert first.metrics == again.metrics
    assert first.intervals == again.intervals


def test_intervals_hold_their_values_and_more_artists_narrow_them():
    few, many = (evaluate(*painted(n, n // 10), COSINE, threshold=0.2) for n in (150, 1500))
    for side in (few, many):
        assert side.intervals.keys() == side.metrics.keys() - {"artists", "paintings", "lone_artists"}
        for name, (low, high) in side.intervals.items():
            assert low <= side.metrics[name] <= high
    for name in ("pair_auc", "precision_at_1", "triplet_accuracy"):
        assert np.ptp(many.intervals[name]) < np.ptp(few.intervals[name]) / 2


def test_spellings_of_one_name_are_one_artist():
    embeddings, table = painted(60, 6)
    respelt = table.assign(artist=[a.upper() if i % 2 else f" {a}" for i, a in enumerate(table["artist"])])
    assert evaluate(embeddings, respelt, COSINE).metrics == evaluate(embeddings, table, COSINE).metrics


@pytest.mark.parametrize("kind", [DistanceScorer, PairHead])
def test_other_scorers_are_measured_by_their_own_scores(kind):
    torch.manual_seed(0)
    scorer = kind.from_weights(8, {})
    embeddings, table = painted(50, 8)
    embeddings = embeddings.float()
    pairs = list(itertools.combinations(range(50), 2))
    first, second = (embeddings[list(side)] for side in zip(*pairs, strict=True))
    with torch.no_grad():
        scores = scorer.pairwise_distance(first, second).numpy()
    same = [table["artist"][i] == table["artist"][j] for i, j in pairs]
    assert evaluate(embeddings, table, scorer).metrics["pair_auc"] == pytest.approx(
        roc_auc_score(same, scores), abs=1e-6
    )


def test_each_artist_stands_in_a_table_by_name():
    embeddings, table = painted(80, 10)
    result = evaluate(embeddings, table, COSINE)
    artists = result.per_artist
    assert artists["artist"].tolist() == sorted(table["artist"].unique())
    assert artists["paintings"].sum() == 80
    x = functional.normalize(embeddings.float(), dim=1)
    score, mine = (x @ x.T).numpy(), (table["artist"] == artists["artist"][3]).to_numpy()
    positives = score[np.ix_(mine, mine)][np.triu_indices(mine.sum(), 1)]
    negatives = score[np.ix_(mine, ~mine)].ravel()
    wanted = roc_auc_score([1] * len(positives) + [0] * len(negatives), [*positives, *negatives])
    assert artists["pair_auc"][3] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("exact_pairs", [10_000_000, 1000])
@pytest.mark.parametrize("scorer", [COSINE, DistanceScorer()])
def test_the_histogram_of_scores_holds_every_pair_and_its_auc(scorer, exact_pairs, monkeypatch):
    monkeypatch.setattr(pairs, "EXACT_PAIRS", exact_pairs)
    monkeypatch.setattr(pairs, "KEPT_SCORES", exact_pairs)
    embeddings, table = painted(120, 10)
    result = evaluate(embeddings.float(), table, scorer)
    histogram = result.score_histogram
    counts = table["artist"].value_counts()
    assert list(histogram) == ["score", "same", "different"]
    assert len(histogram) <= 200
    assert histogram["score"].is_monotonic_increasing
    assert histogram["same"].sum() == (counts * (counts - 1) // 2).sum()
    assert histogram[["same", "different"]].to_numpy().sum() == 120 * 119 // 2
    same, different = histogram["same"].to_numpy(), histogram["different"].to_numpy()
    below = np.cumsum(different) - different / 2
    assert (same * below).sum() / same.sum() / different.sum() == pytest.approx(result.metrics["pair_auc"], abs=2e-3)


def test_the_histogram_s_scores_are_the_scores():
    embeddings, table = painted(60, 6)
    histogram = evaluate(embeddings, table, COSINE).score_histogram
    scores, _ = pair_scores(embeddings, table, COSINE)
    width = histogram["score"].diff().iloc[1]
    lowest, highest = (histogram["score"][histogram["same"] > 0].iloc[at] for at in (0, -1))
    assert (lowest, highest) == pytest.approx((scores.min(), scores.max()), abs=width * 0.51)


def test_the_pairs_within_groups_are_those_of_each_group_by_itself():
    embeddings, table = painted(60, 6)
    groups = [np.arange(5, 30), np.arange(30, 52)]  # the others belong to none
    found = score_pairs(embeddings, table).by(COSINE).within(groups)
    parts = [pair_scores(embeddings[rows], table.iloc[rows].reset_index(drop=True), COSINE) for rows in groups]
    for scores, wanted in zip(found, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.sort(scores), np.sort(np.concatenate(wanted)), atol=1e-6)


@pytest.mark.parametrize("artists", [10, 60])
def test_every_pair_is_scored_once_for_all_measures(artists):
    """The threshold, the calibration, all curves and both normalisations; the cohort's scores are shared, too."""

    class Counting(PairHead):
        scored = 0

        def matrix(self, a, b):
            self.scored += len(a) * len(b)
            return super().matrix(a, b)

    paintings, cohort = 600, torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    embeddings, table = painted(paintings, artists)
    head = Counting(8)
    scored = score_pairs(embeddings, table)
    positives, negatives = scored.by(head).of(PairSubset())
    normalised = {method: CohortScorer(head, cohort, ["Cohort"], method=method) for method in ("csls", "s-norm")}
    calibration = calibrate(positives, negatives, ["Other"])
    evaluate(embeddings, table, head, threshold=0.0, calibration=calibration, normalised=normalised, scored=scored)
    squares = sum(min(256, left) * left for left in range(paintings, 0, -256))  # only squares on the diagonal are whole
    assert head.scored == squares + paintings * len(cohort)


def test_what_the_paintings_do_not_define_is_left_out():
    embeddings, table = painted(12, 4)
    found = evaluate(embeddings, table[["id", "artist"]], COSINE)
    assert not any("same_" in name or "source" in name for name in found.metrics)
    assert "recall_at_far_0.001" not in found.metrics
    assert "balanced_accuracy" not in found.metrics
    assert not any(np.isnan(value) for value in found.metrics.values())


def test_the_threshold_is_chosen_on_other_paintings():
    embeddings, table = painted(100, 10)
    threshold = choose_threshold(embeddings, table, COSINE)
    best = evaluate(embeddings, table, COSINE, threshold=threshold).metrics["balanced_accuracy"]
    for other in np.linspace(-0.9, 0.9, 19):
        assert evaluate(embeddings, table, COSINE, threshold=other).metrics["balanced_accuracy"] <= best


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, t: (x, t.assign(artist="Anker")), "at least two artists"),
        (lambda x, t: (x[:1], t[:1]), "at least one artist needs two paintings"),
        (lambda x, t: (x, t.assign(artist=t["id"])), "at least one artist needs two paintings"),
        (lambda x, t: (torch.ones_like(x), t), "collapsed"),
        (lambda x, t: (x.index_fill(0, torch.tensor([17]), torch.nan), t), "row 17 holds NaN"),
        (lambda x, t: (x.index_fill(0, torch.tensor([5]), 0.0), t), "row 5 is zero"),
        (lambda x, t: (x[:20], t), "20 embeddings came with a table of 30"),
        (lambda x, t: (x, t.drop(columns="artist")), "no column artist"),
        (lambda x, t: (x, t.assign(artist=t["artist"].where(t.index != 4))), "row 4 has no artist"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, message):
    for measure in (evaluate, pair_scores, choose_threshold):
        with pytest.raises(MorelliError, match=message):
            measure(*change(*painted(30, 4)), COSINE)
