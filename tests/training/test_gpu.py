"""What only a GPU shows: training, resuming, bf16, embedding and retrieval on CUDA. Run with -m gpu."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from morelli.data.dataset import PaintersByNumbers
from morelli.evaluation.calculator import PaintingAccuracyCalculator
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder, embed
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.models.memory_format import settle_memory_format
from morelli.training.fit import TrainingConfig, create_accelerator, fit
from morelli.training.objectives import Objective, ObjectiveConfig, create_objective

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def made() -> tuple[Embedder, Objective]:
    torch.manual_seed(3)
    backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32, train="all"))
    model = Embedder(backbone, EmbeddingHead(backbone.width, HeadConfig(hidden=(), width=8, dropout=0.2)))
    objective = create_objective(ObjectiveConfig.model_validate("triplet"), width=8, artists=12, normalised=True)
    assert objective is not None
    return model, objective


def trained(folder: Path, prepared: Path, model: Embedder, objective: Objective, **settings: Any) -> pd.DataFrame:
    dataset = PaintersByNumbers(prepared, transform=model.backbone.transform(augment=True))
    resume, validate = settings.pop("resume", False), settings.pop("validate", lambda: 0.5)
    options = {"epochs": 4, "validate_every": 1, "batch_size": 12, "m": 3, "patience": 99} | settings
    config = TrainingConfig(**options)
    return fit(
        model,
        objective,
        dataset,
        dataset.labels,
        validate,
        config,
        folder,
        seed=5,
        resume=resume,
        accelerator=create_accelerator(config.precision),
    )


def weights(model: Embedder) -> dict[str, Tensor]:
    return {key: value.cpu() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"precision": "fp16"}, {"chunk": 5}], ids=str)
def test_it_trains_on_the_gpu(settings: dict[str, Any], prepared: Path, tmp_path: Path) -> None:
    model, objective = made()

    history = trained(tmp_path, prepared, model, objective, epochs=30, **settings)

    assert next(model.parameters()).device.type == "cuda"
    assert history["loss"].iloc[-5:].mean() < history["loss"].iloc[:5].mean()


def test_an_interrupted_training_goes_on(prepared: Path, tmp_path: Path) -> None:
    whole, cut, again = made(), made(), made()
    values = [0.5, 0.6, 0.7, 0.8]
    undisturbed = iter(values)
    expected = trained(tmp_path / "whole", prepared, *whole, validate=lambda: next(undisturbed))
    looks = iter(values[:2])

    def interrupted() -> float:
        if (value := next(looks, None)) is None:
            raise KeyboardInterrupt
        return value

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", prepared, *cut, validate=interrupted)
    rest = iter(values[2:])
    history = trained(tmp_path / "cut", prepared, *again, validate=lambda: next(rest), resume=True)

    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["loss"].tolist() == pytest.approx(expected["loss"].tolist(), rel=1e-3)  # cuDNN need not repeat bits
    assert history["learning_rate"].tolist() == expected["learning_rate"].tolist()
    for key, value in weights(whole[0]).items():
        torch.testing.assert_close(weights(again[0])[key], value, atol=1e-3, rtol=1e-2)


def test_embeddings_are_those_of_the_cpu(prepared: Path) -> None:
    model, _ = made()
    dataset = PaintersByNumbers(prepared, transform=model.backbone.transform())

    on_cpu, on_gpu = embed(model, dataset, CPU), embed(model, dataset, CUDA)

    assert on_gpu.device.type == "cpu"
    torch.testing.assert_close(on_gpu, on_cpu, atol=5e-3, rtol=0)  # TF32 convolutions keep ten bits


def test_retrieval_is_that_of_the_cpu() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(2000) // 8
    rows = torch.randn(250, 64, generator=random)[labels] + torch.randn(2000, 64, generator=random)

    on_cpu = PaintingAccuracyCalculator().get_accuracy(rows, labels)
    on_gpu = PaintingAccuracyCalculator(device=CUDA).get_accuracy(rows, labels)

    assert on_gpu == pytest.approx(on_cpu, abs=1e-4)


def test_the_memory_format_is_measured_on_the_gpu(cache: Path) -> None:
    model, _ = made()

    settle_memory_format(model.backbone, CUDA, pictures=100_000, precision="bf16")

    (path,) = (cache / "memory_formats").glob("*.json")
    assert torch.cuda.get_device_name() in path.read_text()


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32], ids=str)
def test_many_views_give_the_features_of_the_cpu(kind: torch.dtype) -> None:
    backbone = made()[0].backbone
    pictures = torch.randint(256, (3, 4, 3, 32, 32), generator=torch.Generator().manual_seed(1)).to(kind)

    on_cpu = backbone(pictures)
    on_gpu = backbone.to(CUDA)(pictures.to(CUDA)).cpu()

    assert on_gpu.shape == (3, 4, backbone.width)
    torch.testing.assert_close(on_gpu, on_cpu, atol=5e-3 * float(on_cpu.abs().max()), rtol=0)
