"""The grid of a recipe: backbones × objectives × folds × seeds, each point one run."""

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
class GridPoint:
    """One run of the grid: one backbone with one objective, on one fold, with one seed."""

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
            "caption": self.recipe.caption,
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


def grid(recipe: Recipe) -> list[GridPoint]:
    """All points of a recipe, backbones outermost, checked as far as that goes without the paintings.

    Raises:
        MorelliError: two points would share a folder, a backbone, loss or miner is unknown, or an objective's own
            settings are wrong.
    """
    axes = itertools.product(recipe.backbones, recipe.objectives, recipe.split.fold_numbers, recipe.seeds)
    points = [GridPoint(recipe, *place) for place in axes]
    names = [point.folder_name for point in points]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MorelliError(
            f"The recipe has two runs called {twice[0]}. List each backbone and each seed once, and give objectives of "
            "the same kind different names."
        )
    for backbone in recipe.backbones:
        for name in (backbone.name, *backbone.beside):
            check_name(name)
    for objective in recipe.objectives:
        check_objective(GridPoint(recipe, recipe.backbones[0], objective, 0, recipe.seeds[0]))
    return points


def fit_grid(points: Sequence[GridPoint], paintings: pd.DataFrame) -> tuple[list[GridPoint], list[str]]:
    """Fit the split and the batches of a recipe's grid to the artists that there are, before anything is computed.

    What fits stays as it is, and so does a run's folder: the numbers that it records are those that were used. A
    point that cannot be trained is kept, to fail in its place in the table, as long as another one can be had.

    Returns:
        The points, fewer where there are fewer folds; and what was changed and who cannot be trained, a line each.

    Raises:
        MorelliError: there is no such split of these paintings, or no point can be had.
    """
    trained = [point for point in points if point.head is not None]
    recipe = points[0].recipe
    split = fit_split(paintings, recipe.split, trains=bool(trained))
    if split.config != recipe.split:
        recipe = recipe.model_copy(update={"split": split.config})
        points = [replace(point, recipe=recipe) for point in points if point.fold in split.config.fold_numbers]
    rows = [one.rows(paintings, "train") for one in split.folds]
    labels = [pd.factorize(of_fold["artist"].map(artist_key))[0].tolist() for of_fold in rows]
    notes = dict.fromkeys([split.note] if split.note else [])
    fitted, failures = [], {}
    tried: set[tuple[str, int]] = set()
    for point in points:
        point, note = _with_fitting_batch(point, labels)
        fitted.append(point)
        notes |= dict.fromkeys([note] if note else [])
        if point.head is None:
            continue
        try:
            create_sampler(labels[point.fold], point.training, point.seed)
            if (point.objective.name, point.fold) not in tried:
                create_objective(point.objective, **point.setup(labels[point.fold], rows[point.fold]))
                tried.add((point.objective.name, point.fold))
        except MorelliError as error:
            failures[point.folder_name] = error
            notes[f"{point.objective.name} cannot be trained: {error}"] = None
    if len(failures) == len(points):
        raise next(iter(failures.values()))
    return fitted, list(notes)


def _with_fitting_batch(point: GridPoint, labels: Sequence[Sequence[int]]) -> tuple[GridPoint, str]:
    """The point with the batch that fits the training artists of all folds, and a word on what was changed."""
    asked = point.training
    if point.head is None or asked.sampling != "balanced":
        return point, ""
    m, batch_size = fit_batch(labels, asked.m, asked.batch_size, multiple_of=processes().num_processes)
    now = {"m": m, "batch_size": batch_size}
    changed = [
        f"training.{key}={now[key]} instead of {getattr(asked, key)}" for key in now if now[key] != getattr(asked, key)
    ]
    if not changed:
        return point, ""
    objective = point.objective.model_copy(update={"training": {**point.objective.training, **now}})
    artists = min(len(set(of_fold)) for of_fold in labels)
    return replace(point, objective=objective), f"Batches fitted to {artists} training artists: {', '.join(changed)}."


def check_objective(point: GridPoint) -> None:
    """Check what a point's objective asks for, as far as that goes without the paintings.

    Raises:
        MorelliError: a loss or miner is unknown, or numbers of the training or the head do not go together.
    """
    if point.head is None:
        return
    if point.training.sampling == "balanced":
        check_batch(point.training.m, point.training.batch_size)
    objective = made_objective(point.objective, TrainingSetup(**point.setup([0, 1])))
    if point.head.untrained_weight and not objective.takes_untrained:
        raise MorelliError(
            f"Objective {point.objective.name} learns to score its own embeddings, so untrained features cannot be set "
            "behind them. Set head.untrained_weight to 0 for it."
        )
