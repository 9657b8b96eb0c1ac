"""How pictures pass through a network: each once, in order, in evaluation mode."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from morelli.data.dataset import PaintersByNumbers
from morelli.errors import InputError
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder, embed, loader_workers
from morelli.models.heads import EmbeddingHead, HeadConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32))
    return Embedder(backbone, EmbeddingHead(backbone.width, HeadConfig(hidden=(), width=5, dropout=0.5)))


def test_embeddings_are_in_the_datasets_order(prepared: Path, embedder: Embedder) -> None:
    dataset = PaintersByNumbers(prepared, transform=embedder.backbone.transform())
    some = dataset.only(list(dataset.paintings["id"][[40, 3, 17, 9, 8]]))

    rows = embed(embedder.train(), some, CPU, batch_size=2)

    assert rows.shape == (5, 5)
    assert rows.dtype == torch.float32
    embedder.eval()  # dropout must have been off
    with torch.no_grad():
        one_by_one = torch.cat([embedder(some[place][0][None]) for place in range(5)])
    torch.testing.assert_close(rows, one_by_one, atol=1e-5, rtol=1e-4)


def test_every_picture_passes_once(prepared: Path, embedder: Embedder) -> None:
    class Counting(nn.Module):
        passed = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.passed += len(images)
            return images.mean(dim=(2, 3))

    dataset = PaintersByNumbers(prepared, transform=embedder.backbone.transform())
    counting = Counting()

    assert embed(counting, dataset, CPU).shape == (72, 3)
    assert counting.passed == 72


def test_any_dataset_of_pictures_and_labels_is_embedded(embedder: Embedder) -> None:
    pictures = torch.randn(5, 3, 32, 32)
    rows = embed(embedder.backbone, TensorDataset(pictures, torch.arange(5)), CPU)
    assert rows.shape == (5, embedder.backbone.width)


def test_a_module_that_gives_no_vectors_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return images, images

    with pytest.raises(InputError, match="Pair gives a tuple, not a tensor"):
        embed(Pair(), TensorDataset(torch.randn(2, 3), torch.arange(2)), CPU)


def test_progress_is_not_on_stdout(prepared: Path, embedder: Embedder, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = PaintersByNumbers(prepared, transform=embedder.backbone.transform())
    embed(embedder, dataset.only(list(dataset.paintings["id"][:2])), CPU)

    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("pictures", "device", "cores", "processes", "workers"),
    [
        (100, "cuda", 16, 1, 0),
        (100_000, "cuda", 2, 1, 1),
        (100_000, "cuda", 6, 1, 5),
        (100_000, "cuda", 6, 2, 2),
        (100_000, "cuda", 64, 1, 16),
        (100_000, "cpu", 2, 1, 0),
        (100_000, "cpu", 8, 1, 2),
        (100_000, "cpu", 8, 4, 0),
    ],
)
def test_decoders_get_the_cores_that_the_network_leaves(
    pictures: int, device: str, cores: int, processes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))

    assert loader_workers(pictures, torch.device(device)) == workers


def test_a_network_that_was_moved_to_embed_can_still_be_trained(prepared: Path) -> None:
    backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32, train="all"))
    dataset = PaintersByNumbers(prepared, transform=backbone.transform())
    some = dataset.only(list(dataset.paintings["id"][:2]))

    embed(backbone, some, torch.device("cpu:0"))  # to torch another device than cpu, so the weights are moved

    backbone(torch.zeros(1, 3, 32, 32)).sum().backward()
    with torch.no_grad():
        for tensor in (*backbone.parameters(), *backbone.buffers()):
            tensor.add_(0)
