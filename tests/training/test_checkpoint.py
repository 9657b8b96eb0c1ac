"""The state of a training: what is written comes back, and what the network forgets is remembered."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from morelli.training import checkpoint
from morelli.training.checkpoint import CHECKPOINT, TrainingState
from morelli.training.objectives import ObjectiveConfig, create_objective


def queue() -> nn.Module:
    config: Any = {"loss": {"name": "CrossBatchMemory", "memory_size": 12, "loss": {"name": "SupConLoss"}}}
    objective = create_objective(ObjectiveConfig.model_validate(config), width=4, artists=2, normalised=True)
    assert objective is not None
    return objective


def state(folder: Path, objective: nn.Module | None = None, **others: Any) -> TrainingState:
    torch.manual_seed(0)
    return TrainingState(nn.Linear(3, 4), objective or nn.Identity(), others, folder / CHECKPOINT)


def test_a_queue_goes_on_where_it_was(tmp_path: Path) -> None:
    before, after = queue(), queue()
    labels = torch.tensor([0, 0, 1, 1] * 2)
    before(torch.randn(8, 4), labels)
    state(tmp_path, before).save()
    state(tmp_path, after).load()
    points = torch.randn(8, 4)
    for _ in range(2):
        torch.testing.assert_close(before(points, labels), after(points, labels), atol=0, rtol=0)


def test_the_scale_of_half_precision_goes_on_where_it_was(tmp_path: Path) -> None:
    def scaler() -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)

    before, after = scaler(), scaler()
    before.load_state_dict({**before.state_dict(), "scale": 64.0, "_growth_tracker": 2})
    state(tmp_path, scaler=before).save()
    state(tmp_path, scaler=after).load()
    assert after.state_dict() == before.state_dict()


def test_the_best_weights_come_back_and_before_the_first_look_none_do(tmp_path: Path) -> None:
    training = state(tmp_path)
    assert not training.restore_best()
    training.validated(0.5)
    model = training.modules["model"]
    best = {key: value.clone() for key, value in model.state_dict().items()}
    nn.init.zeros_(model.get_parameter("weight"))
    training.validated(0.4)
    training.save()
    again = state(tmp_path)
    again.load()
    assert (again.best, again.validations_without_improvement) == (0.5, 1)
    assert not again.modules["model"].get_parameter("weight").any()
    assert again.restore_best()
    assert all(torch.equal(value, best[key]) for key, value in again.modules["model"].state_dict().items())


def test_it_is_also_saved_between_looks_but_not_at_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    training = state(tmp_path)
    due = []
    for _ in range(4):
        now[0] += 25
        due.append(training.is_save_due)
        if due[-1]:
            training.save()
    assert due == [False, False, True, False]
