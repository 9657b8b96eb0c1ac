"""The one-hot classifier is a pytorch-metric-learning loss: arguments, weights, regularisers and refusals."""

from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import CrossBatchMemory, MultipleLosses, SupConLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import SumReducer
from pytorch_metric_learning.regularizers import LpRegularizer, RegularFaceRegularizer
from torch import Tensor
from torch.nn import functional

from morelli import OneHotLoss
from morelli.errors import InputError, MorelliError

ARTISTS, WIDTH = 4, 8
LABELS = torch.arange(16) % ARTISTS


def embeddings(seed: int = 0) -> Tensor:
    drawn = torch.randn(len(LABELS), WIDTH, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1).requires_grad_()


def made(**options: Any) -> OneHotLoss:
    torch.manual_seed(0)
    return OneHotLoss(num_classes=ARTISTS, embedding_size=WIDTH, **options)


def naive(loss: OneHotLoss, points: Tensor) -> Tensor:
    """(B,) each painting's binary cross entropies, summed over the artists."""
    chances = torch.sigmoid(loss.get_logits(points)).clamp(1e-7, 1 - 1e-7)
    own = functional.one_hot(LABELS, ARTISTS).bool()
    return -torch.where(own, chances, 1 - chances).log().sum(1)


@torch.no_grad()
def test_it_is_the_naive_sum_over_artists() -> None:
    loss, points = made(), embeddings()

    assert float(loss(points, LABELS)) == pytest.approx(float(naive(loss, points).mean()), rel=1e-4)
    guessed = loss.get_logits(points).argmax(1)
    assert float(loss.classifier_accuracy) == pytest.approx(float((guessed == LABELS).float().mean()))


def test_a_miner_weighs_paintings_and_pmls_reducers_and_regularisers_apply() -> None:
    points = embeddings()
    loss = made()
    mined = BatchHardMiner()(points, LABELS)
    counts = torch.bincount(torch.cat(mined), minlength=len(LABELS)).float()
    expected = (naive(loss, points) * counts / counts.max()).mean()
    torch.testing.assert_close(loss(points, LABELS, mined), expected, rtol=1e-4, atol=1e-4)

    torch.testing.assert_close(made(reducer=SumReducer())(points, LABELS), naive(loss, points).sum(), rtol=1e-4, atol=0)
    more = made(
        embedding_regularizer=LpRegularizer(p=2),
        embedding_reg_weight=0.5,
        weight_regularizer=RegularFaceRegularizer(),
        weight_reg_weight=0.25,
    )
    added = 0.5 * LpRegularizer(p=2)(points) + 0.25 * RegularFaceRegularizer()(loss.classifier.weight)
    torch.testing.assert_close(more(points, LABELS), loss(points, LABELS) + added)


def test_it_stands_beside_other_losses_and_learns() -> None:
    points = torch.nn.Parameter(embeddings().detach())
    both = MultipleLosses({"classes": made(), "pairs": SupConLoss()}, weights={"classes": 1.0, "pairs": 0.5})
    torch.testing.assert_close(both(points, LABELS), made()(points, LABELS) + 0.5 * SupConLoss()(points, LABELS))
    optimiser = torch.optim.Adam([points, *both.parameters()], lr=0.05)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = both(points, LABELS)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_weights_can_be_drawn_in_another_way() -> None:
    assert made(weight_init_func=torch.nn.init.zeros_).classifier.weight.abs().max() == 0
    assert made().classifier.weight.abs().max() > 0


def test_precision_is_that_of_its_own_weights() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        points = embeddings().detach().to(dtype)
        torch.testing.assert_close(made()(points, LABELS).float(), made()(points.float(), LABELS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, "whole labels from 0 to 3"),
        (LABELS - 1, "whole labels from 0 to 3"),
        (LABELS + 0.5, "whole labels from 0 to 3"),
        (LABELS[:3], "one label for each row: 16 embeddings, but 3 labels"),
        (LABELS.tolist(), r"labels as a tensor, \(B,\); list was given"),
        (LABELS[:, None], r"of shape \(16, 1\)"),
        (None, "labels are required"),
    ],
)
def test_labels_that_do_not_fit_are_one_sentence(labels: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        made()(embeddings(), labels)
    assert labels is None or isinstance(raised.value, MorelliError)


def test_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(ValueError, match="ref_emb is not supported"):
        made()(embeddings(), LABELS, None, embeddings(1), LABELS)
    with pytest.raises(Exception, match="not supported for OneHotLoss"):
        CrossBatchMemory(made(), WIDTH)
    with pytest.raises(InputError, match=r"embeddings as a tensor of floating-point numbers, \(B, D\)"):
        made()(torch.zeros(16, 2, WIDTH), LABELS)
