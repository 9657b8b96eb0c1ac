"""A cell of a recipe's grid: one backbone with one objective, on one fold, with one seed."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import timm

from morelli.bench.config import Recipe, section
from morelli.data.artists import Kind, artist_key, usual
from morelli.data.splits import Split, split_paintings
from morelli.errors import MorelliError, did_you_mean
from morelli.models.backbones import BackboneConfig
from morelli.models.heads import HeadConfig
from morelli.training.config import ObjectiveConfig
from morelli.training.fit import TrainingConfig, create_sampler
from morelli.training.objectives import create_objective


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
    def kinds(self) -> set[Kind]:
        """What of the artists, beside who they are, its training asks for."""
        return {*self.objective.auxiliary, *([self.training.alike] if self.training.alike else [])}

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
    """All cells of a recipe, backbones outermost, checked as far as that goes without the paintings.

    Raises:
        MorelliError: two cells would share a folder, a backbone, loss or miner is unknown, or an objective's own
            settings are wrong.
    """
    folds = range(recipe.split.folds) if recipe.split.kind in ("folds", "rotation") else range(1)
    axes = itertools.product(recipe.backbones, recipe.objectives, folds, recipe.seeds)
    cells = [Cell(recipe, *place) for place in axes]
    names = [cell.folder_name for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MorelliError(
            f"The recipe has two runs called {twice[0]}. List each backbone and each seed once, and give objectives of "
            "the same kind different names."
        )
    for backbone in recipe.backbones:
        _check_backbone(backbone)
    for objective in recipe.objectives:
        _check_objective(Cell(recipe, recipe.backbones[0], objective, 0, recipe.seeds[0]))
    return cells


def check_fits(cells: Iterable[Cell], paintings: pd.DataFrame) -> None:
    """Check, before anything is computed, that every cell's split and batches fit the paintings.

    Raises:
        MorelliError: a split cannot be had, ``m``, the batch size and the training artists do not fit, or the paintings
            have no style or genre, which the training asks for.
    """
    splits: dict[int, Split] = {}
    for cell in cells:
        if cell.fold not in splits:
            splits[cell.fold] = split_paintings(paintings, cell.recipe.split, cell.fold)
        if cell.objective.kind != "frozen":
            rows = splits[cell.fold].rows(paintings, "train")
            labels = pd.factorize(rows["artist"].map(artist_key))[0].tolist()
            create_sampler(labels, cell.training, cell.seed)
            for kind in cell.kinds:
                usual(kind, rows, labels)


def _check_backbone(config: BackboneConfig) -> None:
    if not timm.is_model(config.name):
        hint = did_you_mean(config.name, timm.list_models())
        raise MorelliError(
            f"timm has no backbone \"{config.name}\".{hint} List the names with: morelli backbones '*lite*'"
        )


def _check_objective(cell: Cell) -> None:
    if cell.head and cell.head.keep and cell.objective.kind.startswith("bce"):
        raise MorelliError(
            f"Objective {cell.objective.name} learns to score its own embeddings, so untrained features cannot be set "
            "behind them. Set head.keep to 0 for it."
        )
    if cell.training.epochs <= cell.objective.classify_first:
        raise MorelliError(
            f"Objective {cell.objective.name} classifies in its first {cell.objective.classify_first} epochs, but all "
            f"its training has {cell.training.epochs}. Set classify_first lower, or training.epochs higher."
        )
    width = cell.head.width if cell.head else 2
    training = cell.training
    create_objective(
        cell.objective,
        width=width or 2,
        artists=max(2, training.batch_size // max(1, training.m)),
        normalised=True,
        sampling=training.sampling,
        m=training.m,
        batch_size=training.batch_size,
    )
