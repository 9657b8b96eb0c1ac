"""Style and genre in training: auxiliary softmax losses on them, and batches of artists of one style or genre."""

from collections.abc import Sequence
from typing import Self

import pandas as pd
import torch
from pydantic import Field
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from torch import Tensor, nn

from morelli._config import Section
from morelli.data.artists import Kind, groups_of, usual
from morelli.errors import MorelliError
from morelli.training.config import ObjectiveConfig
from morelli.training.objectives import Objective, TrainingSetup


class Options(Section):
    """``options`` in a recipe."""

    losses: dict[Kind, float] = Field(default_factory=dict)
    """Weights of softmax losses on the artists' usual style or genre: ``{style: 0.1}``."""
    batches: Kind | None = None
    """Fill a balanced batch with artists of one style or genre, then of another."""


class WithLabels(Objective):
    """A PML loss on batches of artists who are alike, with softmax losses on what artists have in common."""

    takes_options = Options
    options: Options

    @classmethod
    def create(cls, config: ObjectiveConfig, setup: TrainingSetup) -> Self:
        objective = super().create(config, setup)
        objective.options = Options.model_validate(config.options)
        if objective.options.batches and setup.sampling != "balanced":
            raise MorelliError("options.batches fills balanced batches, so it goes with sampling=balanced.")
        if setup.paintings is not None:
            objective.groups(setup.paintings, setup.labels)  # refused here if there are none
            of_artist = {kind: usual(kind, setup.paintings, setup.labels) for kind in objective.options.losses}
            objective.add_losses(of_artist, setup.width)
        return objective

    def add_losses(self, of_artist: dict[Kind, list[int]], width: int) -> None:
        """Add a loss for each kind of label; ``of_artist`` has the number of each artist's."""
        self.losses = nn.ModuleDict()
        for kind, numbers in of_artist.items():
            self.register_buffer(f"{kind}_of_artist", torch.tensor(numbers))
            self.losses[kind] = NormalizedSoftmaxLoss(max(numbers) + 1, width)

    def groups(self, paintings: pd.DataFrame, labels: Sequence[int]) -> list[int] | None:
        return groups_of(self.options.batches or "source", paintings, labels)

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = super().forward(embeddings, labels)
        for kind, weight in self.options.losses.items():
            own = self.losses[kind](embeddings, self.get_buffer(f"{kind}_of_artist")[labels])
            loss, figures = loss + weight * own, {**figures, f"{kind}_loss": own.detach()}
        return loss, figures
