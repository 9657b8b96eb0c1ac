"""Objectives, in one table: the loss and miner that training minimises, and the scorer that compares pairs afterwards.

To add one, subclass :class:`Objective` and list it in :data:`OBJECTIVES`, or name it in a recipe by its dotted path,
``kind: package.module:Name``. Its class says how it is made, what it scores by, which batches it can learn from, what
it measures besides, and where it stands in tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import pandas as pd
import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn

from morelli._config import Section
from morelli._dotted import explained, is_dotted, load_dotted
from morelli.data.artists import groups_of
from morelli.errors import MorelliError, did_you_mean
from morelli.models.heads import CosineScorer, DistanceScorer, Scorer
from morelli.training.config import ObjectiveConfig as ObjectiveConfig
from morelli.training.config import Sampling
from morelli.training.dry_run import PACKAGED, refuse_untrainable
from morelli.training.loss_factory import make_part


@dataclass(frozen=True)
class TrainingSetup:
    """What an objective may know of the training that it is made for.

    Attributes:
        width: numbers in an embedding.
        artists: training artists; labels are 0 to ``artists`` − 1.
        normalised: embeddings have length 1, so pairs are scored by cosine, else by distance, unless a head is trained.
        sampling: ``triplets`` or ``pairs`` when batches are consecutive tuples (the seed project's sampling).
        m: paintings of each artist in a balanced batch.
        batch_size: paintings in a balanced batch, or tuples.
        epochs: of the training at most; None where unknown.
        paintings: rows of the training paintings; None before they are known.
        labels: the artist's number of each of these rows.
    """

    width: int
    artists: int
    normalised: bool = True
    sampling: Sampling = "balanced"
    m: int = 2
    batch_size: int = 12
    epochs: int | None = None
    paintings: pd.DataFrame | None = None
    labels: Sequence[int] = ()


class Objective(nn.Module):
    """A pytorch-metric-learning loss on what its miner finds: kind ``metric``, and the base of all others.

    Args:
        loss: embeddings (B, D), artist numbers (B,) and the miner's tuple or None → loss.
        miner: embeddings and artist numbers → a tuple; None for none.
        scorer: of the finished network; weights of its own are trained with the loss that they are part of.
    """

    parts: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """``loss`` and ``miner`` where a recipe names none; a recipe's arguments are added to theirs."""
    trains: ClassVar[bool] = True
    place: ClassVar[int] = 50
    """Its place in tables, from 0, the baseline, on; those of one place stand in the order of their names."""
    takes_options: ClassVar[type[Section] | None] = None
    """What a recipe's ``options`` hold; None for an objective that takes none."""
    epoch: int = 0
    """That of the training, counted from 0; training sets it."""
    found: int = 0
    """Tuples that the miner has found so far."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None, scorer: Scorer) -> None:
        super().__init__()
        self.loss, self.miner, self.scorer = loss, miner, scorer

    @classmethod
    def check(cls, config: ObjectiveConfig) -> None:
        """Refuse a recipe's settings, before anything else is known, with a ``ValueError``."""
        if not config.loss:
            raise ValueError(f"an objective of kind {config.kind} needs a loss, for example loss: {{name: SupConLoss}}")
        if cls.takes_options:
            cls.takes_options.model_validate(config.options)
        elif config.options:
            raise ValueError(f"an objective of kind {config.kind} takes no options")

    @classmethod
    def create(cls, config: ObjectiveConfig, setup: TrainingSetup) -> Self:
        """Make it, untrained and untried, from its part of a recipe.

        Raises:
            MorelliError: PML has no such loss or miner, it does not take these arguments, or not batches drawn this
                way.
        """
        known = dict.fromkeys(("embedding_size", "descriptors_dim", "width"), setup.width)
        known["num_classes"] = setup.artists
        loss = make_part("loss", config.loss, known)
        miner = make_part("miner", config.miner, known) if config.miner else None
        if miner is not None and any(True for _ in miner.parameters()):
            raise MorelliError(
                f"The miner {config.miner} has weights of its own, which no loss trains. Leave its head out."
            )
        default = CosineScorer() if setup.normalised else DistanceScorer()
        objective = cls(loss, miner, _head_of(loss) or default)
        if setup.sampling != "balanced":
            objective.miner = objective.packaged_miner(config, setup.sampling)
        return objective

    @property
    def takes_untrained(self) -> bool:
        """Whether untrained features may be set behind the embeddings; not where it learns to score these itself."""
        return _head_of(self.loss) is None and getattr(self.loss, "takes_untrained", True)

    def packaged_miner(self, config: ObjectiveConfig, sampling: Sampling) -> nn.Module | None:
        """The miner of consecutive tuples that the loss can read; None if it reads single paintings."""
        if getattr(self.loss, "tuples", None) == "any":
            return None
        fitting = next((part.tuples for part in self.loss.modules() if hasattr(part, "tuples")), "triplets")
        if sampling != fitting:
            raise MorelliError(
                f"Objective {config.name} ({config.kind}) cannot learn from sampling={sampling}. Use "
                f"sampling=balanced, or {fitting}."
            )
        return PACKAGED[sampling]()

    def groups(self, paintings: pd.DataFrame, labels: Sequence[int]) -> list[int] | None:
        """The group of each artist, of one of which each balanced batch is filled: by source, or None for no groups."""
        return groups_of("source", paintings, labels)

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (B, D) and artist numbers (B,) → loss, and figures to log, which stay on the device."""
        mined = None if self.miner is None else self.miner(embeddings, labels)
        if mined is not None:
            self.found += sum(len(part) for part in mined[::2])
        return self.loss(embeddings, labels, mined), self._figures(embeddings.detach(), labels)

    def measure(self, embeddings: Tensor, labels: Tensor) -> dict[str, float]:
        """Metrics besides those of all networks, on training artists' held-out paintings: (N, D), (N,) → by name."""
        measure = getattr(self.loss, "measure", None)
        return measure(embeddings, labels) if measure else {}

    def why_zero(self) -> str:
        """What to say of a loss that was zero at every step of the first epoch."""
        loss, miner = type(self.loss).__name__, type(self.miner).__name__
        why = "every batch satisfies it already. Raise its margin, or choose another loss."
        if self.miner is not None and not self.found:
            why = (
                f"its miner {miner} found nothing in any batch. Choose another type_of_triplets, margin or epsilon for "
                "it, or another miner."
            )
        return f"The loss {loss} was zero throughout the first epoch, so nothing was learned: {why}"

    def _figures(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if isinstance(self.loss, losses.TripletMarginLoss):
            return {"active_triplets": _active_triplets(self.loss, embeddings, labels)}
        names = ("pair_accuracy", "classifier_accuracy")
        return {name: vars(part)[name] for part in self.loss.modules() for name in names if name in vars(part)}


class Frozen(Objective):
    """Untrained features, compared by cosine: the baseline."""

    trains, place = False, 0

    @classmethod
    def check(cls, config: ObjectiveConfig) -> None:
        """Nothing to refuse: what a recipe says of losses is not used."""


class TripletObjective(Objective):
    """Triplet margin loss on all triplets that violate the margin."""

    parts: ClassVar = {
        "loss": {"name": "TripletMarginLoss", "margin": 0.1},
        "miner": {"name": "TripletMarginMiner", "margin": 0.1, "type_of_triplets": "all"},
    }
    place = 10


class PairObjective(Objective):
    """Binary cross entropy of a symmetric pair head."""

    parts: ClassVar = {"loss": {"name": "PairLoss", "distance": "PairHead"}}
    place = 20


class ConcatObjective(Objective):
    """Binary cross entropy of the seed project's head."""

    parts: ClassVar = {"loss": {"name": "PairLoss", "distance": "ConcatHead"}}
    place = 30


class OneHotObjective(Objective):
    """Binary cross entropy of one-hot artist labels."""

    parts: ClassVar = {"loss": {"name": "OneHotLoss"}}
    place = 40


OBJECTIVES: Final[Mapping[str, type[Objective]]] = {
    "frozen": Frozen,
    "triplet": TripletObjective,
    "bce-pair": PairObjective,
    "bce-concat": ConcatObjective,
    "bce-onehot": OneHotObjective,
    "metric": Objective,
}
"""All kinds of objectives that have a short name; ``metric`` is any PML loss, with or without a miner."""


def objective_class(kind: str) -> type[Objective]:
    """The class of a kind: from :data:`OBJECTIVES`, or imported where the kind is ``package.module:Name``.

    Raises:
        ValueError: there is no such kind.
        MorelliError: the path does not import, or names no objective.
    """
    if is_dotted(kind):
        found: Any = load_dotted(kind, Objective, "a subclass of morelli.training.objectives.Objective")
        if isinstance(found, type):
            return found
        raise MorelliError(f"{kind} must be a subclass of Objective, but it is one that is made already.")
    if kind not in OBJECTIVES:
        raise ValueError(
            f'there is no objective "{kind}".{did_you_mean(kind, OBJECTIVES)} Known: {", ".join(OBJECTIVES)}, or '
            "package.module:Name for one of your own"
        )
    return OBJECTIVES[kind]


def create_objective(config: ObjectiveConfig, **setup: Any) -> Objective | None:
    """Make the objective that a recipe asks for, and try it on random batches; None for one that trains nothing.

    ``setup`` are the attributes of :class:`TrainingSetup`.

    Raises:
        MorelliError: there is no such loss or miner, it does not take these arguments, or it cannot be trained on
            batches drawn this way.
    """
    kind, of = objective_class(config.kind), TrainingSetup(**setup)
    if not kind.trains:
        return None
    objective = made_objective(config, of)
    refuse_untrainable(objective, config, of)
    return objective


def made_objective(config: ObjectiveConfig, setup: TrainingSetup) -> Objective:
    """Make an objective that trains, untried; an error in somebody's own is one sentence with its path."""
    kind = objective_class(config.kind)
    with explained(config.kind, "an objective"):
        return kind.create(config, setup)


def _head_of(loss: nn.Module) -> Scorer | None:
    """The scorer that a loss trains as its distance, which scores pairs afterwards; None if it trains none."""
    return next((part for part in loss.modules() if isinstance(part, Scorer)), None)


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
