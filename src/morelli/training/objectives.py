"""Objectives: what training makes small, and how the finished network scores a pair."""

from collections.abc import Mapping, Sequence

import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn

from morelli.data.artists import Kind
from morelli.errors import MorelliError
from morelli.models.heads import CosineScorer, DistanceScorer, Scorer
from morelli.training.config import ObjectiveConfig, Sampling
from morelli.training.loss_factory import make_part
from morelli.training.one_hot_loss import OneHotLoss
from morelli.training.pair_loss import PairLoss
from morelli.training.trial import PACKAGED, refuse_untrainable

_LOSSES = {
    "bce-pair": {"name": "PairLoss", "distance": "PairHead"},
    "bce-concat": {"name": "PairLoss", "distance": "ConcatHead"},
    "bce-onehot": {"name": "OneHotLoss"},
}
"""The loss that a kind stands for; its arguments can be set under ``loss``."""


class Objective(nn.Module):
    """What training makes small: a pytorch-metric-learning loss on what its miner finds; ``scorer`` scores pairs after.

    Args:
        loss: embeddings (B, D), artist numbers (B,) and the miner's tuple or None → loss.
        miner: embeddings and artist numbers → a tuple; None for none.
        scorer: of the finished network; weights of its own are trained with the loss that they are part of.
    """

    epoch: int = 0
    """That of the training, counted from 0; training sets it."""
    found: int = 0
    """Tuples that the miner has found so far."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None, scorer: Scorer) -> None:
        super().__init__()
        self.loss, self.miner, self.scorer = loss, miner, scorer

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (B, D) and artist numbers (B,) → loss, and figures to log, which stay on the device."""
        mined = None if self.miner is None else self.miner(embeddings, labels)
        if mined is not None:
            self.found += sum(len(part) for part in mined[::2])
        return self.loss(embeddings, labels, mined), self._figures(embeddings.detach(), labels)

    def why_zero(self) -> str:
        """What to say of a loss that was zero at every step of the first epoch."""
        loss, miner = type(self.loss).__name__, type(self.miner).__name__
        if self.miner is not None and not self.found:
            return (
                f"The loss {loss} was zero throughout the first epoch, so nothing was learned: its miner {miner} found "
                "nothing in any batch. Choose another type_of_triplets, margin or epsilon for it, or another miner."
            )
        return (
            f"The loss {loss} was zero throughout the first epoch, so nothing was learned: every batch satisfies it "
            "already. Raise its margin, or choose another loss."
        )

    def _figures(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if isinstance(self.loss, losses.TripletMarginLoss):
            return {"active_triplets": _active_triplets(self.loss, embeddings, labels)}
        names = ("pair_accuracy", "classifier_accuracy")
        return {name: vars(part)[name] for part in self.loss.modules() for name in names if name in vars(part)}


@torch.no_grad()
def _active_triplets(loss: losses.TripletMarginLoss, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Share of all triplets of the batch that violate the loss's margin, in the loss's own distance."""
    distance = loss.distance(embeddings)
    if loss.distance.is_inverted:
        distance = -distance
    same = labels[:, None] == labels
    anchors, positives = torch.where(same.fill_diagonal_(False))
    different = labels[anchors, None] != labels
    limits = distance[anchors, positives] + float(loss.margin)
    active = different & (distance[anchors] < limits[:, None])
    share: Tensor = active.sum() / different.sum().clamp_min(1)
    return share


class AuxiliaryObjective(Objective):
    """Another objective, and softmax losses on what the artists have in common, such as their style.

    Args:
        main: the objective, whose scorer is kept.
        width: numbers in an embedding.
        groups: for each kind, the group of each artist.
        weights: for each kind, what its loss is multiplied by.
    """

    def __init__(
        self, main: Objective, width: int, groups: Mapping[Kind, Sequence[int]], weights: Mapping[Kind, float]
    ) -> None:
        super().__init__(main, None, main.scorer)
        self.weights = dict(weights)
        self.losses = nn.ModuleDict()
        for kind in weights:
            self.register_buffer(f"{kind}_of_artist", torch.tensor(groups[kind]))
            self.losses[kind] = losses.NormalizedSoftmaxLoss(max(groups[kind]) + 1, width)

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = self.loss(embeddings, labels)
        for kind, weight in self.weights.items():
            own = self.losses[kind](embeddings, self.get_buffer(f"{kind}_of_artist")[labels])
            loss, figures = loss + weight * own, {**figures, f"{kind}_loss": own.detach()}
        return loss, figures


class ClassifyFirstObjective(Objective):
    """A softmax loss on the training artists in the first ``epochs`` epochs, then another objective."""

    def __init__(self, main: Objective, width: int, artists: int, epochs: int) -> None:
        super().__init__(main, None, main.scorer)
        self.epochs = epochs
        self.classifier = losses.NormalizedSoftmaxLoss(artists, width)

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if self.epoch < self.epochs:
            return self.classifier(embeddings, labels), {}
        loss, figures = self.loss(embeddings, labels)
        return loss, figures


def create_objective(
    config: ObjectiveConfig,
    *,
    width: int,
    artists: int,
    normalised: bool,
    sampling: Sampling = "balanced",
    m: int = 2,
    batch_size: int = 12,
    groups: Mapping[Kind, Sequence[int]] | None = None,
) -> Objective | None:
    """Make the objective that a recipe asks for; None for ``frozen``.

    Args:
        config: which objective.
        width: numbers in an embedding.
        artists: number of training artists; labels are 0 to artists − 1.
        normalised: embeddings have length 1, so pairs are scored by cosine, else by distance; by the pair head of a
            loss that trains one.
        sampling: ``triplets`` or ``pairs`` when batches are consecutive tuples (the seed project's sampling).
        m: paintings of each artist in a balanced batch.
        batch_size: paintings in a balanced batch, or tuples. On random batches like these the loss is tried first.
        groups: for each kind of ``config.auxiliary``, the group of each artist.

    Raises:
        MorelliError: PML has no such loss or miner, it does not take these arguments, or it cannot be trained on
            embeddings and labels drawn this way.
    """
    if config.kind == "frozen":
        return None
    loss, miner = make_loss(config, width=width, artists=artists, sampling=sampling)
    scorer = head_of(loss) or (CosineScorer() if normalised else DistanceScorer())
    objective = Objective(loss, miner, scorer)
    refuse_untrainable(objective, config, width, artists, sampling, m, batch_size)
    if groups:
        objective = AuxiliaryObjective(objective, width, groups, config.auxiliary)
    if config.classify_first:
        objective = ClassifyFirstObjective(objective, width, artists, config.classify_first)
    return objective


def make_loss(
    config: ObjectiveConfig, *, width: int, artists: int, sampling: Sampling = "balanced"
) -> tuple[nn.Module, nn.Module | None]:
    """Make the loss and the miner of a trained objective, untried; see :func:`create_objective`.

    Raises:
        MorelliError: PML has no such loss or miner, it does not take these arguments, or not tuples drawn this way.
    """
    known = {"embedding_size": width, "descriptors_dim": width, "width": width, "num_classes": artists}
    loss = make_part("loss", {**_LOSSES.get(config.kind, {}), **config.loss}, known)
    miner = make_part("miner", config.miner, known) if config.miner else None
    if miner is not None and any(True for _ in miner.parameters()):
        raise MorelliError(
            f"The miner {config.miner} has weights of its own, which no loss trains. Leave its head out."
        )
    return loss, miner if sampling == "balanced" else _packaged(loss, config, sampling)


def head_of(loss: nn.Module) -> Scorer | None:
    """The scorer that a loss trains as its distance, which scores pairs afterwards; None if it trains none."""
    return next((part for part in loss.modules() if isinstance(part, Scorer)), None)


def _packaged(loss: nn.Module, config: ObjectiveConfig, sampling: Sampling) -> nn.Module | None:
    """The miner of batches that are consecutive tuples; none where the loss reads single paintings."""
    if isinstance(loss, OneHotLoss):
        return None
    fitting = "pairs" if any(isinstance(part, PairLoss) for part in loss.modules()) else "triplets"
    if sampling != fitting:
        raise MorelliError(
            f"Objective {config.name} ({config.kind}) cannot learn from sampling={sampling}. Use sampling=balanced, or "
            f"{fitting}."
        )
    return PACKAGED[fitting]()
