"""The training loop: one for all objectives, for frozen features and for whole networks."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from morelli._config import Section
from morelli._files import written_whole
from morelli.data.sampling import ArtistBalancedSampler, RandomTupleSampler
from morelli.errors import MorelliError
from morelli.models.embedder import loader_workers, progress_bar
from morelli.training._threads import one_thread_if_small
from morelli.training.objectives import Objective

CHECKPOINT = "checkpoint.pt"


class TrainingConfig(Section):
    """How a network is trained."""

    epochs: int = Field(default=60, ge=1)
    sampling: Literal["balanced", "triplets", "pairs"] = "balanced"
    """``balanced``: ``m`` paintings of each artist. ``triplets`` and ``pairs``: the seed project's random tuples."""
    batch_size: int = Field(default=256, ge=2)
    """Paintings in a balanced batch, a multiple of ``m``; or tuples in a batch of tuples."""
    m: int = 4
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    backbone_learning_rate: float = Field(default=1e-4, gt=0)
    """For a backbone that is not frozen."""
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from zero."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs between two looks at the validation artists; the best model by validation pair AUC is kept."""
    patience: int = Field(default=6, ge=1)
    """Looks without improvement after which training stops."""
    clip_gradient: float = Field(default=5.0, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"


class FeatureDataset(Dataset[tuple[Tensor, Tensor]]):
    """Cached features and their labels; a whole batch is fetched at once."""

    def __init__(self, features: Tensor, labels: Sequence[int]) -> None:
        self.features, self.labels = features, torch.as_tensor(labels)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.features[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        return self.features[indices], self.labels[indices]


def fit(
    model: nn.Module,
    objective: Objective,
    dataset: Dataset[Any],
    labels: Sequence[int],
    validate: Callable[[], float],
    config: TrainingConfig,
    folder: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    accelerator: Accelerator | None = None,
) -> pd.DataFrame:
    """Train ``model`` and leave it with the weights that were best on the validation artists.

    Everything random in an epoch follows from ``seed`` and the epoch's number, so a run that is interrupted and
    resumed at its last checkpoint ends with the same weights as one that was not.

    Args:
        model: inputs → embeddings (B, D).
        objective: its parameters are trained too.
        dataset: gives (input, label).
        labels: the label of every item, 0 to artists − 1.
        validate: measures the model as it stands; higher is better.
        folder: ``checkpoint.pt`` is kept here while training goes on.
        resume: go on from ``checkpoint.pt`` if it is there.

    Returns:
        One row an epoch: loss, learning rate, gradient norm, seconds, validation_pair_auc, and what the objective logs.

    Raises:
        MorelliError: the loss is not a number, or the batches do not fit the artists.
        KeyboardInterrupt: passed on, after the best weights so far were put back into ``model``.
    """
    accelerator = accelerator or create_accelerator(config.precision)
    sampler, batch_size = create_sampler(labels, config, seed)
    loader = _loader(dataset, sampler, batch_size)
    optimiser = _optimiser(model, objective, config)
    schedule = LambdaLR(optimiser, _factor(config, steps=config.epochs * len(loader)))
    model, objective, optimiser, loader = accelerator.prepare(model, objective, optimiser, loader)
    state = _State(model, objective, optimiser, schedule, folder / CHECKPOINT)
    is_features = isinstance(dataset, FeatureDataset)
    if resume:
        state.load()
    try:
        with progress_bar() as progress:
            task = progress.add_task("train", total=config.epochs, completed=state.epoch)
            while state.epoch < config.epochs and state.looks_without_gain < config.patience:
                started = time.perf_counter()
                with one_thread_if_small(model, batch_size) if is_features else nullcontext():
                    row = _epoch(state, loader, config, accelerator, seed)
                state.epoch += 1
                if state.epoch % config.validate_every == 0 or state.epoch == config.epochs:
                    row["validation_pair_auc"] = validate()
                    state.look(row["validation_pair_auc"])
                row["seconds"] = time.perf_counter() - started
                state.history.append(row)
                if "validation_pair_auc" in row:
                    state.save()
                progress.update(task, advance=1, description=f"train (loss {row['loss']:.3f})")
    finally:
        state.restore_best()
    return pd.DataFrame(state.history)


def create_accelerator(precision: str) -> Accelerator:
    """Accelerate's choice of device, with this precision."""
    AcceleratorState._reset_state()  # it holds the process to its first precision; runs of one bench may differ
    return Accelerator(mixed_precision=precision)


class _State:
    """All that a resumed training needs."""

    def __init__(
        self, model: nn.Module, objective: nn.Module, optimiser: Optimizer, schedule: LambdaLR, path: Path
    ) -> None:
        self.model, self.objective, self.optimiser, self.schedule, self.path = (
            model,
            objective,
            optimiser,
            schedule,
            path,
        )
        self.epoch, self.best, self.looks_without_gain = 0, -math.inf, 0
        self.history: list[dict[str, float]] = []
        self.best_weights = self._weights()

    def _weights(self) -> dict[str, dict[str, Tensor]]:
        parts = {"model": self.model, "objective": self.objective}
        return {
            name: {key: value.detach().clone() for key, value in part.state_dict().items()}
            for name, part in parts.items()
        }

    def look(self, value: float) -> None:
        if value > self.best:
            self.best, self.looks_without_gain, self.best_weights = value, 0, self._weights()
        else:
            self.looks_without_gain += 1

    def restore_best(self) -> None:
        self.model.load_state_dict(self.best_weights["model"])
        self.objective.load_state_dict(self.best_weights["objective"])

    def save(self) -> None:
        content = {
            "weights": self._weights(),
            "best_weights": self.best_weights,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "plain": [self.epoch, self.best, self.looks_without_gain, self.history],
        }
        with written_whole(self.path) as temporary:
            torch.save(content, temporary)

    def load(self) -> None:
        if not self.path.is_file():
            return
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(content["weights"]["model"])
            self.objective.load_state_dict(content["weights"]["objective"])
            self.optimiser.load_state_dict(content["optimiser"])
            self.schedule.load_state_dict(content["schedule"])
            self.best_weights = content["best_weights"]
            self.epoch, self.best, self.looks_without_gain, self.history = content["plain"]
        except Exception as error:  # torch.load raises many kinds for a damaged or foreign file
            raise MorelliError(
                f"The checkpoint {self.path} does not fit this run ({error}). Delete it to train from the start."
            ) from error


def _epoch(
    state: _State,
    loader: Any,
    config: TrainingConfig,
    accelerator: Accelerator,
    seed: int,
) -> dict[str, float]:
    set_seed(seed * 100_003 + state.epoch)
    loader.set_epoch(state.epoch)  # Accelerate passes it on to the sampler; it would count from its own start
    state.model.train()
    state.objective.train()
    sums: dict[str, float] = {}
    parameters = [parameter for group in state.optimiser.param_groups for parameter in group["params"]]
    for inputs, labels in loader:
        with accelerator.autocast():
            embeddings = state.model(inputs)
        loss, figures = state.objective(embeddings.float(), labels)
        if not torch.isfinite(loss):
            raise MorelliError(
                f"The loss became {loss.item()} in epoch {state.epoch + 1}. Lower training.learning_rate (now "
                f"{config.learning_rate:g}), or training.clip_gradient, or use training.precision=no."
            )
        state.optimiser.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(parameters, config.clip_gradient)
        state.optimiser.step()
        state.schedule.step()
        logged = {"loss": loss.item(), "gradient_norm": float(norm or 0.0)} | figures
        sums = {key: sums.get(key, 0.0) + value for key, value in logged.items()}
    means = {key: value / len(loader) for key, value in sums.items()}
    rate = float(state.schedule.get_last_lr()[0])
    return {"epoch": state.epoch + 1, **means, "learning_rate": rate}


def create_sampler(
    labels: Sequence[int], config: TrainingConfig, seed: int
) -> tuple[ArtistBalancedSampler | RandomTupleSampler, int]:
    """The sampler that a training config asks for, and the number of paintings in a batch.

    Raises:
        MorelliError: ``m``, the batch size and the artists do not fit.
    """
    if config.sampling == "balanced":
        return ArtistBalancedSampler(labels, m=config.m, batch_size=config.batch_size, seed=seed), config.batch_size
    size = config.batch_size * (3 if config.sampling == "triplets" else 2)
    return RandomTupleSampler(labels, kind=config.sampling, seed=seed), size


def _loader(dataset: Dataset[Any], sampler: Any, batch_size: int) -> DataLoader[Any]:
    if isinstance(dataset, FeatureDataset):
        return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=_as_fetched)
    workers = loader_workers(len(sampler))
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=workers, persistent_workers=False)


def _as_fetched(batch: Any) -> Any:
    return batch


def _optimiser(model: nn.Module, objective: nn.Module, config: TrainingConfig) -> Optimizer:
    backbone = getattr(model, "backbone", None)
    slow = [p for p in backbone.parameters() if p.requires_grad] if isinstance(backbone, nn.Module) else []
    slow_ids = {id(parameter) for parameter in slow}
    fast = [p for part in (model, objective) for p in part.parameters() if p.requires_grad and id(p) not in slow_ids]
    groups: list[dict[str, Any]] = [{"params": fast, "lr": config.learning_rate}]
    if slow:
        groups.append({"params": slow, "lr": config.backbone_learning_rate})
    if config.optimiser == "adam":
        return Adam(groups, weight_decay=config.weight_decay, fused=True)
    return AdamW(groups, weight_decay=config.weight_decay, fused=True)


def _factor(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    warmup = round(config.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor
