"""Features of a folder: those of every view and of every backbone, each computed once."""

from pathlib import Path
from typing import Any

import pytest
import torch

from morelli.data.dataset import PaintersByNumbers
from morelli.models import features
from morelli.models.backbones import BackboneConfig, JointBackbone, create_backbone
from morelli.models.features import features_of
from morelli.models.transforms import show

CPU = torch.device("cpu")


def config(**changes: Any) -> BackboneConfig:
    return BackboneConfig.model_validate({"name": "test_resnet", "weights": "none", "image_size": 32, **changes})


@pytest.fixture
def dataset(prepared: Path) -> PaintersByNumbers:
    whole = PaintersByNumbers(prepared)
    return whole.only(list(whole.paintings["id"][[9, 4, 30]]))


@torch.no_grad()
def test_every_view_of_every_backbone_has_its_features(dataset: PaintersByNumbers) -> None:
    torch.manual_seed(0)
    joint = create_backbone(config(beside=["test_efficientnet"], views=3))
    assert isinstance(joint, JointBackbone)

    rows = features_of(joint, dataset, CPU)

    assert rows.shape == (3, 3, joint.width)
    assert joint.width == sum(part.width for part in joint.parts)
    single = [create_backbone(part.config.model_copy(update={"views": 1})) for part in joint.parts]
    for place in range(3):
        picture, _ = dataset[place]
        for view, shown in enumerate(show(picture, 3)):
            expected = []
            for part, plain in zip(joint.parts, single, strict=True):
                expected.append(part.eval()(plain.transform()(shown)[None])[0])  # type: ignore[operator]
            torch.testing.assert_close(rows[place, view], torch.cat(expected), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_joint_backbone_takes_what_its_transform_gives(dataset: PaintersByNumbers) -> None:
    torch.manual_seed(0)
    joint = create_backbone(config(beside=["test_efficientnet"], views=2)).eval()
    batch = torch.utils.data.default_collate([joint.transform()(dataset[place][0]) for place in range(3)])

    torch.testing.assert_close(joint(batch), features_of(joint, dataset, CPU), atol=1e-4, rtol=1e-4)


def test_backbones_that_see_a_picture_alike_get_it_made_once(dataset: PaintersByNumbers) -> None:
    joint = create_backbone(config(beside=["test_vit", "test_convnext"], image_size=160))
    assert isinstance(joint, JointBackbone)
    picture, _ = dataset[0]

    inputs = joint.transform()(picture)

    for part, own in zip(joint.parts, inputs, strict=True):
        assert torch.equal(own, part.transform()(picture))
    assert len({part.input_settings for part in joint.parts}) == len({id(own) for own in inputs}) == 2


def test_backbones_beside_each_other_share_what_each_has_on_disk(
    dataset: PaintersByNumbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    joint = create_backbone(config(beside=["test_efficientnet"]))
    first = features_of(joint.parts[1], dataset, CPU)
    asked: list[str] = []
    embed = features.embed

    def counting(*call: Any, what: str, **options: Any) -> torch.Tensor:
        asked.append(what)
        return embed(*call, what=what, **options)

    monkeypatch.setattr(features, "embed", counting)

    both = features_of(joint, dataset, CPU)

    assert asked == ["test_resnet"]
    assert torch.equal(both[:, -first.shape[1] :], first)


def test_names_tell_what_is_beside() -> None:
    assert config(beside=["test_vit"], views=4, fit="squash").label == "test_resnet+test_vit+32px+squash+4views"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"beside": ["test_vit"], "train": "all"}, "must be frozen"),
        ({"beside": ["test_vit"], "weights": "some/file.pth"}, "one file of weights cannot serve several"),
        ({"views": 0}, "greater than or equal to 1"),
        ({"views": 8}, "less than or equal to 7"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        config(**changes)
