"""Checkpoints: what a training has reached, its best weights, and all that going on from there takes."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from morelli._files import written_whole
from morelli._processes import is_first, on_main_process
from morelli._tensors import load_pickled
from morelli.errors import MorelliError

CHECKPOINT: Final = "checkpoint.pt"
_SECONDS_BETWEEN = 60.0
"""Between two validations a checkpoint is written at most this often, at the end of an epoch."""


class Stateful(Protocol):
    """What torch's optimisers, schedules and gradient scalers have in common."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class TrainingState:
    """What a training has reached, and the file it is kept in.

    Args:
        model: trained, with parameters and buffers.
        objective: trained too; what PML's losses remember outside their buffers is kept as well.
        others: optimiser, schedule and, for fp16, the gradient scaler, by name.
        path: where ``save`` writes and ``load`` reads.
    """

    def __init__(self, model: nn.Module, objective: nn.Module, others: Mapping[str, Stateful], path: Path) -> None:
        self.modules = {"model": model, "objective": objective}
        self.others, self.path = others, path
        self.epoch, self.best, self.validations_without_improvement = 0, -math.inf, 0
        self.history: list[dict[str, float]] = []
        self.best_weights: dict[str, dict[str, Tensor]] | None = None
        """None before the first validation."""
        self._saved = time.monotonic()

    def validated(self, value: float) -> None:
        """Take note of a measurement on the validation artists; higher is better."""
        self.validations_without_improvement += 1
        if value > self.best:
            self.best, self.validations_without_improvement, self.best_weights = value, 0, self._weights()

    def restore_best(self) -> bool:
        """Put the best weights back; before the first validation there are none, and it returns False."""
        for name, weights in (self.best_weights or {}).items():
            self.modules[name].load_state_dict(weights)
        return self.best_weights is not None

    @property
    def is_save_due(self) -> bool:
        return time.monotonic() - self._saved > _SECONDS_BETWEEN

    def save(self) -> None:
        """Write the file, whole or not at all, in the first process."""
        self._saved = time.monotonic()
        if not is_first():
            return
        content = {
            "weights": self._weights(),
            "best_weights": self.best_weights,
            "remembered": _remembered(self.modules["objective"]),
            "others": {name: other.state_dict() for name, other in self.others.items()},
            "plain": [self.epoch, self.best, self.validations_without_improvement, self.history],
        }
        with written_whole(self.path) as temporary:
            torch.save(content, temporary)

    def load(self) -> None:
        """Go back to what the file holds, if there is one; clear away what a killed writer left beside it."""
        content = on_main_process(self._read)
        if content is None:
            return
        try:
            for name, module in self.modules.items():
                module.load_state_dict(content["weights"][name])
            _remember(self.modules["objective"], content["remembered"])
            for name, other in self.others.items():
                other.load_state_dict(content["others"][name])
            self.best_weights = content["best_weights"]
            self.epoch, self.best, self.validations_without_improvement, self.history = content["plain"]
        except Exception as error:  # whatever does not fit, the file is at fault
            raise self._unfit(error) from error

    def _read(self) -> Any:
        for left_over in self.path.parent.glob(f".*.partial{self.path.suffix}"):
            left_over.unlink(missing_ok=True)
        try:
            return load_pickled(self.path) if self.path.is_file() else None
        except Exception as error:  # of many kinds
            raise self._unfit(error) from error

    def _unfit(self, error: Exception) -> MorelliError:
        return MorelliError(
            f"The checkpoint {self.path} does not fit this run ({error}). Delete it to train from the start."
        )

    def _weights(self) -> dict[str, dict[str, Tensor]]:
        return {
            name: {key: value.detach().clone() for key, value in module.state_dict().items()}
            for name, module in self.modules.items()
        }


def _remembered(module: nn.Module) -> dict[str, dict[str, Tensor | bool | int | float]]:
    """The numbers that a module keeps outside its state dict, such as the place in ``CrossBatchMemory``'s queue."""
    return {
        name: {key: value for key, value in vars(part).items() if isinstance(value, Tensor | bool | int | float)}
        for name, part in module.named_modules()
    }


def _remember(module: nn.Module, remembered: Mapping[str, Mapping[str, Any]]) -> None:
    for name, part in module.named_modules():
        for key, value in remembered[name].items():
            before = vars(part).get(key)
            both = isinstance(before, Tensor) and isinstance(value, Tensor)
            vars(part)[key] = value.to(before.device) if both else value
