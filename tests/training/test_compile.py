"""Training through ``torch.compile`` gives the same training, or says why it cannot."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.training.fit import TrainingConfig, fit
from morelli.training.objectives import ObjectiveConfig, create_objective

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # the compiler's own warnings


def trained(folder: Path, prepared: Path, **settings: Any) -> tuple[Embedder, pd.DataFrame]:
    torch.manual_seed(3)
    backbone = Backbone(BackboneConfig(name="test_resnet", weights="none", image_size=32, train="all", pool="stages"))
    model = Embedder(backbone, EmbeddingHead(backbone.width, HeadConfig(hidden=(), width=8)))
    objective = create_objective(ObjectiveConfig.model_validate("triplet"), width=8, artists=12, normalised=True)
    assert objective is not None
    dataset = PaintersByNumbers(prepared, transform=backbone.transform())
    config = TrainingConfig(epochs=2, batch_size=24, m=3, validate_every=2, **settings)
    history = fit(model, objective, dataset, dataset.labels, lambda: 0.5, config, folder, seed=5)
    return model, history


def test_a_compiled_training_is_the_same_training(prepared: Path, tmp_path: Path) -> None:
    plain, expected = trained(tmp_path / "plain", prepared)
    compiled, history = trained(tmp_path / "compiled", prepared, compile=True)

    assert history["loss"].tolist() == pytest.approx(expected["loss"].tolist(), abs=1e-3)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], value, atol=5e-3, rtol=1e-2)


def test_without_a_compiler_it_says_what_to_do(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch._dynamo.reset()

    with pytest.raises(MorelliError, match=r"torch\.compile cannot compile this network.*training\.compile=false"):
        trained(tmp_path, prepared, compile=True)
