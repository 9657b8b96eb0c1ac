"""Cohort normalisation: by its formulas, on a hub it is meant for, and never with a measured artist in the cohort."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import MorelliError
from morelli.evaluation import pairs
from morelli.evaluation.evaluate import evaluate
from morelli.evaluation.normalisation import METHODS, CohortScorer, FolderScorer, choose_cohort
from morelli.models.heads import ConcatHead, CosineScorer, DistanceScorer

COSINE = CosineScorer()


def vectors(rows: int, seed: int, width: int = 6) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def naive(x: np.ndarray, y: np.ndarray, cohort: np.ndarray, method: str, k: int) -> float:
    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    near = [np.sort([cosine(side, member) for member in cohort])[-k:] for side in (x, y)]
    if method == "csls":
        return 2 * cosine(x, y) - near[0].mean() - near[1].mean()
    return sum((cosine(x, y) - side.mean()) / side.std(ddof=1) / 2 for side in near)


@given(st.integers(0, 9999), st.sampled_from(METHODS), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_scores_follow_the_formula_and_are_symmetric(seed, method, k):
    a, b, cohort = vectors(4, seed), vectors(5, seed + 1), vectors(9, seed + 2)
    scorer = CohortScorer(COSINE, cohort, ["Anker"], method=method, k=k)
    matrix = scorer.matrix(a, b)
    for i in range(4):
        for j in range(5):
            wanted = naive(*(t.double().numpy() for t in (a[i], b[j], cohort)), method, k)
            assert matrix[i, j].item() == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    torch.testing.assert_close(scorer.matrix(b, a).T, matrix, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scorer.pairwise_distance(a, b[:4]), matrix.diagonal(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_painting_close_to_everything_stops_winning(method):
    """Half of all paintings share a direction, which says nothing of the hand and raises their scores."""
    random = np.random.default_rng(0)

    def painted(artists: int, name: str) -> tuple[torch.Tensor, pd.DataFrame]:
        hands = np.repeat(np.arange(artists), 8)
        x = random.normal(size=(artists, 12))[hands] + random.normal(size=(len(hands), 12))
        x[:, 0] += 4 * (random.random(len(hands)) < 0.5)
        return torch.from_numpy(x).float(), pd.DataFrame({"artist": [f"{name} {hand}" for hand in hands]})

    cohort, table = painted(60, "Cohort")
    scorer = CohortScorer(COSINE, cohort, table["artist"].tolist(), method=method, k=30)
    result = evaluate(*painted(40, "Unseen"), COSINE, normalised={method: scorer})
    assert result.metrics[f"pair_auc_{method}"] > result.metrics["pair_auc"] + 0.01
    assert f"eer_{method}" in result.intervals


def test_the_cohort_is_saved_with_the_module():
    scorer = CohortScorer(COSINE, vectors(9, 0), ["Anker"])
    again = CohortScorer(COSINE, torch.ones(9, 6), ["Anker"])
    again.load_state_dict(scorer.state_dict())
    assert torch.equal(again.matrix(vectors(3, 1), vectors(3, 2)), scorer.matrix(vectors(3, 1), vectors(3, 2)))


@pytest.mark.parametrize("spelling", ["Edgar Dégas", "edgar degas", "EDGAR  DEGAS "])
@pytest.mark.parametrize("beside", [True, False])
def test_no_evaluated_artist_can_be_in_the_cohort(spelling, beside):
    scorer = CohortScorer(COSINE, vectors(9, 0), ["Edgar Degas", "Anker"])
    table = pd.DataFrame({"artist": [spelling] * 3 + ["Böcklin"] * 3})
    arguments = {"scorer": COSINE, "normalised": {"csls": scorer}} if beside else {"scorer": scorer}
    with pytest.raises(MorelliError, match="also in the cohort"):
        evaluate(vectors(6, 1), table, **arguments)


def test_retrieval_stays_with_the_network_s_own_geometry():
    embeddings, table = vectors(40, 0), pd.DataFrame({"artist": [f"{i % 8}" for i in range(40)]})
    for base in (COSINE, DistanceScorer()):
        own, normalised = (
            evaluate(embeddings, table, s) for s in (base, CohortScorer(base, vectors(30, 1), ["Cohort"]))
        )
        assert own.metrics["r_precision"] == normalised.metrics["r_precision"]
        assert own.metrics["pair_auc"] != normalised.metrics["pair_auc"]


def test_a_cohort_is_drawn_evenly_over_artists_and_again_the_same():
    table = pd.DataFrame({"artist": ["Prolific"] * 900 + [f"Artist {i}" for i in range(100)]})
    cohort = choose_cohort(table, size=150)
    assert len(cohort) == cohort.index.nunique() == 150
    assert cohort["artist"].nunique() == 101
    assert (cohort["artist"] == "Prolific").sum() == 50
    assert choose_cohort(table, size=150).equals(cohort)
    assert len(choose_cohort(table, size=5000)) == 1000


@pytest.mark.parametrize("exact_pairs", [10_000_000, 100])
@pytest.mark.parametrize("method", METHODS)
def test_beside_the_own_scores_it_measures_what_it_does_alone(method, exact_pairs, monkeypatch):
    monkeypatch.setattr(pairs, "EXACT_PAIRS", exact_pairs)
    monkeypatch.setattr(pairs, "KEPT_SCORES", exact_pairs)
    embeddings, table = vectors(60, 0), pd.DataFrame({"artist": [f"{i % 8}" for i in range(60)]})
    head = ConcatHead(6, dropout=0.9).eval()
    scorer = CohortScorer(head, vectors(30, 1), ["Cohort"], method=method)
    alone = evaluate(embeddings, table, scorer).metrics
    for own in (head, COSINE):
        beside = evaluate(embeddings, table, own, normalised={"it": scorer}).metrics
        for metric in ("pair_auc", "eer", "recall_at_far_0.1"):
            assert beside[f"{metric}_it"] == pytest.approx(alone[metric], abs=1e-4)
    assert not head.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "cls"}, 'Did you mean "csls"'),
        ({"k": 0}, "at least 1 cohort"),
        ({"method": "s-norm", "k": 1}, "at least 2 cohort"),
        ({"artists": []}, "names of its artists"),
        ({"cohort": torch.full((3, 6), torch.nan)}, "cohort painting row 0"),
        ({"cohort": torch.zeros(0, 6)}, "shape"),
    ],
)
def test_a_cohort_that_cannot_serve_is_refused(change, message):
    with pytest.raises(MorelliError, match=message):
        CohortScorer(**({"base": COSINE, "cohort": vectors(9, 0), "artists": ["Anker"]} | change))


@pytest.mark.parametrize("base", [CosineScorer(), DistanceScorer()])
def test_a_folders_pictures_normalise_by_their_definition(base) -> None:
    folder, others = vectors(30, 20), vectors(4, 21)
    scorer = FolderScorer(base, folder)
    embeddings = torch.cat([folder[:3], others])
    found = scorer.matrix(embeddings, embeddings)
    for i, x in enumerate(embeddings):
        for j, y in enumerate(embeddings):
            sides = []
            for one in (x, y):
                among = [float(base.pairwise_distance(one, other)) for other in folder if not torch.equal(one, other)]
                sides.append((float(base.pairwise_distance(x, y)) - np.mean(among)) / np.std(among))
            assert float(found[i, j]) == pytest.approx(np.mean(sides), abs=1e-3)
    assert torch.allclose(
        scorer.pairwise_distance(embeddings[:3], embeddings[3:6]), found[:3, 3:6].diagonal(), atol=1e-4
    )


def test_what_a_folder_has_in_common_is_taken_off() -> None:
    pictures = vectors(300, 22, 8)
    alike = pictures + torch.full((8,), 2.0)  # as of one maker of reproductions
    scores = [FolderScorer(CosineScorer(), one).matrix(one[:50], one[50:]) for one in (pictures, alike)]
    own = [CosineScorer().matrix(one[:50], one[50:]) for one in (pictures, alike)]
    assert abs(own[0].mean() - own[1].mean()) > 0.5
    assert abs(scores[0].mean() - scores[1].mean()) < 0.05


def test_a_large_folder_counts_by_some_of_its_pictures() -> None:
    folder = vectors(9_000, 23, 4)
    scorer = FolderScorer(CosineScorer(), folder)
    few, everyone = scorer.closeness(folder[:10]), CosineScorer().matrix(folder[:10], folder)
    assert scorer.pictures == 9_000
    assert torch.allclose(few[:, 0], everyone.mean(1), atol=0.05)
    assert torch.allclose(few[:, 1], everyone.std(1), atol=0.05)


def test_a_folder_of_few_pictures_is_refused() -> None:
    with pytest.raises(MorelliError, match="A cohort of 19 pictures is too small"):
        FolderScorer(CosineScorer(), vectors(19, 24, 4))
