"""A cell of a recipe's grid: one backbone with one objective, on one fold, with one seed."""

import itertools
from dataclasses import dataclass
from typing import Any

from morelli.bench.config import Recipe, section
from morelli.errors import MorelliError
from morelli.models.backbones import BackboneConfig
from morelli.models.heads import HeadConfig
from morelli.training.fit import TrainingConfig
from morelli.training.objectives import ObjectiveConfig


@dataclass(frozen=True)
class Cell:
    """One run of the grid: everything that determines it."""

    recipe: Recipe
    backbone: BackboneConfig
    objective: ObjectiveConfig
    fold: int
    seed: int

    @property
    def head(self) -> HeadConfig | None:
        if self.objective.kind == "frozen":
            return None
        values = {**self.recipe.head.model_dump(), **self.objective.head}
        return section(HeadConfig, values, f"head of objective {self.objective.name}")  # type: ignore[no-any-return]

    @property
    def training(self) -> TrainingConfig:
        values = {**self.recipe.training.model_dump(), **self.objective.training}
        return section(TrainingConfig, values, f"training of objective {self.objective.name}")  # type: ignore[no-any-return]

    @property
    def folder_name(self) -> str:
        return f"{self.backbone.label}-{self.objective.name}-fold{self.fold}-seed{self.seed}"

    def resolved(self, data: str) -> dict[str, Any]:
        """The config of this one run; ``data`` is a digest of the prepared table."""
        head = self.head
        return {
            "recipe": self.recipe.name,
            "data": data,
            "split": self.recipe.split.model_dump(mode="json"),
            "fold": self.fold,
            "seed": self.seed,
            "backbone_label": self.backbone.label,
            "backbone": self.backbone.model_dump(mode="json"),
            "objective": self.objective.model_dump(mode="json", exclude={"head", "training"}),
            "head": head.model_dump(mode="json") if head else None,
            "training": self.training.model_dump(mode="json") if head else None,
            "evaluation": self.recipe.evaluation.model_dump(mode="json"),
        }


def grid(recipe: Recipe) -> list[Cell]:
    """All cells of a recipe, checked, backbones outermost.

    Raises:
        MorelliError: two cells would share a folder, or an objective's own settings are wrong.
    """
    folds = range(recipe.split.folds) if recipe.split.kind == "folds" else range(1)
    axes = itertools.product(recipe.backbones, recipe.objectives, folds, recipe.seeds)
    cells = [Cell(recipe, *place) for place in axes]
    names = [cell.folder_name for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MorelliError(f"The recipe has two runs called {twice[0]}. Give its objectives different names.")
    for cell in cells:
        _ = cell.head, cell.training
    return cells
