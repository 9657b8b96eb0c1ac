"""Weights of a backbone: from files of any maker, folders and the hub; refused where they are another network's."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from hub_server import HubServer
from morelli.data.artists import artist_key
from morelli.data.known_artists import known_to
from morelli.errors import MorelliError
from morelli.models import hub_files
from morelli.models.backbones import Backbone, BackboneConfig, create_backbone

State = dict[str, Tensor]
LITE = tuple(f"tf_efficientnet_lite{number}" for number in range(3))


def state_of(name: str = "test_resnet", **options: Any) -> State:
    torch.manual_seed(7)
    return timm.create_model(name, pretrained=False, **options).state_dict()


def load(weights: Path | str, name: str = "test_resnet", **changes: Any) -> Backbone:
    torch.manual_seed(0)
    config = {"name": name, "weights": str(weights), "image_size": 64, "train": "all", **changes}
    return Backbone(BackboneConfig.model_validate(config)).eval()


def holds(backbone: Backbone, state: State) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in backbone.net.state_dict().items())


def below(prefix: str) -> Callable[[State], Any]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


WAYS: dict[str, tuple[Callable[[State], Any], str]] = {
    "as it is": (lambda state: state, ""),
    "distributed": (below("module."), ""),
    "compiled": (below("_orig_mod."), ""),
    "timm's checkpoint": (lambda state: {"state_dict": state, "epoch": 3, "args": argparse.Namespace(lr=1)}, ""),
    "averaged": (lambda state: {"model": {n: t + 1 for n, t in state.items()}, "model_ema": state}, ""),
    "the tutorial's": (lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}}, ""),
    "a name of one's own": (lambda state: {"net": state, "epoch": 3}, ""),
    "inside a module": (below("backbone."), 'the prefix "backbone." is taken off '),
    "deeper": (below("model.encoder.trunk."), 'the prefix "model.encoder.trunk." is taken off'),
    "Lightning": (
        lambda state: {
            "state_dict": below("net.")(state) | {"loss.W": torch.ones(2)},
            "pytorch-lightning_version": "2",
        },
        "1 tensors outside it (loss.W) are left out",
    ),
    "another classifier": (
        lambda state: {n: t for n, t in state.items() if "fc" not in n} | {"fc.0.weight": torch.ones(2)},
        "",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_files_of_any_maker_are_taken(tmp_path: Path, way: str, caplog: pytest.LogCaptureFixture) -> None:
    make, note = WAYS[way]
    state = state_of()
    path = tmp_path / "weights.pth"
    torch.save(make(state), path)

    assert holds(load(path), state)

    assert len(caplog.messages) == bool(note)
    assert all(note in message and str(path) in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("name", "larger", "beyond"),
    [
        ("test_resnet", {"layers": (1, 2, 1, 1)}, r"layer2\.1\."),
        ("test_vit", {"depth": 8}, r"blocks\.6, blocks\.7\."),
        ("test_convnext", {"depths": (1, 2, 4, 3)}, r"stages\.3\.blocks\.2\."),
    ],
)
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_weights_of_a_larger_network_are_refused(
    tmp_path: Path, name: str, larger: dict[str, Any], beyond: str, prefix: str
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(below(prefix)(state_of(name, **larger)), path)

    with pytest.raises(MorelliError, match=rf"holds more than {name}: {beyond} It was made for a larger network"):
        load(path, name, image_size=160)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda state: {n: t for n, t in state.items() if "layer4" not in n}, "no weights for 15 tensors"),
        (lambda state: state | {"conv1.0.weight": torch.ones(3)}, "made for another network than test_resnet: size"),
        (lambda state: below("student.")(state) | below("teacher.")(state), r"2 times, below student\. and teacher\."),
        (lambda state: {"student": state, "teacher": state}, r"several state dicts \(student, teacher\)"),
        (lambda _: {"epoch": 3, "lr": 0.1}, "holds no state dict"),
        (lambda _: [1, 2], "holds no state dict"),
        (lambda _: nn.Linear(2, 2), "Python objects, which are never run"),
    ],
)
def test_what_is_no_network_of_this_kind_is_refused(
    tmp_path: Path, make: Callable[[State], Any], expected: str
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(make(state_of()), path)

    with pytest.raises(MorelliError, match=expected):
        load(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 no weights"])
def test_what_is_no_file_of_weights_is_said(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)

    with pytest.raises(MorelliError, match=rf"No weights for backbone test_resnet: {path}"):
        load(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_git_lfs_pointer_is_recognised(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")

    with pytest.raises(MorelliError, match=r"Git LFS pointer.*git lfs pull"):
        load(path)


@torch.no_grad()
def test_one_channel_takes_the_colours_weights_together(tmp_path: Path) -> None:
    state = state_of()
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    grey, colour = load(path, in_chans=1), load(path)
    image = torch.rand(2, 1, 64, 64)

    torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)
    assert grey.config.label == "test_resnet+grey+64px+finetuned"
    assert len(grey.mean) == 1
    assert grey.transform()(Image.new("RGB", (90, 60))).shape == (1, 64, 64)
    assert grey.fingerprint() != colour.fingerprint()


@pytest.fixture
def timm_folder(tmp_path: Path) -> Path:
    """What timm's own ``save_for_hf`` writes, of a network with an architecture's arguments of its own."""
    torch.manual_seed(3)
    net = timm.create_model("test_vit", pretrained=False, num_classes=5)
    folder = tmp_path / "saved"
    save_for_hf(net, folder, model_args={"depth": 6}, safe_serialization=True)
    return folder


@pytest.mark.parametrize("weights", ["auto", "timm"])
def test_a_folder_that_timm_wrote_is_a_backbone(timm_folder: Path, weights: str) -> None:
    backbone = load(weights, f"local-dir:{timm_folder}", image_size=None)

    assert holds(backbone, load_file(timm_folder / "model.safetensors"))
    assert backbone.image_size == 160
    assert backbone.config.label == "saved+finetuned"


def test_a_folder_that_timm_did_not_write_is_named(timm_folder: Path) -> None:
    (timm_folder / "model.safetensors").unlink()
    with pytest.raises(MorelliError, match=r"holds no model\.safetensors or"):
        load("auto", f"local-dir:{timm_folder}")
    for content, expected in (
        ("{", r"config\.json cannot be read"),
        ("[]", r"config\.json cannot be read"),
        ('{"model_type": "vit"}', "names no architecture of timm's"),
    ):
        (timm_folder / "config.json").write_text(content)
        with pytest.raises(MorelliError, match=expected):
            load("auto", f"local-dir:{timm_folder}")
    (timm_folder / "config.json").unlink()
    with pytest.raises(MorelliError, match=r"holds no config\.json"):
        load("auto", f"local-dir:{timm_folder}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    monkeypatch.setattr(hub_files, "_unreachable", {})
    with HubServer() as server:
        server.use(monkeypatch, tmp_path / "home", token=None)
        yield server


@pytest.mark.parametrize("scheme", ["hf_hub:", "hf-hub:"])
def test_a_timm_model_on_the_hub_is_a_backbone(hub: HubServer, timm_folder: Path, scheme: str) -> None:
    files = ("config.json", "model.safetensors")
    hub.models["ada/vit"] = {name: (timm_folder / name).read_bytes() for name in files}

    backbone = load("auto", f"{scheme}ada/vit", image_size=None)

    assert holds(backbone, load("auto", f"local-dir:{timm_folder}", image_size=None).net.state_dict())
    assert backbone.config.label == "vit+finetuned"
    hub.models.clear()
    asked = len(hub.requests)
    assert holds(load("auto", f"{scheme}ada/vit", image_size=None), backbone.net.state_dict())
    assert len(hub.requests) == asked  # what was fetched once needs no connection


def test_timms_own_weights_come_from_the_hub(hub: HubServer, tmp_path: Path) -> None:
    state = state_of()
    save_file(state, tmp_path / "model.safetensors")
    hub.models["timm/test_resnet.r160_in1k"] = {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()}

    assert holds(load("timm"), state)


def test_a_pickle_from_the_hub_is_never_run(hub: HubServer, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(nn.Linear(2, 2), path)
    hub.models["timm/test_resnet.r160_in1k"] = {"pytorch_model.bin": path.read_bytes()}

    with pytest.raises(MorelliError, match="Python objects, which are never run"):
        load("timm")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["test_resnet", "hf_hub:ada/vit"])
def test_a_model_that_the_hub_has_not_is_said(name: str) -> None:
    with pytest.raises(MorelliError, match=rf"No weights for backbone {name}: the hub has no .*, or not for you"):
        load("timm", name)


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_without_a_connection_it_is_said_within_seconds_and_asked_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    asked = []

    def head(address: str, **_: Any) -> None:
        asked.append(address)
        if how == "is silent":
            time.sleep(20)
        raise requests.ConnectionError

    monkeypatch.setattr(hub_files, "_unreachable", {})
    monkeypatch.setattr(hub_files, "_SECONDS", 0.5)
    monkeypatch.setattr(requests, "head", head)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    started = time.monotonic()

    for name in ("test_resnet", "test_vit", "hf_hub:ada/vit"):
        with pytest.raises(MorelliError, match=rf"{name}: https://hub\.invalid cannot be reached\.\nThree ways"):
            load("auto", name)

    assert asked == ["https://hub.invalid"]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("name", "size", "reason", "weights"),
    [
        ("test_vit", 50, "divisible by patch size", "none"),
        ("test_vit", 50, "divisible by patch size", "timm"),
        ("xcit_nano_12_p16_224", 200, "patch_size", "none"),
    ],
)
def test_a_size_that_an_architecture_refuses_is_said_with_sizes_that_do(
    monkeypatch: pytest.MonkeyPatch, name: str, size: int, reason: str, weights: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(MorelliError) as raised:
        load(weights, name, image_size=size)

    assert reason in str(raised.value)
    assert "weights for backbone" not in str(raised.value)
    sizes = str(raised.value).partition("would do: ")[2].partition(".")[0].split(", ")
    for one in sizes:
        load("none", name, image_size=int(one))
    assert {int(one) < size for one in sizes} == {True, False}


def test_weights_tuned_on_painters_come_with_the_package() -> None:
    config = {"name": LITE[0], "image_size": 64, "beside": LITE[1:]}
    tuned = create_backbone(BackboneConfig(weights="painters", **config))
    imagenet = create_backbone(BackboneConfig(weights="packaged", **config))

    for ours, theirs in zip(tuned.parts, imagenet.parts, strict=True):
        apart = [(a - b).norm() / b.norm() for (_, a), (_, b) in zip(named(ours), named(theirs), strict=True)]
        assert 0.005 < float(torch.stack(apart).median()) < 0.1  # near ImageNet's, and not the same
    assert tuned.config.label == f"{'+'.join(LITE)}+painters+64px"
    assert len(known_to("painters")) == len(set(map(artist_key, known_to("painters")))) == 577
    assert known_to("packaged") == known_to("/some/file.pth") == ()


def test_other_networks_have_no_tuned_weights() -> None:
    with pytest.raises(MorelliError, match=rf"resnet18: tuned on painters are {', '.join(LITE)} only"):
        load("painters", "resnet18")


def named(backbone: Backbone) -> list[tuple[str, Tensor]]:
    return [(name, one) for name, one in backbone.net.state_dict().items() if name.endswith("conv_pw.weight")]
