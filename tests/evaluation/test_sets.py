"""Two sets of paintings: drawn apart, scored by their means, and calibrated for their sizes."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from morelli.evaluation.calibration import calibrate
from morelli.evaluation.likelihood_ratios import cllr_costs
from morelli.evaluation.normalisation import FolderScorer
from morelli.evaluation.sets import SIZES, learn_sets, simulate, sizes_of
from morelli.models.heads import CosineScorer, DistanceScorer

COSINE = CosineScorer()


def painted(artists: int, paintings: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    random = np.random.default_rng(seed)
    hands = np.repeat(np.arange(artists), paintings)
    embeddings = random.normal(size=(artists, 16))[hands] + 1.5 * random.normal(size=(len(hands), 16))
    return torch.from_numpy(embeddings).float(), [f"hand {hand}" for hand in hands]


@pytest.mark.parametrize("scorer", [COSINE, DistanceScorer()])
def test_sets_of_one_artist_share_no_painting_and_are_scored_by_their_means(scorer) -> None:
    embeddings, artists = painted(6, 7, 0)
    seen: list[torch.Tensor] = []

    class Noting(type(scorer)):
        def matrix(self, a, b):
            seen.append((a, b))
            return super().matrix(a, b)

    drawn = list(simulate(embeddings, artists, Noting(), 2, 3, draws=4))
    assert len(drawn) == 4
    for (names, scores), (first, second) in zip(drawn, seen, strict=True):
        assert names == sorted(set(artists))
        for i, name in enumerate(names):
            rows = [row for row, artist in enumerate(artists) if artist == name]
            mean = [
                embeddings[rows].double()
                if isinstance(scorer, DistanceScorer)
                else functional.normalize(embeddings[rows].double())
            ]
            pairs = {
                (a, b)
                for a in range(7)
                for b in range(7)
                if a < b and torch.allclose(_unit(mean[0][[a, b]].mean(0), scorer), first[i].double(), atol=1e-5)
            }
            triples = {
                (a, b, c)
                for a in range(7)
                for b in range(7)
                for c in range(7)
                if a < b < c
                and torch.allclose(_unit(mean[0][[a, b, c]].mean(0), scorer), second[i].double(), atol=1e-5)
            }
            assert len(pairs) == len(triples) == 1
            assert not set(pairs.pop()) & set(triples.pop())
        wanted = scorer.matrix(first, second)
        assert np.allclose(scores, wanted.numpy(), atol=1e-5)


def _unit(mean: torch.Tensor, scorer) -> torch.Tensor:
    return mean if isinstance(scorer, DistanceScorer) else functional.normalize(mean, dim=0)


def test_each_size_has_the_calibration_of_its_draws() -> None:
    group = (*painted(12, 8, 1), COSINE)
    learned = learn_sets([group], "platt", draws=3)
    assert set(learned) == {"1-2", "1-3", "1-5", "2-2", "2-3", "2-5", "3-3", "3-5"}
    drawn = [scores for _, scores in simulate(*group, 2, 3, draws=3)]
    same = np.concatenate([np.diag(scores) for scores in drawn])
    different = np.concatenate([scores[~np.eye(12, dtype=bool)] for scores in drawn])
    wanted = calibrate(same, different, sorted(set(group[1])), rates=())
    assert learned["2-3"].slope == pytest.approx(wanted.slope)
    assert learned["2-3"].bounds == wanted.bounds
    assert learned["2-3"].covariance is not None
    assert list(learned["2-3"].thresholds) == ["balanced"]


@pytest.mark.parametrize("own", [False, True])
def test_ratios_of_sets_hold_on_other_artists(own: bool) -> None:
    def group(seed: int):
        embeddings, artists = painted(60, 12, seed)
        return embeddings, artists, FolderScorer(COSINE, embeddings) if own else COSINE

    learned, others = learn_sets([group(2)], "platt"), group(3)
    costs = {}
    for sizes in ("1-2", "3-3", "5-5"):
        drawn = [scores for _, scores in simulate(*others, *map(int, sizes.split("-")))]
        same = np.concatenate([np.diag(scores) for scores in drawn])
        different = np.concatenate([scores[~np.eye(60, dtype=bool)] for scores in drawn])

        def cost(calibration, same=same, different=different):
            ratios = (calibration.log_likelihood_ratio(one) for one in (same, different))
            return sum(cllr_costs(one, same=kind).mean() for one, kind in zip(ratios, (True, False), strict=True)) / 2

        costs[sizes] = cost(learned[sizes])
        assert costs[sizes] < cost(calibrate(same, different, map(str, range(60)))) + 0.03
    assert costs["1-2"] > costs["3-3"] > costs["5-5"]


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [((1, 2), (1, 2)), ((4, 2), (3, 2)), ((9, 40), (5, 10)), ((100, 1), (10, 1)), ((10, 10), (10, 10))],
)
def test_a_size_in_between_counts_as_the_next_smaller(counts, wanted) -> None:
    learned = dict.fromkeys(f"{a}-{b}" for a in SIZES for b in SIZES if a <= b and (a, b) != (1, 1))
    assert sizes_of(learned, *counts) == wanted
    assert sizes_of({}, *counts) is None
    assert sizes_of({"1-2": None}, *counts) in ((1, 2), (2, 1))


def test_too_few_artists_or_paintings_learn_nothing() -> None:
    assert learn_sets([(*painted(4, 8, 0), COSINE)], "platt") == {}
    assert learn_sets([(*painted(20, 2, 0), COSINE)], "platt") == {}
