"""A cell of a recipe's grid: one backbone with one objective, on one fold, with one seed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from morelli._processes import processes
from morelli.bench.recipe import Recipe, section
from morelli.data.artists import artist_key
from morelli.data.sampling import check_batch, fit_batch
from morelli.data.splits import fit_split
from morelli.errors import MorelliError
from morelli.models.config import BackboneConfig, HeadConfig
from morelli.models.weights import check_name
from morelli.training.config import ObjectiveConfig, TrainingConfig
from morelli.training.fit import create_sampler
from morelli.training.objectives import TrainingSetup, create_objective, made_objective, objective_class


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
        if not self.objective.trains:
            return None
        values = {**self.recipe.head.model_dump(), **self.objective.head}
        return section(HeadConfig, values, f"head of objective {self.objective.name}")  # type: ignore[no-any-return]

    @property
    def training(self) -> TrainingConfig:
        values = {**self.recipe.training.model_dump(), **self.objective.training}
        return section(TrainingConfig, values, f"training of objective {self.objective.name}")  # type: ignore[no-any-return]

    def setup(self, labels: Sequence[int], paintings: pd.DataFrame | None = None) -> dict[str, Any]:
        """What its objective may know of its training; see :class:`~morelli.training.objectives.TrainingSetup`."""
        head, training = self.head or HeadConfig(), self.training
        return {
            "width": head.width or 2,
            "artists": len(set(labels)),
            "normalised": head.normalise,
            **training.model_dump(include={"sampling", "m", "batch_size", "epochs"}),
            "paintings": paintings,
            "labels": labels,
        }

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
            "objective": {
                **self.objective.model_dump(mode="json", exclude={"head", "training"}),
                "place": objective_class(self.objective.kind).place,
            },
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
    axes = itertools.product(recipe.backbones, recipe.objectives, recipe.split.fold_numbers, recipe.seeds)
    cells = [Cell(recipe, *place) for place in axes]
    names = [cell.folder_name for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MorelliError(
            f"The recipe has two runs called {twice[0]}. List each backbone and each seed once, and give objectives of "
            "the same kind different names."
        )
    for backbone in recipe.backbones:
        for name in (backbone.name, *backbone.beside):
            check_name(name)
    for objective in recipe.objectives:
        check_objective(Cell(recipe, recipe.backbones[0], objective, 0, recipe.seeds[0]))
    return cells


def fit_cells(cells: Sequence[Cell], paintings: pd.DataFrame) -> tuple[list[Cell], list[str]]:
    """Fit the split and the batches of a recipe's cells to the artists that there are, before anything is computed.

    What fits stays as it is, and so does a run's folder: the numbers that it records are those that were used. A
    cell that cannot be trained is kept, to fail in its place in the table, as long as another one can be had.

    Returns:
        The cells, fewer where there are fewer folds; and what was changed and who cannot be trained, a line each.

    Raises:
        MorelliError: there is no such split of these paintings, or no cell can be had.
    """
    trained = [cell for cell in cells if cell.head is not None]
    recipe = cells[0].recipe
    split = fit_split(paintings, recipe.split, trains=bool(trained))
    if split.config != recipe.split:
        recipe = recipe.model_copy(update={"split": split.config})
        cells = [replace(cell, recipe=recipe) for cell in cells if cell.fold in split.config.fold_numbers]
    rows = [one.rows(paintings, "train") for one in split.folds]
    labels = [pd.factorize(of_fold["artist"].map(artist_key))[0].tolist() for of_fold in rows]
    notes = dict.fromkeys([split.note] if split.note else [])
    fitted, failures = [], {}
    tried: set[tuple[str, int]] = set()
    for cell in cells:
        cell, note = _with_fitting_batch(cell, labels)
        fitted.append(cell)
        notes |= dict.fromkeys([note] if note else [])
        if cell.head is None:
            continue
        try:
            create_sampler(labels[cell.fold], cell.training, cell.seed)
            if (cell.objective.name, cell.fold) not in tried:
                create_objective(cell.objective, **cell.setup(labels[cell.fold], rows[cell.fold]))
                tried.add((cell.objective.name, cell.fold))
        except MorelliError as error:
            failures[cell.folder_name] = error
            notes[f"{cell.objective.name} cannot be trained: {error}"] = None
    if len(failures) == len(cells):
        raise next(iter(failures.values()))
    return fitted, list(notes)


def _with_fitting_batch(cell: Cell, labels: Sequence[Sequence[int]]) -> tuple[Cell, str]:
    """The cell with the batch that fits the training artists of all folds, and a word on what was changed."""
    asked = cell.training
    if cell.head is None or asked.sampling != "balanced":
        return cell, ""
    m, batch_size = fit_batch(labels, asked.m, asked.batch_size, multiple_of=processes().num_processes)
    now = {"m": m, "batch_size": batch_size}
    changed = [
        f"training.{key}={now[key]} instead of {getattr(asked, key)}" for key in now if now[key] != getattr(asked, key)
    ]
    if not changed:
        return cell, ""
    objective = cell.objective.model_copy(update={"training": {**cell.objective.training, **now}})
    artists = min(len(set(of_fold)) for of_fold in labels)
    return replace(cell, objective=objective), f"Batches fitted to {artists} training artists: {', '.join(changed)}."


def check_objective(cell: Cell) -> None:
    """Check what a cell's objective asks for, as far as that goes without the paintings.

    Raises:
        MorelliError: a loss or miner is unknown, or numbers of the training or the head do not go together.
    """
    if cell.head and cell.training.sampling == "balanced":
        check_batch(cell.training.m, cell.training.batch_size)
    if cell.head is None:
        return
    objective = made_objective(cell.objective, TrainingSetup(**cell.setup([0, 1])))
    if cell.head.untrained_weight and not objective.takes_untrained:
        raise MorelliError(
            f"Objective {cell.objective.name} learns to score its own embeddings, so untrained features cannot be set "
            "behind them. Set head.untrained_weight to 0 for it."
        )
