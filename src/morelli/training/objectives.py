"""Objectives: what training makes small, and how the finished network scores a pair."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor, nn
from torch.nn import functional

from morelli._config import Section
from morelli.data.artists import Kind
from morelli.errors import MorelliError, did_you_mean
from morelli.models.heads import ConcatHead, CosineScorer, DistanceScorer, PairHead, Scorer

LABEL = r"^\w[\w .,+=-]*$"
"""What may become part of a folder's name: no separator, nothing that leads out of the folder."""

_UNFIT_SAMPLING = {"bce-pair": "triplets", "bce-concat": "triplets", "bce-onehot": ""}
"""Tuples that an objective of this kind would read wrongly; for all other kinds ``pairs``."""
_TRIPLET = {
    "loss": {"name": "TripletMarginLoss", "margin": 0.1},
    "miner": {"name": "TripletMarginMiner", "margin": 0.1, "type_of_triplets": "all"},
}


class ObjectiveConfig(Section):
    """One objective: a row of the table for every backbone.

    In a recipe, a plain name such as ``triplet`` stands for ``{kind: triplet}``.
    """

    kind: Literal["frozen", "triplet", "bce-pair", "bce-concat", "bce-onehot", "metric"]
    """``metric`` is any PML loss, with or without a miner."""
    name: str = Field(default="", pattern=LABEL)
    """The row's label, and part of its folder's name; by default the kind, or the loss's class name."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """A PML loss: its class ``name`` and its own arguments, for example ``{name: SupConLoss, temperature: 0.1}``."""
    miner: dict[str, Any] = Field(default_factory=dict)
    """A PML miner, likewise; empty for none."""
    auxiliary: dict[Kind, float] = Field(default_factory=dict)
    """Weights of softmax losses on the artists' usual style or genre, beside a PML loss: ``{style: 0.1}``."""
    classify_first: int = Field(default=0, ge=0)
    """Epochs that begin the training with a softmax loss on the artists, before a PML loss takes over."""
    head: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``head`` for this objective."""
    training: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``training`` for this objective."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"kind": value}
        if isinstance(value, dict) and "kind" not in value and "loss" in value:
            value = {"kind": "metric", **value}
        if isinstance(value, dict) and value.get("kind") == "triplet":
            value = {**_TRIPLET, **value}
        if isinstance(value, dict) and not value.get("name"):
            loss_name = (value.get("loss") or {}).get("name", "metric")
            value = {**value, "name": loss_name if value.get("kind") == "metric" else value.get("kind", "")}
        return value

    @model_validator(mode="after")
    def _has_loss(self) -> "ObjectiveConfig":
        if self.kind == "metric" and not self.loss:
            raise ValueError("an objective of kind metric needs a loss, for example loss: {name: SupConLoss}")
        if (self.auxiliary or self.classify_first) and self.kind not in ("triplet", "metric"):
            raise ValueError(
                "auxiliary losses stand beside a PML loss, and classify_first before one, which an objective of kind "
                f"{self.kind} has not"
            )
        return self


class Objective(nn.Module):
    """Embeddings (B, D) and artist numbers (B,) → loss, and figures to log, which stay on the device.

    ``scorer`` scores pairs afterwards. ``epoch`` is that of the training, counted from 0; training sets it.
    """

    scorer: Scorer
    epoch: int = 0

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError


class MetricObjective(Objective):
    """Any PML loss with any PML miner. Logs the share of the batch's triplets that still violate the margin."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None, *, normalised: bool) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner
        self.scorer = CosineScorer() if normalised else DistanceScorer()

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        mined = self.miner(embeddings, labels) if self.miner is not None else None
        loss = self.loss(embeddings, labels, mined)
        if isinstance(self.loss, losses.TripletMarginLoss):
            return loss, {"active_triplets": self._active_share(embeddings.detach(), labels)}
        return loss, {}

    def _active_share(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of all triplets of the batch that violate the loss's margin, in the loss's own distance."""
        distance = self.loss.distance(embeddings)  # type: ignore[operator]
        if self.loss.distance.is_inverted:  # type: ignore[union-attr]
            distance = -distance
        same = labels[:, None] == labels
        anchors, positives = torch.where(same.fill_diagonal_(False))
        different = labels[anchors, None] != labels
        limits = distance[anchors, positives] + float(self.loss.margin)  # type: ignore[arg-type]
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
        super().__init__()
        self.main, self.scorer, self.weights = main, main.scorer, dict(weights)
        self.losses = nn.ModuleDict()
        for kind in weights:
            self.register_buffer(f"{kind}_of_artist", torch.tensor(groups[kind]))
            self.losses[kind] = losses.NormalizedSoftmaxLoss(max(groups[kind]) + 1, width)

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = self.main(embeddings, labels)
        for kind, weight in self.weights.items():
            own = self.losses[kind](embeddings, self.get_buffer(f"{kind}_of_artist")[labels])
            loss, figures = loss + weight * own, {**figures, f"{kind}_loss": own.detach()}
        return loss, figures


class ClassifyFirstObjective(Objective):
    """A softmax loss on the training artists in the first ``epochs`` epochs, then another objective."""

    def __init__(self, main: Objective, width: int, artists: int, epochs: int) -> None:
        super().__init__()
        self.main, self.scorer, self.epochs = main, main.scorer, epochs
        self.classifier = losses.NormalizedSoftmaxLoss(artists, width)

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if self.epoch < self.epochs:
            return self.classifier(embeddings, labels), {}
        loss, figures = self.main(embeddings, labels)
        return loss, figures


class PairObjective(Objective):
    """Binary cross entropy of a pair head: all same-artist pairs of a batch and as many random other pairs.

    With ``packaged=True`` the batch is taken as consecutive pairs instead, as the seed project drew them.
    """

    def __init__(self, scorer: PairHead | ConcatHead, *, packaged: bool) -> None:
        super().__init__()
        self.scorer, self.packaged = scorer, packaged

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = self._pairs(labels)
        same = (labels[first] == labels[second]).float()
        score = self.scorer.one_order if isinstance(self.scorer, ConcatHead) else self.scorer
        logits = score(embeddings[first], embeddings[second])
        loss = functional.binary_cross_entropy_with_logits(logits, same)
        accuracy = ((logits.detach() > 0) == same.bool()).float().mean()
        return loss, {"pair_accuracy": accuracy}

    def _pairs(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.packaged:
            places = torch.arange(len(labels), device=labels.device)
            return places[0::2], places[1::2]
        same = labels[:, None] == labels
        # Both orders of every positive pair: the concatenation head must learn both.
        positive = torch.nonzero(same.fill_diagonal_(False))
        negative = torch.nonzero(labels[:, None] != labels)
        drawn = negative[torch.randperm(len(negative), device=labels.device)[: len(positive)]]
        pairs = torch.cat([positive, drawn])
        return pairs[:, 0], pairs[:, 1]


class OneHotObjective(Objective):
    """A classifier of the training artists on one-hot labels with binary cross entropy, summed over artists."""

    def __init__(self, width: int, artists: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, artists)
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.scorer = CosineScorer()

    def logits(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, D) → one logit for each training artist, (B, artists)."""
        logits: Tensor = self.classifier(embeddings * self.log_scale.exp())
        return logits

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.logits(embeddings)
        one_hot = functional.one_hot(labels, logits.shape[1]).float()
        loss = functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="sum") / len(labels)
        return loss, {"classifier_accuracy": (logits.detach().argmax(1) == labels).float().mean()}


def create_objective(
    config: ObjectiveConfig,
    *,
    width: int,
    artists: int,
    normalised: bool,
    sampling: str = "balanced",
    groups: Mapping[Kind, Sequence[int]] | None = None,
) -> Objective | None:
    """Make the objective that a recipe asks for; None for ``frozen``.

    Args:
        config: which objective.
        width: numbers in an embedding.
        artists: number of training artists; labels are 0 to artists − 1.
        normalised: embeddings have length 1, so pairs are scored by cosine, else by distance.
        sampling: ``triplets`` or ``pairs`` when batches are consecutive tuples (the seed project's sampling).
        groups: for each kind of ``config.auxiliary``, the group of each artist.

    Raises:
        MorelliError: PML has no such loss or miner, it does not take these arguments, or it cannot be trained on
            embeddings and labels drawn this way.
    """
    if config.kind == "frozen":
        return None
    packaged = sampling != "balanced"
    if sampling == _UNFIT_SAMPLING.get(config.kind, "pairs"):
        raise MorelliError(
            f"Objective {config.name} ({config.kind}) cannot learn from sampling={sampling}. Use sampling=balanced, or "
            f"{'pairs' if sampling == 'triplets' else 'triplets'}."
        )
    if config.kind == "bce-pair":
        return PairObjective(PairHead(width), packaged=packaged)
    if config.kind == "bce-concat":
        return PairObjective(ConcatHead(width), packaged=packaged)
    if config.kind == "bce-onehot":
        return OneHotObjective(width, artists)
    known = {"embedding_size": width, "descriptors_dim": width, "num_classes": artists}
    loss = _build(losses, config.loss, "loss", known)
    miner: nn.Module | None = None
    if packaged:
        miner = miners.EmbeddingsAlreadyPackagedAsTriplets()
    elif config.miner:
        miner = _build(miners, config.miner, "miner", known)
    objective: Objective = MetricObjective(loss, miner, normalised=normalised)
    _try(objective, width, config, torch.tensor([0, 0, 1] * 4 if packaged else [0, 0, 1, 1] * 3))
    if groups:
        objective = AuxiliaryObjective(objective, width, groups, config.auxiliary)
    if config.classify_first:
        objective = ClassifyFirstObjective(objective, width, artists, config.classify_first)
    return objective


def _try(objective: Objective, width: int, config: ObjectiveConfig, labels: Tensor) -> None:
    """Pass random embeddings through a copy, so that a loss that cannot work is refused before any training."""
    with torch.random.fork_rng(devices=[]):
        embeddings = functional.normalize(torch.randn(len(labels), width), dim=1)
        try:
            copy.deepcopy(objective)(embeddings, labels)
        except Exception as error:  # whatever PML raises, the arguments are at fault
            miner = f" with the miner {config.miner}" if config.miner else ""
            raise MorelliError(
                f"The loss {config.loss}{miner} does not work on embeddings and labels: "
                f"{type(error).__name__}: {error}. Check the values of its arguments, or choose another loss."
            ) from error


_MODULES: Mapping[str, ModuleType] = {"loss": losses, "miner": miners, "distance": distances, "reducer": reducers}


def _build(module: ModuleType, part: Mapping[str, Any], what: str, known: Mapping[str, int]) -> nn.Module:
    """Make a PML object from its class name and arguments; nested parts are made the same way."""
    names = [n for n, c in inspect.getmembers(module, inspect.isclass) if not n.startswith("Base") and "Mixin" not in n]
    arguments = dict(part)
    name = str(arguments.pop("name", ""))
    if name not in names:
        raise MorelliError(
            f'pytorch-metric-learning has no {what} "{name}".{did_you_mean(name, names)} Known: {", ".join(names)}.'
        )
    for key, nested in _MODULES.items():
        if isinstance(arguments.get(key), Mapping):
            arguments[key] = _build(nested, arguments[key], key, known)
    cls = getattr(module, name)
    accepted = _parameters(cls)
    wanted = {key: value for key, value in known.items() if key in accepted and accepted[key].default is inspect._empty}
    try:
        built: nn.Module = cls(**{**wanted, **arguments})
    except (TypeError, ValueError, AssertionError) as error:
        raise MorelliError(
            f"The {what} {name} does not take {arguments}: {error}. Its own arguments: {', '.join(accepted)}."
        ) from error
    return built


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """All arguments a PML class takes: its own, and those that it passes on to its parents as ``**kwargs``."""
    parameters: dict[str, inspect.Parameter] = {}
    for parent in cls.__mro__:
        own = vars(parent).get("__init__")
        if parent is nn.Module or own is None:
            continue
        named = list(inspect.signature(own).parameters.values())[1:]
        parameters = {
            p.name: p for p in named if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.KEYWORD_ONLY
        } | parameters
    return parameters
