"""The memory format is measured once, where it is worth it, and then stays what it is."""

import json
from pathlib import Path

import pytest
import torch

from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.memory_format import settle_memory_format

CPU = torch.device("cpu")
MANY = 100_000


def make_backbone(**changes: object) -> Backbone:
    torch.manual_seed(0)
    return Backbone(
        BackboneConfig.model_validate(
            {"name": "test_resnet", "weights": "none", "image_size": 32, "train": "all", **changes}
        )
    )


def is_channels_last(backbone: Backbone) -> bool:
    weight = next(parameter for parameter in backbone.parameters() if parameter.ndim == 4)
    return bool(weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous())


def decisions(cache: Path) -> list[Path]:
    return sorted((cache / "memory_formats").glob("*.json"))


def test_what_was_measured_decides(cache: Path) -> None:
    backbone = make_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    generator = torch.get_rng_state()

    settle_memory_format(backbone, CPU, pictures=MANY)

    (path,) = decisions(cache)
    found = json.loads(path.read_text())
    assert found["channels_last"] == (found["seconds"]["contiguous"] > 0.9 * found["seconds"]["channels_last"])
    assert is_channels_last(backbone) == found["channels_last"]
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("pictures", [MANY, 1])
def test_it_is_measured_once(cache: Path, chosen: bool, pictures: int) -> None:
    settle_memory_format(make_backbone(), CPU, pictures=MANY)
    (path,) = decisions(cache)
    path.write_text(json.dumps({"channels_last": chosen}))  # as if the clock had said so

    backbone = make_backbone()
    settle_memory_format(backbone, CPU, pictures=pictures)

    assert is_channels_last(backbone) == chosen
    assert json.loads(path.read_text()) == {"channels_last": chosen}


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}"])
def test_a_damaged_decision_is_measured_again(cache: Path, damage: str) -> None:
    settle_memory_format(make_backbone(), CPU, pictures=MANY)
    (path,) = decisions(cache)
    path.write_text(damage)

    settle_memory_format(make_backbone(), CPU, pictures=MANY)

    assert "seconds" in json.loads(path.read_text())


def test_for_few_pictures_nothing_is_measured(cache: Path) -> None:
    backbone = make_backbone()

    settle_memory_format(backbone, CPU, pictures=100)

    assert is_channels_last(backbone)
    assert not decisions(cache)


def test_what_is_measured_apart(cache: Path) -> None:
    for changes in ({}, {"image_size": 64}, {"pool": "stages"}):
        settle_memory_format(make_backbone(**changes), CPU, pictures=MANY)
    settle_memory_format(make_backbone(), CPU, pictures=MANY, precision="bf16")

    assert len(decisions(cache)) == 4
