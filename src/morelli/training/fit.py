"""The training loop: one for all objectives, for frozen features and for whole networks."""

import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, set_seed
from timm.optim import create_optimizer_v2, get_optimizer_class, param_groups_layer_decay
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from morelli._processes import is_first, on_main_process, processes
from morelli._progress import progress_bar
from morelli.data.sampling import ArtistBalancedSampler, RandomTupleSampler
from morelli.errors import MorelliError, MorelliWarning, did_you_mean, first_line
from morelli.models.embedder import loader_workers
from morelli.training._threads import one_thread_if_small
from morelli.training.checkpoint import CHECKPOINT, Stateful, TrainingState
from morelli.training.config import TrainingConfig as TrainingConfig
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.gradients import whole_batch_backward
from morelli.training.objectives import Objective

_RUN: Final = {"wandb": "name", "trackio": "name", "mlflow": "run_name", "swanlab": "experiment_name"}
"""What trackers call a run's name, for those that take one."""


def fit(
    model: nn.Module,
    objective: Objective,
    dataset: Dataset[Any],
    labels: Sequence[int],
    validate: Callable[[], float] | None,
    config: TrainingConfig,
    folder: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    accelerator: Accelerator | None = None,
    keep: Callable[[], None] = lambda: None,
    groups: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Train ``model`` and leave it with the weights that were best on the validation artists.

    Everything random in an epoch follows from ``seed`` and the epoch's number, so a run that is interrupted, or killed
    at any moment, and resumed at its last checkpoint ends with the same weights as one that was not, bit for bit on the
    same kind of machine. With several processes, all call this alike and each embeds its part of every batch.

    Args:
        model: inputs → embeddings (B, D).
        objective: its parameters are trained too.
        dataset: gives (input, label).
        labels: the label of every item, 0 to artists − 1.
        validate: measures the model as it stands; higher is better. None where nobody validates: the last weights are
            then the best.
        folder: ``checkpoint.pt`` is kept here while training goes on.
        resume: go on from ``checkpoint.pt`` if it is there.
        accelerator: from :func:`create_accelerator`; made by it if None.
        keep: called in the first process at the end, also after an interruption, when the best weights are back in
            ``model``; not if training ended before the first validation, when no weights are best.
        groups: the group of each artist, of one of which each balanced batch is filled.

    Returns:
        One row an epoch: loss, learning rate, gradient norm, seconds, validation_pair_auc, and what the objective logs.

    Raises:
        MorelliError: the loss is not a number, or the batches do not fit the artists.
        KeyboardInterrupt: passed on, after the best weights so far, if any, were put back into ``model``.
    """
    accelerator = accelerator or create_accelerator(config.precision, compiled=config.compile)
    sampler, batch_size = create_sampler(labels, config, seed, groups)
    is_features = isinstance(dataset, FeatureDataset)
    loader = _loader(dataset, sampler, batch_size, accelerator.device)
    objective.to(accelerator.device)  # not wrapped as the model is: every process computes the whole batch's loss
    optimiser = _optimiser(model, objective, config)
    schedule = LambdaLR(optimiser, _factor(config, steps=config.epochs * len(loader)))
    if accelerator.ddp_handler is not None:
        accelerator.ddp_handler.find_unused_parameters = not is_features  # pooled stages leave the last layers unused
    wrapped, loader = accelerator.prepare(model, loader)
    others: dict[str, Stateful] = {"optimiser": optimiser, "schedule": schedule}
    if accelerator.scaler is not None:  # only then does Accelerate's optimiser do more than the plain one
        optimiser = others["optimiser"] = accelerator.prepare(optimiser)
        others["scaler"] = accelerator.scaler
    state = TrainingState(model, objective, others, folder / CHECKPOINT)
    if resume:
        state.load()
    _start_trackers(accelerator, folder, state.epoch)
    chunk = None if is_features else config.chunk
    epoch = _Epoch(
        wrapped, objective, optimiser, schedule, loader, len(sampler), batch_size, chunk, config, accelerator
    )
    try:
        with progress_bar(hidden=not is_first()) as progress:
            task = progress.add_task("train", total=config.epochs, completed=state.epoch)
            while state.epoch < config.epochs and state.validations_without_improvement < config.patience:
                started = time.perf_counter()
                with one_thread_if_small(model, batch_size) if is_features else nullcontext():
                    row = epoch.run(state.epoch, seed)
                state.epoch += 1
                is_validation = state.epoch % config.validate_every == 0 or state.epoch == config.epochs
                if is_validation:
                    if validate is not None:
                        row["validation_pair_auc"] = on_main_process(partial(float, validate()))
                    state.validated(row.get("validation_pair_auc", state.epoch))
                row["seconds"] = time.perf_counter() - started
                state.history.append(row)
                accelerator.log({key: value for key, value in row.items() if key != "epoch"}, step=state.epoch)
                if is_validation or state.is_save_due:
                    state.save()
                progress.update(task, advance=1, description=f"train (loss {row['loss']:.3f})")
    except TorchDynamoException as error:
        raise MorelliError(
            f"torch.compile cannot compile this network here: {first_line(error, 400)} It needs a C++ "
            "compiler, and Triton for a GPU. Set training.compile=false."
        ) from error
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
        if state.restore_best() and is_first():
            keep()
    return pd.DataFrame(state.history)


def _start_trackers(accelerator: Accelerator, folder: Path, epoch: int) -> None:
    """TensorBoard and DVCLive log into the run's folder, others to the project ``morelli``, under the folder's name."""
    options: dict[str, dict[str, Any]] = {tracker: {key: folder.name} for tracker, key in _RUN.items()}
    options["tensorboard"] = {"purge_step": epoch + 1}  # what is trained again after a checkpoint is taken back
    options["dvclive"] = {"dir": str(folder / "dvclive"), "save_dvc_exp": False}
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it tells its makers
    try:
        project = "tensorboard" if "tensorboard" in map(str, accelerator.log_with) else "morelli"
        accelerator.init_trackers(project, init_kwargs=options)
    except Exception as error:  # what each raises is its own: no account, no server
        raise MorelliError(f"--log {accelerator.log_with[0]} cannot log: {first_line(error, 300)}") from error


def check_tracker(log: str | None) -> None:
    """Refuse a tracker that Accelerate does not know, or that is not installed, which it would pass over."""
    at_hand = sorted(map(str, get_available_trackers()))
    if log is None or log in at_hand:
        return
    here = f"Installed here: {', '.join(at_hand) or 'none'}."
    if log in LOGGER_TYPE_TO_CLASS:
        raise MorelliError(f"--log {log} needs a package: pip install {log}. {here}")
    raise MorelliError(f'No tracker is called "{log}".{did_you_mean(log, LOGGER_TYPE_TO_CLASS)} {here}')


def create_accelerator(
    precision: str, log: str | None = None, folder: Path | None = None, *, compiled: bool = False
) -> Accelerator:
    """Accelerate's choice of device and processes; a batch is split among the processes.

    ``log`` is a tracker's name, see :func:`check_tracker`; ``folder`` is where the first process logs. ``compiled``:
    models that it prepares are trained through ``torch.compile``.
    """
    processes()
    AcceleratorState._reset_state()  # it holds the process to its first precision; runs of one bench may differ
    return Accelerator(
        mixed_precision=precision,
        log_with=log,
        project_dir=folder,
        dynamo_backend="inductor" if compiled else "no",
        dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


@dataclass(frozen=True)
class _Epoch:
    """One pass over the loader's batches, with a step of the optimiser for each; ``paintings`` are drawn in it."""

    model: nn.Module
    objective: Objective
    optimiser: Optimizer
    schedule: LambdaLR
    loader: Any
    paintings: int
    batch_size: int
    chunk: int | None
    config: TrainingConfig
    accelerator: Accelerator

    def run(self, number: int, seed: int) -> dict[str, float]:
        """Train through epoch ``number``, counted from 0; return its row of the history."""
        _set_seeds(seed * 100_003 + number, self.accelerator.process_index)
        self.loader.set_epoch(number)  # Accelerate passes it on to the sampler; it would count from its own start
        self.model.train()
        self.objective.train()
        self.objective.epoch = number
        logged: list[dict[str, Tensor]] = []
        for step, (inputs, labels) in enumerate(self.loader):
            # The step before is read only now, while a GPU still has its backward pass to do.
            self._check(logged[-1:], number)
            logged.append(self._step(inputs, labels, min(self.batch_size, self.paintings - step * self.batch_size)))
        self._check(logged[-1:], number)
        if number == 0 and self.accelerator.is_main_process and not any(bool(one["loss"]) for one in logged):
            warnings.warn(self.objective.why_zero(), MorelliWarning, stacklevel=3)
        means = {key: float(torch.stack([one[key] for one in logged]).double().mean()) for key in logged[0]}
        return {"epoch": number + 1, **means, "learning_rate": float(self.schedule.get_last_lr()[0])}

    def _step(self, inputs: Any, labels: Tensor, size: int) -> dict[str, Tensor]:
        self.optimiser.zero_grad()
        loss, figures = whole_batch_backward(
            self.model, self.objective, inputs, labels, self.accelerator, size=size, chunk=self.chunk
        )
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        norm = self.accelerator.clip_grad_norm_(parameters, self.config.clip_gradient)
        self.optimiser.step()
        self.schedule.step()
        return {"loss": loss, "gradient_norm": loss.new_zeros(()) if norm is None else norm} | figures

    def _check(self, logged: list[dict[str, Tensor]], number: int) -> None:
        for one in logged:
            if not torch.isfinite(one["loss"]):
                raise MorelliError(
                    f"The loss became {one['loss'].item()} in epoch {number + 1}. Lower training.learning_rate (now "
                    f"{self.config.learning_rate:g}), or training.clip_gradient, or use training.precision=no."
                )


def _set_seeds(seed: int, process: int) -> None:
    """Dropout and augmentation differ between processes; the first draws as a single process would."""
    set_seed(seed)
    if process:
        torch.manual_seed(seed + (process << 40))


def create_sampler(
    labels: Sequence[int], config: TrainingConfig, seed: int, groups: Sequence[int] | None = None
) -> tuple[ArtistBalancedSampler | RandomTupleSampler, int]:
    """The sampler that a training config asks for, if it fits the artists, and the number of paintings in a batch."""
    size = config.batch_size * {"balanced": 1, "triplets": 3, "pairs": 2}[config.sampling]
    if size % (count := processes().num_processes):
        raise MorelliError(
            f"A batch of {size} paintings cannot be split among {count} processes. "
            f"Set training.batch_size to a multiple of {count}, or start another number of processes."
        )
    if config.sampling == "balanced":
        return ArtistBalancedSampler(labels, m=config.m, batch_size=size, groups=groups, seed=seed), size
    return RandomTupleSampler(labels, kind=config.sampling, seed=seed), size


def _loader(dataset: Dataset[Any], sampler: Any, batch_size: int, device: torch.device) -> DataLoader[Any]:
    if isinstance(dataset, FeatureDataset):
        return DataLoader(dataset, batch_size, sampler=sampler, collate_fn=lambda batch: batch)
    workers = loader_workers(len(sampler), device)
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=workers, pin_memory=device.type == "cuda")


def _optimiser(model: nn.Module, objective: nn.Module, config: TrainingConfig) -> Optimizer:
    backbone = getattr(model, "backbone", None)
    slow = _layers(backbone, config) if isinstance(backbone, nn.Module) else []
    slow_ids = {id(parameter) for group in slow for parameter in group["params"]}
    fast = [p for part in (model, objective) for p in part.parameters() if p.requires_grad and id(p) not in slow_ids]
    groups = [{"params": fast}, *slow]
    name, rate, decay = config.optimiser, config.learning_rate, config.weight_decay
    try:
        options = {"fused": True} if "fused" in signature(get_optimizer_class(name)).parameters else {}
        return create_optimizer_v2(groups, name, rate, decay, **options)  # type: ignore[no-any-return]
    except Exception as error:  # some need a GPU or another library
        raise MorelliError(f"training.optimiser={name} cannot be used here: {error}.") from error


def _layers(backbone: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """A trained backbone's parameters, layer by layer, each with its learning rate; none of a frozen one."""
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return []
    groups = param_groups_layer_decay(backbone.net, config.weight_decay, layer_decay=config.layer_decay)
    rates = [config.backbone_learning_rate * group.pop("lr_scale") for group in groups]
    return [{"params": group["params"], "lr": rate} for group, rate in zip(groups, rates, strict=True)]


def _factor(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    warmup = round(config.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor
