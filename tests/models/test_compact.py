"""A network without its backbone, in float16: it embeds as the whole one does, and refuses other backbone weights."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from morelli import BackboneConfig, CosineScorer, MorelliError, Network
from morelli.models.backbones import create_backbone
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.models.network import NetworkCard


def weights_of(path: Path, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_file(timm.create_model("test_efficientnet", num_classes=0).state_dict(), path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> Network:
    config = BackboneConfig(
        name="test_efficientnet", weights=str(weights_of(tmp_path / "weights.safetensors", 1)), image_size=32
    )
    backbone = create_backbone(config)
    head = EmbeddingHead(backbone.width, HeadConfig(hidden=(16,), width=8, untrained_weight=0.7, untrained_width=8))
    with torch.no_grad():
        head.standardise(backbone(torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(2))))
    card = NetworkCard(
        objective="supcon",
        backbone=config,
        head=HeadConfig(hidden=(16,), width=8, untrained_weight=0.7, untrained_width=8),
        scorer="CosineScorer",
    )
    return Network(backbone, head, CosineScorer(), card, cohort=torch.randn(5, head.width)).eval()


def test_a_compact_network_embeds_as_the_whole_one(network: Network, tmp_path: Path) -> None:
    network.save(tmp_path / "whole")
    network.save(tmp_path / "compact", compact=True)
    sizes = [(tmp_path / one / "model.safetensors").stat().st_size for one in ("whole", "compact")]
    assert sizes[1] < sizes[0] / 3

    loaded = Network.load(tmp_path / "compact")
    pictures = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(loaded(pictures), network(pictures), rtol=0, atol=1e-3)
    assert loaded.card == network.card
    assert loaded.cohort is not None
    assert loaded.cohort.dtype == torch.float32


def test_other_weights_of_its_backbone_are_refused(network: Network, tmp_path: Path) -> None:
    network.save(tmp_path / "compact", compact=True)
    weights_of(tmp_path / "weights.safetensors", 4)
    with pytest.raises(MorelliError, match="trained on other weights of test_efficientnet"):
        Network.load(tmp_path / "compact")


def test_missing_weights_of_its_backbone_are_said(network: Network, tmp_path: Path) -> None:
    network.save(tmp_path / "compact", compact=True)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(MorelliError, match=r"weights\.safetensors"):
        Network.load(tmp_path / "compact")
