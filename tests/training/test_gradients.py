"""One step's gradients in chunks: those of the whole batch, under the same random draws."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from morelli.training.fit import create_accelerator
from morelli.training.gradients import whole_batch_backward
from morelli.training.objectives import Objective, ObjectiveConfig, create_objective

LABELS = torch.arange(10) // 2
PICTURES = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))


class Views(nn.Module):
    """A network that takes two views of a picture."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.rows: list[int] = []

    def forward(self, views: tuple[Tensor, Tensor]) -> Tensor:
        self.rows.append(len(views[0]))
        embeddings: Tensor = self.net(views[0]) + self.net(views[1])
        return embeddings


def made(kind: str, dropout: float) -> tuple[Views, Objective]:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 16), nn.Dropout(dropout), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 8))
    objective = create_objective(ObjectiveConfig.model_validate(kind), width=8, artists=5, normalised=False)
    assert objective is not None
    return Views(net), objective


def gradients(*parts: nn.Module) -> list[Tensor]:
    return [p.grad for part in parts for p in part.parameters() if p.grad is not None]


def assert_close(left: list[Tensor], right: list[Tensor]) -> None:
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def backward(model: nn.Module, objective: nn.Module, **options: Any) -> Tensor:
    torch.manual_seed(4)
    accelerator = create_accelerator("no")
    return whole_batch_backward(model, objective, (PICTURES, 2 * PICTURES), LABELS, accelerator, **options)[0]


@pytest.mark.parametrize("kind", ["triplet", "bce-pair", "bce-onehot"])
@pytest.mark.parametrize("chunk", [1, 3, 10, 99])
def test_chunks_give_the_gradients_of_the_whole_batch(kind: str, chunk: int) -> None:
    whole, chunked = made(kind, 0.0), made(kind, 0.0)
    assert float(backward(*whole)) == pytest.approx(float(backward(*chunked, chunk=chunk)), rel=1e-5)
    assert_close(gradients(*whole), gradients(*chunked))
    assert max(chunked[0].rows) == min(chunk, 10)


@pytest.mark.parametrize("kind", ["triplet", "bce-concat"])
def test_dropout_is_drawn_again_as_it_was(kind: str) -> None:
    """The reference keeps the graphs of all chunks and goes back through them once."""
    kept, chunked = made(kind, 0.5), made(kind, 0.5)
    torch.manual_seed(4)
    parts = [kept[0]((PICTURES[i : i + 4], 2 * PICTURES[i : i + 4])) for i in (0, 4, 8)]
    loss, _ = kept[1](torch.cat(parts), LABELS)
    loss.backward()
    after = torch.get_rng_state()

    assert float(backward(*chunked, chunk=4)) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert_close(gradients(*kept), gradients(*chunked))
    assert torch.equal(torch.get_rng_state(), after), "the next step must not draw the same again"


def test_rows_that_only_fill_up_do_not_count() -> None:
    whole, filled = made("triplet", 0.0), made("triplet", 0.0)
    torch.manual_seed(4)
    loss, _ = whole[1](whole[0]((PICTURES[:6], 2 * PICTURES[:6])), LABELS[:6])
    loss.backward()
    backward(*filled, size=6)
    assert_close(gradients(*whole), gradients(*filled))


def test_a_network_without_weights_leaves_the_objective_to_learn() -> None:
    _, objective = made("bce-onehot", 0.0)
    nothing = nn.Linear(6, 8).requires_grad_(False)
    backward(Views(nothing), objective)
    assert gradients(nothing) == []
    assert len(gradients(objective)) == 3
