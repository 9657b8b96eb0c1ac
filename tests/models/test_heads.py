"""Heads and pair scorers: row by row, all against all, and both orders give one and the same score."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from morelli.models.heads import (
    ConcatHead,
    CosineScorer,
    DistanceScorer,
    EmbeddingHead,
    HeadConfig,
    PairHead,
    Scorer,
)

SCORERS = ("CosineScorer", "DistanceScorer", "PairHead", "ConcatHead")


def make_scorer(name: str, width: int, seed: int = 0) -> Scorer:
    torch.manual_seed(seed)
    made: dict[str, Scorer] = {
        "CosineScorer": CosineScorer(),
        "DistanceScorer": DistanceScorer(),
        "PairHead": PairHead(width, hidden=5),
        "ConcatHead": ConcatHead(width),
    }
    return made[name].eval()


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (17, 40), (2, 2100)])
@torch.no_grad()
def test_all_against_all_is_row_by_row(name: str, rows: int, columns: int) -> None:
    scorer = make_scorer(name, 6)
    a, b = normal(rows, 6, seed=1), normal(columns, 6, seed=2)

    scores = scorer.matrix(a, b)

    assert scores.shape == (rows, columns)
    expected = torch.stack([scorer.pairwise_distance(a[row].expand_as(b), b) for row in range(rows)])
    torch.testing.assert_close(scores, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", SCORERS)
@torch.no_grad()
def test_all_against_all_of_nothing(name: str) -> None:
    scorer = make_scorer(name, 4)

    assert scorer.matrix(torch.empty(0, 4), normal(3, 4, seed=0)).shape == (0, 3)
    assert scorer.matrix(normal(3, 4, seed=0), torch.empty(0, 4)).shape == (3, 0)


@pytest.mark.parametrize("name", SCORERS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20), width=st.integers(1, 9), rows=st.integers(1, 12), scale=st.sampled_from([1e-3, 1.0, 30])
)
@torch.no_grad()
def test_scores_are_symmetric(name: str, seed: int, width: int, rows: int, scale: float) -> None:
    scorer = make_scorer(name, width, seed)
    a, b = scale * normal(rows, width, seed=seed), scale * normal(rows, width, seed=seed + 1)

    torch.testing.assert_close(scorer.pairwise_distance(a, b), scorer.pairwise_distance(b, a), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scorer.matrix(a, b), scorer.matrix(b, a).T, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_painting_has_distance_zero_to_itself() -> None:
    embeddings = 50 + normal(60, 16, seed=3)

    scores = DistanceScorer().matrix(embeddings, embeddings)

    assert scores.diagonal().abs().max() == 0
    assert scores[~torch.eye(60, dtype=torch.bool)].max() < 0


@torch.no_grad()
def test_cosine_and_distance_are_the_textbook_ones() -> None:
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])

    assert CosineScorer().pairwise_distance(a, b).item() == pytest.approx(24 / 25)
    assert DistanceScorer().pairwise_distance(a, b).item() == pytest.approx(-(2**0.5))


@torch.no_grad()
def test_pair_head_is_an_mlp_on_difference_and_product() -> None:
    head = PairHead(6, hidden=5)
    a, b = normal(8, 6, seed=1), normal(8, 6, seed=2)
    first = nn.Linear(12, 5)
    first.weight.copy_(torch.cat([head.difference.weight, head.product.weight], dim=1))
    first.bias.copy_(head.difference.bias)

    naive = head.out(torch.relu(first(torch.cat([(a - b).abs(), a * b], dim=1)))).squeeze(1)

    torch.testing.assert_close(head.pairwise_distance(a, b), naive)


@torch.no_grad()
def test_concat_head_is_the_mean_over_both_orders_of_an_mlp_on_both_embeddings() -> None:
    head = ConcatHead(70).eval()
    a, b = normal(8, 70, seed=1), normal(8, 70, seed=2)
    first = nn.Linear(140, 70)
    first.weight.copy_(torch.cat([head.left.weight, head.right.weight], dim=1))
    first.bias.copy_(head.left.bias)

    def naive(left: Tensor, right: Tensor) -> Tensor:
        return head.rest(first(torch.cat([left, right], dim=1))).squeeze(1)

    assert not torch.allclose(naive(a, b), naive(b, a))
    torch.testing.assert_close(head.one_order(a, b), naive(a, b))
    torch.testing.assert_close(head.pairwise_distance(a, b), (naive(a, b) + naive(b, a)) / 2)


def test_concat_head_has_the_seed_projects_layers() -> None:
    head = ConcatHead(512).eval()
    widths = [layer.weight.shape for layer in head.rest if isinstance(layer, nn.Linear)]

    assert head.left.weight.shape == head.right.weight.shape == (512, 512)
    assert widths == [(after, before) for before, after in pairwise((512, 256, 128, 64, 32, 1))]


def test_pair_head_scores_all_against_all_without_a_graph() -> None:
    embeddings = normal(20, 6, seed=1).requires_grad_()

    assert not PairHead(6).matrix(embeddings, embeddings).requires_grad


def test_embedding_head_gives_vectors_of_length_one() -> None:
    head = EmbeddingHead(10, HeadConfig(hidden=(7,), width=4)).eval()

    embeddings = head(normal(5, 10, seed=0))

    assert embeddings.shape == (5, 4)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))


def test_embedding_head_can_leave_the_length_alone() -> None:
    config = HeadConfig(hidden=(), width=4, normalise=False)
    head = EmbeddingHead(10, config).eval()

    assert not torch.allclose(head(normal(5, 10, seed=0)).norm(dim=1), torch.ones(5))
    assert [type(layer).__name__ for layer in head.layers] == ["Dropout", "Linear"]


def test_without_layers_features_are_standardised_on_training_features() -> None:
    training = 5 + 3 * normal(50, 6, seed=0)
    training[:, 2] = 7  # a feature that never changes must not divide by zero
    head = EmbeddingHead(6, None)
    head.standardise(training)

    embeddings = head(training)

    standardised = (training - training.mean(0)) / training.std(0).clamp_min(1e-6)
    torch.testing.assert_close(embeddings, standardised / standardised.norm(dim=1, keepdim=True))
    assert torch.isfinite(embeddings).all()
    assert head.width == 6


def test_standardisation_can_be_left_out() -> None:
    head = EmbeddingHead(6, HeadConfig(hidden=(), width=None, standardise=False, normalise=False))
    features = normal(5, 6, seed=0)
    head.standardise(features)

    assert torch.equal(head(features), features)


def test_each_layer_can_have_its_own_dropout() -> None:
    head = EmbeddingHead(6, HeadConfig(hidden=(5, 4), width=3, dropout=(0.5, 0.3, 0.0)))

    assert [layer.p for layer in head.layers if isinstance(layer, nn.Dropout)] == [0.5, 0.3, 0.0]
    widths = [tuple(layer.weight.shape) for layer in head.layers if isinstance(layer, nn.Linear)]
    assert widths == [(5, 6), (4, 5), (3, 4)]


def test_views_of_a_picture_give_the_mean_of_their_embeddings() -> None:
    head = EmbeddingHead(6, HeadConfig(hidden=(5,), width=4)).eval()
    views = 1 + 2 * normal(8, 3, 6, seed=0)
    head.standardise(views)

    embeddings = head(views)

    torch.testing.assert_close(head.centre, views.view(24, 6).mean(0))
    mean = torch.stack([head(views[:, view]) for view in range(3)]).mean(0)
    torch.testing.assert_close(embeddings, mean / mean.norm(dim=1, keepdim=True))
    plain = EmbeddingHead(6, HeadConfig(hidden=(), width=4, normalise=False)).eval()
    torch.testing.assert_close(plain(views), torch.stack([plain(views[:, view]) for view in range(3)]).mean(0))


@pytest.mark.parametrize("views", [None, 3])
def test_untrained_features_stand_behind_the_trained_embedding(views: int | None) -> None:
    features = normal(40, 9, seed=0) if views is None else normal(40, views, 9, seed=0)
    torch.manual_seed(0)
    alone = EmbeddingHead(9, HeadConfig(hidden=(5,), width=4)).eval()
    torch.manual_seed(0)
    head = EmbeddingHead(9, HeadConfig(hidden=(5,), width=4, untrained_weight=0.5, untrained_width=6))
    alone.standardise(features)
    head.standardise(features)

    trained = head(features)
    both = head.eval()(features)

    assert torch.equal(trained, alone(features))
    assert both.shape == (40, 10) == (40, head.width)
    rows = EmbeddingHead(9, None)
    rows.standardise(features)
    untrained = half_whitened(rows(features), 6)
    cosines = (trained @ trained.T + 0.25 * untrained @ untrained.T) / 1.25
    torch.testing.assert_close(both @ both.T, cosines, atol=1e-4, rtol=1e-4)


def half_whitened(rows: Tensor, width: int) -> Tensor:
    centred = rows - rows.mean(0)
    left, deviations, _ = torch.linalg.svd(centred, full_matrices=False)
    coordinates = left[:, :width] * deviations[:width] ** 0.5
    return coordinates / coordinates.norm(dim=1, keepdim=True)


def test_fewer_paintings_than_axes_leave_the_rest_empty() -> None:
    head = EmbeddingHead(9, HeadConfig(hidden=(), width=4, untrained_weight=1.0, untrained_width=7))
    head.standardise(normal(5, 9, seed=0))

    embeddings = head.eval()(normal(3, 9, seed=1))

    assert embeddings.shape == (3, 11)
    assert torch.isfinite(embeddings).all()
    assert not embeddings[:, 9:].any()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hidden": (), "width": None, "keep": 0.5}, "untrained_weight sets features behind a trained embedding"),
        ({"normalise": False, "keep": 0.5}, "untrained_weight sets features behind a trained embedding"),
        ({"keep": -1}, "greater than or equal to 0"),
        ({"dropout": (0.5,)}, "dropout names 1 layers, but there are 2"),
        ({"dropout": 1.0}, "at least 0 and below 1"),
        ({"dropout": (-0.1, 0.2)}, "at least 0 and below 1"),
        ({"width": None}, "it goes with hidden"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_head_that_cannot_be_is_refused(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        HeadConfig.model_validate(changes)


def test_features_kept_of_few_paintings_are_not_drowned_in_the_noise_of_one_axis() -> None:
    """Twelve rows spread along eleven axes; a twelfth has no spread but rounding, which must not be blown up."""
    random = torch.Generator().manual_seed(0)
    head = EmbeddingHead(64, HeadConfig(hidden=(8,), width=32, untrained_weight=0.7)).eval()
    head.standardise(torch.randn(12, 64, generator=random))
    lengths = head.axes.norm(dim=0)
    used = lengths[lengths > 0]
    assert len(used) == 11
    assert used.max() < 2 * used.min()


def test_a_feature_that_hardly_varies_among_few_paintings_does_not_drown_the_others() -> None:
    training = torch.randn(12, 40, generator=torch.Generator().manual_seed(0))
    training[:, 3] = 0.5  # the same in all of them
    training[:, 4] *= 1e-4
    head = EmbeddingHead(40, None)
    head.standardise(training)

    other = torch.randn(30, 40, generator=torch.Generator().manual_seed(1))
    assert head(other).square()[:, 3:5].sum(1).mean() < 0.6  # of a length of 1; it was 0.999
    assert head.spread[3] == head.spread[4] == pytest.approx(float(training.std(0).median()) / 12**0.5)
    assert torch.equal(head.spread[5:], training.std(0)[5:])
