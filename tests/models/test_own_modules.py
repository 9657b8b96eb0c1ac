"""A network that was trained anywhere is measured, saved, loaded and used by every command."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn import functional
from torchvision import transforms as v1
from torchvision.transforms import v2

from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.models.backbones import BackboneConfig, create_backbone
from morelli.models.custom_modules import ModuleBackbone
from morelli.models.features import features_of
from morelli.models.heads import SCORERS, ConcatHead, CosineScorer, DistanceScorer, PairHead, Scorer, scorer_name
from morelli.models.network import Network, embed_with
from morelli.models.transforms import settings_of

CPU = torch.device("cpu")
STEPS = [v2.Resize((64, 64)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
SHOWN = v2.Compose(STEPS)


def timm_trunk() -> nn.Module:
    return timm.create_model("test_resnet", pretrained=False, num_classes=0)


def torchvision_trunk() -> nn.Module:
    trunk = torchvision.models.resnet18(weights=None)
    trunk.fc = nn.Identity()  # as pytorch-metric-learning's tutorials do
    return trunk


class Own(nn.Module):
    """A trunk that no library makes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


class MLP(nn.Module):
    """The embedder of pytorch-metric-learning's examples, with its output normalised."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(self.net(features), p=2.0, dim=1)


class Gated(nn.Module):
    """An embedder that is no row of layers."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(features, 6), nn.Linear(features, 6)

    def forward(self, features: Tensor) -> Tensor:
        gated: Tensor = self.value(features) * self.gate(features).sigmoid()
        return gated


def squashed(picture: Image.Image) -> Tensor:
    return v2.functional.to_dtype(v2.functional.to_image(picture.resize((64, 64))), torch.float32, scale=True)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def pictures(prepared: Path, network: Network, count: int = 5) -> PaintersByNumbers:
    whole = PaintersByNumbers(prepared, transform=network.backbone.transform())
    return whole.only(list(whole.paintings["id"][:count]))


SAVED: dict[str, Callable[[], tuple[nn.Module, nn.Module | None, Any]]] = {
    "timm": lambda: (timm_trunk(), MLP(96, 32, 8), SHOWN),
    "timm with its own transform": (lambda: (timm_trunk(), nn.Linear(96, 8), None)),
    "timm's transform": lambda: (
        timm_trunk(),
        nn.Sequential(nn.BatchNorm1d(96), nn.Dropout(0.5), nn.Linear(96, 8, bias=False)),
        timm.data.create_transform(64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
    ),
    "timm of another size": lambda: (
        timm.create_model("test_vit", pretrained=False, num_classes=0, img_size=64),
        None,
        SHOWN,
    ),
    "timm of another pool": lambda: (
        timm.create_model("test_resnet", pretrained=False, num_classes=0, global_pool="max"),
        None,
        SHOWN,
    ),
    "timm with a classifier taken off": lambda: (without_classifier(), nn.PReLU(), SHOWN),
    "torchvision": lambda: (
        torchvision_trunk(),
        nn.Sequential(nn.Linear(512, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 8)),
        v1.Compose([v1.Resize(70), v1.CenterCrop(64), v1.ToTensor(), v1.Normalize([0.5] * 3, [0.5] * 3)]),
    ),
    "on several devices": lambda: (nn.DataParallel(timm_trunk()), nn.DataParallel(MLP(96, 8)), SHOWN),
}


def without_classifier() -> nn.Module:
    trunk = timm.create_model("test_resnet", pretrained=False)
    trunk.fc = nn.Identity()
    return trunk


@pytest.mark.parametrize("kind", SAVED)
def test_what_libraries_make_comes_back_from_its_folder_alone(prepared: Path, tmp_path: Path, kind: str) -> None:
    trunk, embedder, transform = SAVED[kind]()
    network = Network.of(trunk, embedder, transform=transform, training_artists=["Ada", "Bo", "Ada"])

    network.save(tmp_path / "model")
    loaded = Network.load(tmp_path / "model")

    assert loaded.card == network.card
    assert loaded.card.training_artists == ("Ada", "Bo")
    expected = embed_with(network, pictures(prepared, network), CPU)
    torch.testing.assert_close(embed_with(loaded, pictures(prepared, loaded), CPU), expected)
    images = torch.stack([(transform or network.backbone.transform())(picture(side)) for side in (90, 200)])
    if not isinstance(trunk, nn.DataParallel):
        features = trunk.eval()(images)
        with torch.no_grad():
            torch.testing.assert_close(loaded(images), embedder.eval()(features) if embedder else features)


def picture(side: int) -> Image.Image:
    return Image.effect_noise((side, 120), 60).convert("RGB")


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"trunk": Own()}, "trunk"),
        ({"embedder": Gated(96)}, "embedder"),
        ({"transform": squashed}, "transform"),
        ({"scorer": type("OwnScorer", (CosineScorer,), {})()}, "scorer"),
    ],
    ids=["trunk", "embedder", "transform", "scorer"],
)
def test_what_no_folder_can_hold_is_named_and_must_be_given(
    prepared: Path, tmp_path: Path, parts: dict[str, Any], what: str
) -> None:
    given = {"trunk": timm_trunk(), "transform": SHOWN, **parts}
    network = Network.of(**given)
    network.save(tmp_path)

    with pytest.raises(MorelliError, match=rf"The {what} of the network in .* runs no code.*load\(.*, {what}=…\)"):
        Network.load(tmp_path)

    fresh = {"trunk": Own, "embedder": lambda: Gated(96), "transform": lambda: squashed}
    again = fresh[what]() if what in fresh else parts[what]
    loaded = Network.load(tmp_path, **{what: again})
    expected = embed_with(network, pictures(prepared, network), CPU)
    assert torch.equal(embed_with(loaded, pictures(prepared, loaded), CPU), expected)


@pytest.mark.parametrize(
    "changes", [{}, {"train": "all"}, {"pool": "stages", "views": 2}, {"beside": ["test_vit"]}], ids=str
)
@torch.no_grad()
def test_a_backbone_of_morellis_is_a_trunk(prepared: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = {"name": "test_resnet", "weights": "none", "image_size": 64, **changes}
    trunk = create_backbone(BackboneConfig.model_validate(config))
    given = {} if "beside" in changes else {"transform": trunk.transform()}
    network = Network.of(trunk, MLP(trunk.width, 8), **given)

    network.save(tmp_path)
    loaded = Network.load(tmp_path)

    expected = embed_with(network, pictures(prepared, network), CPU)
    torch.testing.assert_close(embed_with(loaded, pictures(prepared, loaded), CPU), expected)
    assert expected.shape == (5, 8)
    assert loaded.card.trunk is None


def test_a_network_needs_the_folder_of_its_backbone_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    net = timm.create_model("test_vit", pretrained=False, num_classes=0, depth=2)
    save_for_hf(net, folder, model_args={"depth": 2}, safe_serialization=True)
    trunk = create_backbone(BackboneConfig(name=f"local-dir:{folder}"))
    network = Network.of(trunk)
    network.save(tmp_path / "model")
    shutil.rmtree(folder)

    loaded = Network.load(tmp_path / "model")

    images = torch.rand(2, 3, 160, 160)
    torch.testing.assert_close(loaded(images), network(images))
    assert settings_of(loaded.backbone.transform()) == settings_of(network.backbone.transform())


def test_what_is_given_must_fit_the_folder(tmp_path: Path) -> None:
    Network.of(Own(), transform=SHOWN).save(tmp_path)

    with pytest.raises(MorelliError, match="trunk that was given does not fit the weights"):
        Network.load(tmp_path, trunk=timm_trunk())


class Maps(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


class Named(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"features": images.mean((2, 3))}


class Lost(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) / 0


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"trunk": Maps()}, r"trunk gives \(2, 3, 64, 64\) for 2 pictures, not one vector for each.*AdaptiveAvgPool2d"),
        ({"trunk": Named()}, "trunk gives a dict, not one vector"),
        ({"trunk": Lost()}, "not finite"),
        ({"trunk": Own(), "transform": None}, r"does not say how it sees a picture\. Give transform="),
        ({"embedder": nn.Linear(5, 2)}, "embedder cannot take features of 96 numbers"),
        ({"embedder": nn.Unflatten(1, (48, 2))}, r"embedder gives \(3, 48, 2\)"),
        ({"transform": v2.Compose([v2.Resize(64), *STEPS[1:]])}, "pictures of different shapes"),
        ({"transform": v2.Compose([v2.RandomResizedCrop(64), *STEPS[1:]])}, "draws at random"),
        ({"transform": v2.Resize((64, 64))}, "gives a Image, not one tensor"),
        ({"transform": lambda picture: picture["image"]}, "transform cannot take an RGB picture"),
        ({"scorer": PairHead}, "scorer is the class PairHead; give one that is made, with its parameters"),
        ({"scorer": nn.CosineSimilarity()}, "give a Scorer, such as one of CosineScorer"),
        ({"scorer": PairHead(7)}, "scorer cannot compare embeddings of 96 numbers"),
    ],
)
def test_what_cannot_work_is_one_sentence(parts: dict[str, Any], expected: str) -> None:
    with pytest.raises(MorelliError, match=expected):
        Network.of(**{"trunk": timm_trunk(), "transform": SHOWN, **parts})


@pytest.mark.parametrize(
    "scorer",
    [CosineScorer(), DistanceScorer(), PairHead(96, hidden=5), ConcatHead(96)],
    ids=lambda one: type(one).__name__,
)
@torch.no_grad()
def test_scorers_come_with_their_parameters(tmp_path: Path, scorer: Scorer) -> None:
    Network.of(timm_trunk(), transform=SHOWN, scorer=scorer).save(tmp_path)

    loaded = Network.load(tmp_path)

    rows = torch.randn(4, 96)
    assert torch.equal(loaded.scorer.matrix(rows, rows), scorer.eval().matrix(rows, rows))


def test_a_folder_without_its_scorers_parameters_says_so(tmp_path: Path) -> None:
    network = Network.of(timm_trunk(), transform=SHOWN)
    network.with_facts(scorer="PairHead").save(tmp_path)

    with pytest.raises(MorelliError, match="scored by a PairHead, but lacks 5 of its parameters"):
        Network.load(tmp_path)


def test_a_scorer_of_ones_own_comes_back_where_it_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(CosineScorer):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.full((width,), 2.0))

        def matrix(self, a: Tensor, b: Tensor) -> Tensor:
            return super().matrix(a * self.scale, b)

    Network.of(timm_trunk(), transform=SHOWN, scorer=Scaled(96)).save(tmp_path)
    name = scorer_name(Scaled)
    assert json.loads((tmp_path / "network.json").read_text())["scorer"] == name
    with pytest.raises(MorelliError, match=rf"Import the module that registers it \(morelli --import {__name__}\)"):
        Network.load(tmp_path)
    monkeypatch.setitem(SCORERS, name, Scaled)
    assert torch.equal(Network.load(tmp_path).scorer.get_parameter("scale"), torch.full((96,), 2.0))


def test_a_folder_never_imports_the_backbone_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbone_of_a_folder.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    Network.of(timm_trunk(), transform=SHOWN).save(tmp_path)
    card = json.loads((tmp_path / "network.json").read_text())
    card["trunk"], card["backbone"]["name"] = None, "backbone_of_a_folder:make"
    (tmp_path / "network.json").write_text(json.dumps(card))

    with pytest.raises(MorelliError, match=r"The trunk of the network in .* is backbone_of_a_folder:make; a"):
        Network.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("trunk", "model", "name"), "hf_hub:evil/model"),
        (("trunk", "model", "library"), "os"),
        (("embedder", "layers", 0, "name"), "Module"),
        (("embedder", "layers", 0, "evil"), 1),
        (("trunk", "steps", 0, "name"), "Lambda"),
    ],
)
def test_a_folder_makes_nothing_but_what_the_tables_know(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    Network.of(timm_trunk(), nn.Linear(96, 4), transform=SHOWN).save(tmp_path)
    card = json.loads((tmp_path / "network.json").read_text())
    inner = card
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (tmp_path / "network.json").write_text(json.dumps(card))

    with pytest.raises(MorelliError):
        Network.load(tmp_path)


def test_the_users_modules_are_left_as_they_were() -> None:
    trunk, embedder = timm_trunk().train(), MLP(96, 8)
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}

    Network.of(trunk, embedder, transform=SHOWN)

    assert trunk.training
    assert embedder.training
    assert all(parameter.requires_grad for parameter in trunk.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in trunk.state_dict().items())


def test_features_of_other_code_are_never_taken_from_the_cache(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def features(transform: Any, module: nn.Module) -> Tensor:
        backbone = ModuleBackbone(module, transform)
        return features_of(backbone, PaintersByNumbers(prepared).only(first), CPU)

    first = list(PaintersByNumbers(prepared).paintings["id"][:3])
    module = Own()
    plain = features(squashed, module)
    assert torch.equal(features(squashed, module), plain)
    assert not torch.equal(features(SHOWN, module), plain)
    monkeypatch.setattr(Own, "forward", lambda self, images: self.layers(images.flip(1)))
    assert not torch.equal(features(squashed, module), plain)
