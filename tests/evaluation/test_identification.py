"""Naming an artist among several, or none of them: probabilities that hold, thresholds that keep their promise."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from morelli import CosineScorer, MorelliError
from morelli.evaluation.identification import (
    NONE,
    Identification,
    Trial,
    artist_embedding,
    learn_identification,
    measure,
    posterior,
    simulate,
)
from morelli.models.heads import DistanceScorer

SCORER = CosineScorer()


def painted(artists: int, paintings: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    """Paintings scattered around their artist's place."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(artists, 16, generator=random).repeat_interleave(paintings, 0)
    scattered = centres + spread * torch.randn(artists * paintings, 16, generator=random)
    return functional.normalize(scattered, dim=1), [f"hand {i // paintings}" for i in range(artists * paintings)]


def test_the_posterior_is_bayes_rule() -> None:
    ratios = np.log([[4.0, 1.0, 0.5], [1.0, 1.0, 1.0]])
    found = posterior(ratios, prior=0.3)
    weights = np.array([[0.1 * 4, 0.1 * 1, 0.1 * 0.5, 0.7], [0.1, 0.1, 0.1, 0.7]])
    np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True))


def test_enrolled_paintings_are_never_asked_for_and_the_truth_is_right() -> None:
    embeddings, artists = painted(9, 6, spread=0.001)
    names, codes = np.unique(artists, return_inverse=True)
    for trial in simulate(embeddings, codes, SCORER, range(9), enrolled=2):
        assert trial.scores.shape == (6 * 4 + 3 * 6, 6)
        assert trial.others == 3
        known = trial.truth != NONE
        assert known.sum() == 24
        # Hands that do not stray: each painting scores highest with its own artist.
        assert (trial.scores[known].argmax(1) == trial.truth[known]).all()
    assert len(names) == 9


def test_rates_are_those_of_a_naive_count() -> None:
    scores = np.array([[3.0, 0.0], [0.0, 3.0], [0.2, 0.1], [3.0, 0.0], [0.0, 0.0]])
    rates = measure([Trial(scores, np.array([0, 0, 1, NONE, NONE]), others=7)], slope=1.0, offset=0.0, threshold=0.5)
    assert (rates.answered, rates.accuracy, rates.false_acceptance) == (2 / 3, 1 / 2, 1 / 2)
    assert rates.first == 1 / 3
    assert (rates.artists, rates.others) == (2, 7)


def test_what_was_learned_holds_for_other_artists() -> None:
    learned = learn_identification(*painted(60, 12, spread=0.9), SCORER)
    embeddings, artists = painted(60, 12, spread=0.9, seed=1)
    _, codes = np.unique(artists, return_inverse=True)
    for n in (1, 5):
        trials = simulate(embeddings, codes, SCORER, range(60), n)
        rule = learned.rules[n]
        rates = measure(trials, rule.slope, rule.offset, rule.threshold)
        assert rates.false_acceptance == pytest.approx(0.1, abs=0.04)
        assert rates.accuracy > rates.first
        found = np.concatenate([learned.probabilities(trial.scores, [n] * 40) for trial in trials])
        truth = np.concatenate([trial.truth for trial in trials])
        known = truth != NONE
        weight = np.where(known, 1 / known.sum(), 1 / (~known).sum()) / 2
        best = found.max(1)
        right = found.argmax(1) == np.where(known, truth, 40)
        for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
            some = (best >= low) & (best < high)
            share = (weight * right)[some].sum() / weight[some].sum()
            assert share == pytest.approx(np.average(best[some], weights=weight[some]), abs=0.1)
    assert learned.rules[5].rates.answered > learned.rules[1].rates.answered


def test_the_same_paintings_give_the_same_rules_and_json_brings_them_back() -> None:
    first, again = (learn_identification(*painted(12, 6, spread=0.5), SCORER) for _ in range(2))
    assert first == again
    assert Identification.from_dict(first.to_dict()) == first
    assert list(first.rules) == [1, 2, 3, 5]
    assert first.rule(4) == first.rules[3]
    assert first.rule(99) == first.rules[5]
    with pytest.raises(MorelliError, match="no rules"):
        Identification.from_dict({"5": {"slope": 1}})
    with pytest.raises(MorelliError, match="between 0 and 1"):
        first.probabilities(np.zeros((1, 2)), [5, 5], prior=1.0)


def test_too_few_artists_teach_nothing() -> None:
    assert learn_identification(*painted(5, 6, spread=0.5), SCORER) is None
    assert learn_identification(*painted(30, 1, spread=0.5), SCORER) is None


def test_a_network_that_knows_nothing_names_hardly_anybody() -> None:
    embeddings = functional.normalize(torch.randn(200, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    learned = learn_identification(embeddings, [f"hand {i % 20}" for i in range(200)], SCORER)
    for n, rule in learned.rules.items():
        probabilities = learned.probabilities(np.linspace(-1, 1, 50)[:, None].repeat(13, 1), [n] * 13)
        assert probabilities[:, -1].min() > 0.3
        assert rule.rates.false_acceptance <= 0.1001


class Counting(CosineScorer):
    """A scorer that counts the scores it gives."""

    scored = 0

    def matrix(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        self.scored += len(a) * len(b)
        return super().matrix(a, b)


def test_of_many_paintings_some_teach_as_well_as_all() -> None:
    embeddings, artists = painted(60, 40, spread=0.9)
    scorer = Counting()
    learned = learn_identification(embeddings, artists, scorer)
    assert scorer.scored <= 5 * 260_000  # all of them are more than eight million
    codes = np.unique(artists, return_inverse=True)[1]
    rule = learned.rules[5]
    rates = measure(simulate(embeddings, codes, SCORER, range(60), 5), rule.slope, rule.offset, rule.threshold)
    assert rates.false_acceptance == pytest.approx(rule.rates.false_acceptance, abs=0.02)
    assert rates.accuracy == pytest.approx(rule.rates.accuracy, abs=0.02)


def test_an_artist_is_the_mean_of_the_paintings() -> None:
    rows = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(artist_embedding(rows, SCORER), torch.tensor([0.5, 0.5]).sqrt())
    torch.testing.assert_close(artist_embedding(rows, DistanceScorer()), torch.tensor([1.0, 0.5]))
