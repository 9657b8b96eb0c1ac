"""Dry run: a few steps of a loss and its miner, so that what cannot be trained is refused before any training."""

import copy
from typing import TYPE_CHECKING

import torch
from pytorch_metric_learning.losses import SmoothAPLoss
from pytorch_metric_learning.miners import EmbeddingsAlreadyPackagedAsTriplets
from torch import Tensor, nn
from torch.nn import functional

from morelli.errors import MorelliError
from morelli.training.config import ObjectiveConfig, Sampling
from morelli.training.pair_loss import EmbeddingsAlreadyPackagedAsPairs

if TYPE_CHECKING:
    from morelli.training.objectives import Objective, TrainingSetup

PACKAGED: dict[Sampling, type[nn.Module]] = {
    "triplets": EmbeddingsAlreadyPackagedAsTriplets,
    "pairs": EmbeddingsAlreadyPackagedAsPairs,
}
"""The miner of each sampling whose batches are consecutive tuples; on any other batch it would misread them."""
_LATE = 10**6
_STEPS = 3  # one that keeps the graph of a step fails at the second, DynamicSoftMarginLoss among them


def refuse_untrainable(objective: "Objective", config: ObjectiveConfig, setup: "TrainingSetup") -> None:
    """Train a copy of an objective on random embeddings for a few steps, on batches as those of a late epoch.

    Raises:
        MorelliError: it fails, or it would read the batches wrongly; the message has the reason.
    """
    named = f"The loss {config.loss or config.kind}" + (f" with the miner {config.miner}" if config.miner else "")
    sampling, m = setup.sampling, setup.m
    for part in objective.modules():
        for fitting, miner in PACKAGED.items():
            if isinstance(part, miner) and sampling != fitting:
                raise MorelliError(
                    f"{named} reads each batch as {fitting} laid end to end, which batches of sampling={sampling} are "
                    f"not. Set training.sampling={fitting}, or choose another miner."
                )
        if isinstance(part, SmoothAPLoss) and (sampling != "balanced" or setup.batch_size != m * m):
            raise MorelliError(
                f"{named} reads a batch rightly only if it holds m artists with m paintings each. Set "
                f"training.sampling=balanced and training.batch_size={m * m} with m={m}, or choose FastAPLoss."
            )
    with torch.random.fork_rng(devices=[]):
        try:
            tried = copy.deepcopy(objective).train()
            tried.epoch = _LATE
            _train(tried, setup.width, _batch(setup.artists, sampling, m, setup.batch_size))
        except Exception as error:  # whatever PML raises, the arguments are at fault
            raise MorelliError(
                f"{named} does not work on embeddings and labels: {type(error).__name__}: {_first_sentence(error)}. "
                "Check the values of its arguments, or choose another loss."
            ) from error


def _first_sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0].removesuffix(".")


def _batch(artists: int, sampling: Sampling, m: int, batch_size: int) -> Tensor:
    """Labels as training would draw them; the highest is among them."""
    if sampling == "triplets":
        return torch.tensor([artists - 1, artists - 1, 0] * batch_size)
    if sampling == "pairs":
        return torch.tensor([artists - 1, artists - 1, artists - 1, 0] * batch_size)[: 2 * batch_size]
    return artists - 1 - torch.arange(min(batch_size, m * artists)) // m


def _train(objective: nn.Module, width: int, labels: Tensor) -> None:
    points = nn.Parameter(torch.randn(len(labels), width))
    optimiser = torch.optim.SGD([points, *objective.parameters()], lr=1e-3)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        loss, _ = objective(functional.normalize(points, dim=1), labels)
        if not isinstance(loss, Tensor) or loss.ndim:
            raise TypeError(f"it gives a {type(loss).__name__}, not one number")
        if not torch.isfinite(loss):
            raise ValueError(f"it becomes {loss.item()}")
        torch.autograd.backward(loss)
        optimiser.step()
