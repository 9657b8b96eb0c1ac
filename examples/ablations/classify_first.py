"""Classification first: a softmax loss on the training artists for some epochs, then a metric loss."""

from typing import Self

from pydantic import Field
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from torch import Tensor

from morelli._config import Section
from morelli.errors import MorelliError
from morelli.training.config import ObjectiveConfig
from morelli.training.objectives import Objective, TrainingSetup


class Options(Section):
    """``options`` in a recipe."""

    epochs: int = Field(ge=1)
    """With the softmax loss."""


class ClassifyFirst(Objective):
    """A softmax loss on the training artists in the first ``options.epochs`` epochs, then a PML loss."""

    takes_options = Options
    epochs: int
    classifier: NormalizedSoftmaxLoss

    @classmethod
    def create(cls, config: ObjectiveConfig, setup: TrainingSetup) -> Self:
        objective = super().create(config, setup)
        objective.epochs = Options.model_validate(config.options).epochs
        if setup.epochs is not None and setup.epochs <= objective.epochs:
            raise MorelliError(
                f"Objective {config.name} classifies in its first {objective.epochs} epochs, but all its training has "
                f"{setup.epochs}. Set options.epochs lower, or training.epochs higher."
            )
        objective.classifier = NormalizedSoftmaxLoss(setup.artists, setup.width)
        return objective

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if self.epoch < self.epochs:
            return self.classifier(embeddings, labels), {}
        return super().forward(embeddings, labels)
