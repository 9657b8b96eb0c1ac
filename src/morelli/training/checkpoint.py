"""The state of a training: what it reached so far, its best weights, and all that going on from there takes."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from morelli._files import written_whole
from morelli._processes import is_first, once
from morelli.errors import MorelliError

CHECKPOINT = "checkpoint.pt"
_SECONDS_BETWEEN = 60.0
"""Between two looks at the validation artists a checkpoint is written at most this often, at the end of an epoch."""


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
        self.epoch, self.best, self.looks_without_gain = 0, -math.inf, 0
        self.history: list[dict[str, float]] = []
        self.best_weights: dict[str, dict[str, Tensor]] | None = None
        """None before the first look."""
        self._saved = time.monotonic()

    def look(self, value: float) -> None:
        """Take note of a measurement on the validation artists; higher is better."""
        if value > self.best:
            self.best, self.looks_without_gain, self.best_weights = value, 0, self._weights()
        else:
            self.looks_without_gain += 1

    def restore_best(self) -> bool:
        """Put the best weights back; before the first look there are none, and it returns False."""
        if self.best_weights is None:
            return False
        for name, weights in self.best_weights.items():
            self.modules[name].load_state_dict(weights)
        return True

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
            "plain": [self.epoch, self.best, self.looks_without_gain, self.history],
        }
        with written_whole(self.path) as temporary:
            torch.save(content, temporary)

    def load(self) -> None:
        """Go back to what the file holds, if there is one; clear away what a killed writer left beside it.

        Raises:
            MorelliError: the file is damaged or belongs to another training.
        """
        content = once(self._read)
        if content is None:
            return
        try:
            for name, module in self.modules.items():
                module.load_state_dict(content["weights"][name])
            _remember(self.modules["objective"], content["remembered"])
            for name, other in self.others.items():
                other.load_state_dict(content["others"][name])
            self.best_weights = content["best_weights"]
            self.epoch, self.best, self.looks_without_gain, self.history = content["plain"]
        except Exception as error:  # whatever does not fit, the file is at fault
            raise self._unfit(error) from error

    def _read(self) -> Any:
        for left_over in self.path.parent.glob(f".*.partial{self.path.suffix}"):
            left_over.unlink(missing_ok=True)
        if not self.path.is_file():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises many kinds for a damaged or foreign file
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


_Remembered = dict[str, dict[str, Tensor | bool | int | float]]


def _remembered(module: nn.Module) -> _Remembered:
    """The numbers that a module keeps outside its state dict, such as the place in ``CrossBatchMemory``'s queue."""
    return {
        name: {key: value for key, value in vars(part).items() if isinstance(value, Tensor | bool | int | float)}
        for name, part in module.named_modules()
    }


def _remember(module: nn.Module, remembered: _Remembered) -> None:
    for name, part in module.named_modules():
        for key, value in remembered[name].items():
            before = vars(part).get(key)
            moves = isinstance(before, Tensor) and isinstance(value, Tensor)
            vars(part)[key] = value.to(before.device) if moves else value  # type: ignore[union-attr]
