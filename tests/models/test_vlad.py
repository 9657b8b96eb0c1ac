"""Residual codes (VLAD): against sums place by place, behind a backbone's statistics, and in the head."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from morelli.models.backbones import BackboneConfig, coded, create_backbone
from morelli.models.engines import Engine, InferenceBackbone
from morelli.models.heads import CosineScorer, EmbeddingHead, HeadConfig
from morelli.models.network import Network, NetworkCard
from morelli.models.vlad import Vlad, learn_vlad, residuals

LITE: dict[str, Any] = {
    "name": "tf_efficientnet_lite0",
    "weights": "painters",
    "pool": "stages",
    "image_size": 64,
    "fit": "squash",
}


SMALL = HeadConfig(hidden=(), width=4)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_code_is_the_sum_of_residuals_to_the_centres_near_each_place() -> None:
    places, centres = normal(2, 9, 4), normal(3, 4, seed=1)

    expected = torch.zeros(2, 3, 4)
    for picture in range(2):
        for place in places[picture]:
            shares = torch.softmax(-2.0 * (place - centres).square().sum(1), 0)
            for centre in range(3):
                expected[picture, centre] += shares[centre] * (place - centres[centre])
    flat = functional.normalize(expected, dim=2).flatten(1)
    roots = functional.normalize(flat.sign() * flat.abs().sqrt(), dim=1)

    torch.testing.assert_close(residuals(places, centres, 2.0), roots)


def test_sharp_nearness_gives_each_place_to_one_centre() -> None:
    places, centres = normal(1, 50, 4), normal(3, 4, seed=1)
    nearest = torch.cdist(places[0], centres).argmin(1)
    sums = torch.stack([(places[0][nearest == centre] - centres[centre]).sum(0) for centre in range(3)])
    flat = functional.normalize(sums, dim=1).flatten()

    found = residuals(places, centres, 1e4)[0]

    torch.testing.assert_close(found, functional.normalize(flat.sign() * flat.abs().sqrt(), dim=0), rtol=0, atol=1e-4)


def test_codes_are_learned_on_pictures() -> None:
    shapes = ((8, 7, 2, 2), (8, 6, 4, 4), (8, 5, 4, 4))
    pictures = [[normal(*shape, seed=seed) for shape in shapes] for seed in (1, 2)]

    learned = learn_vlad(pictures, axes=4, centres=3, width=8)
    codes = torch.cat([Vlad(learned)(stages) for stages in pictures])

    assert codes.shape == (16, 8)
    spreads = codes.std(0)
    assert torch.equal(spreads.argsort(descending=True)[:1], torch.tensor([0]))
    torch.testing.assert_close(codes.mean(0), torch.zeros(8), rtol=0, atol=1e-5)
    again = learn_vlad(pictures, axes=4, centres=3, width=8)
    assert all(torch.equal(learned[name], again[name]) for name in learned)


def test_codes_stand_behind_the_statistics_of_the_backbone_that_has_centres() -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = create_backbone(BackboneConfig(**LITE))
    with_codes = create_backbone(BackboneConfig(**LITE, vlad=True))
    beside = create_backbone(BackboneConfig(**LITE, vlad=True, beside=("tf_efficientnet_lite1",)))

    assert with_codes.width == plain.width + 256
    with torch.inference_mode():
        torch.testing.assert_close(with_codes(pictures)[:, : plain.width], plain(pictures))
    assert coded(plain).sum() == 0
    assert coded(with_codes).nonzero().flatten().tolist() == list(range(plain.width, with_codes.width))
    assert coded(beside)[: with_codes.width].sum() == coded(beside).sum() == 256
    assert with_codes.config.label == "tf_efficientnet_lite0+painters+6stages-mean+vlad+64px+squash"
    assert with_codes.parts[0].fingerprint() != plain.parts[0].fingerprint()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_give_the_codes_too(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(engine)
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path))
    backbone = create_backbone(BackboneConfig(**LITE, vlad=True))
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = InferenceBackbone([Engine(backbone.parts[0], engine)])([pictures])
    with torch.inference_mode():
        torch.testing.assert_close(found, backbone(pictures), rtol=0, atol=1e-3)


def test_a_head_lets_all_codes_weigh_half_as_much_as_the_other_features() -> None:
    features = normal(60, 12) * torch.tensor([5.0] * 8 + [0.4, 0.3, 0.2, 0.1])
    marks = torch.arange(12) >= 8
    head = EmbeddingHead(12, HeadConfig(hidden=(), width=4))

    head.standardise(features, marks)
    energy = ((features - head.centre) / head.spread).var(0)

    torch.testing.assert_close(energy[:8], torch.ones(8))
    assert float(energy[8:].sum()) == pytest.approx(4)
    torch.testing.assert_close(energy[8:] / energy[8], features.var(0)[8:] / features.var(0)[8])


def test_a_network_with_codes_is_saved_whole(tmp_path: Path) -> None:
    backbone = create_backbone(BackboneConfig(**LITE, vlad=True))
    head = EmbeddingHead(backbone.width, SMALL)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    card = NetworkCard(objective="supcon", backbone=backbone.config, head=SMALL, scorer="CosineScorer")
    network = Network(backbone, head, CosineScorer(), card).eval()
    for compact in (False, True):
        network.save(tmp_path / "model", compact=compact)
        with torch.inference_mode():
            found = Network.load(tmp_path / "model")(pictures)
            torch.testing.assert_close(found, network(pictures), rtol=0, atol=1e-3)


@pytest.mark.parametrize("change", [{"pool": "global"}, {"train": "all"}, {"weights": "none"}])
def test_codes_need_frozen_stages_and_weights_with_centres(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="vlad needs pool: stages and weights: painters"):
        BackboneConfig(**{**LITE, "vlad": True, **change})
