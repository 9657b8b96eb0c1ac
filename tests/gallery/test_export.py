"""The ONNX file gives PyTorch's embeddings, from nothing but what stands beside it."""

import json
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from PIL import Image, ImageOps
from torch.nn import functional

from morelli import MorelliError, Network, Painters
from morelli.evaluation.calibration import Calibration
from morelli.models.backbones import BackboneConfig, create_backbone
from morelli.models.heads import CosineScorer, DistanceScorer, EmbeddingHead, HeadConfig, PairHead, Scorer
from morelli.models.network import NetworkCard

HEAD = HeadConfig(hidden=(8,), width=6, untrained_weight=0.5, untrained_width=4)


def make_painters(scorer: type[Scorer] = CosineScorer, head: HeadConfig | None = HEAD, **backbone: Any) -> Painters:
    torch.manual_seed(0)
    config = BackboneConfig(**{"name": "test_resnet", "weights": "none", "image_size": 48, **backbone})
    made = create_backbone(config)
    embedding = EmbeddingHead(made.width, head)
    embedding.standardise(torch.randn(20, made.width))
    own = scorer(embedding.width) if scorer is PairHead else scorer()
    card = NetworkCard(objective="x", backbone=config, head=head, scorer=scorer.__name__, prepared_size=64)
    return Painters(Network(made, embedding, own, card), "nowhere")


def prepared_by_the_facts(path: Path, facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a reader of the .json file would do with a picture, without this library."""
    assert "64 px" in facts["before"]
    inputs = {}
    for name, how in facts["inputs"].items():
        assert (how["fit"], how["scale"]) == ("letterbox", [0, 1])
        side = how["shape"][-1]
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        scale = 64 / min(picture.size)
        picture = picture.resize([round(scale * side) for side in picture.size], Image.Resampling.LANCZOS)
        views = [picture, ImageOps.mirror(picture)][: how["views"]]
        bars = tuple(round(255 * value) for value in how["mean"])
        squares = [ImageOps.pad(view, (side, side), Image.Resampling.BICUBIC, bars) for view in views]
        pixels = np.stack([(np.asarray(square) / 255 - how["mean"]) / how["std"] for square in squares])
        pixels = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        inputs[name] = (pixels if how["views"] > 1 else pixels[0])[None]
        assert list(inputs[name].shape[1:]) == how["shape"]
    return inputs


@pytest.mark.parametrize(
    "backbone",
    [
        {},
        {"name": "test_efficientnet", "pool": "stages", "statistics": ("mean", "std"), "views": 2},
        {"beside": ("test_vit",), "image_size": 160, "precision": "bf16"},
    ],
    ids=["plain", "views of stages", "two side by side"],
)
def test_embeddings_are_those_of_pytorch_for_any_number_of_pictures(
    backbone: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    done = make_painters(**backbone).export(tmp_path / "out" / "hands.onnx")
    assert done.difference < 1e-4
    assert sorted(path.name for path in done.path.parent.iterdir()) == ["hands.onnx", "hands.onnx.json"]
    facts = json.loads((tmp_path / "out" / "hands.onnx.json").read_text(encoding="utf-8"))
    wanted = make_painters(**{**backbone, "precision": "no"})  # an ONNX network is always in float32
    session = InferenceSession(done.path)
    files = sorted(pictures.rglob("*.png"))
    for some in (files[:1], files):
        each = [prepared_by_the_facts(file, facts) for file in some]
        (embeddings,) = session.run(None, {name: np.concatenate([one[name] for one in each]) for name in each[0]})
        assert embeddings.shape == (len(some), facts["width"])
        np.testing.assert_allclose(embeddings, wanted.embed(some), atol=1e-4)


def test_frozen_features_come_out_at_length_one(pictures: Path, tmp_path: Path) -> None:
    painters = make_painters(head=None)
    done = painters.export(tmp_path / "hands.onnx")
    facts = json.loads((tmp_path / "hands.onnx.json").read_text(encoding="utf-8"))
    assert facts["score"] == "dot product"
    file = next(pictures.rglob("*.png"))
    (embedding,) = InferenceSession(done.path).run(None, prepared_by_the_facts(file, facts))
    np.testing.assert_allclose(embedding, functional.normalize(painters.embed(file)), atol=1e-4)


def test_a_pair_head_has_a_file_of_its_own(pictures: Path, tmp_path: Path) -> None:
    painters = make_painters(PairHead, HeadConfig(hidden=(8,), width=6))
    done = painters.export(tmp_path / "hands.onnx")
    assert done.scorer == tmp_path / "hands.scorer.onnx"
    assert done.scorer.name == json.loads((tmp_path / "hands.onnx.json").read_text(encoding="utf-8"))["score"]
    assert str(done.scorer) in done.text()
    a, b = painters.embed(sorted(pictures.rglob("*.png"))[:8]).split(4)
    (scores,) = InferenceSession(done.scorer).run(None, {"a": a.numpy(), "b": b.numpy()})
    np.testing.assert_allclose(scores, painters.network.scorer.pairwise_distance(a, b).detach(), atol=1e-5)


def test_long_embeddings_stay_as_they_are(tmp_path: Path) -> None:
    painters = make_painters(DistanceScorer, HeadConfig(hidden=(), width=6, normalise=False))
    painters.export(tmp_path / "hands.onnx")
    assert json.loads((tmp_path / "hands.onnx.json").read_text())["score"] == "minus the Euclidean distance"


def test_what_the_network_knows_of_itself_stands_beside_it(painters: Painters, tmp_path: Path) -> None:
    painters.export(tmp_path / "hands.onnx")
    facts = json.loads((tmp_path / "hands.onnx.json").read_text(encoding="utf-8"))
    card = painters.network.card
    assert facts["threshold"] == card.threshold
    assert facts["measured_on_unseen_artists"] == card.measured
    learned = Calibration.from_dict(card.calibration)
    assert (facts["calibration"]["slope"], facts["calibration"]["offset"]) == (learned.slope, learned.offset)
    assert not any(artist in json.dumps(facts) for artist in learned.artists)


def test_mistakes(painters: Painters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MorelliError, match=r"writes a \.onnx file"):
        painters.export(tmp_path / "hands.pt")
    monkeypatch.setattr("morelli.gallery.export._MOST_BYTES", 1000)
    with pytest.raises(MorelliError, match="at most 2 GB"):
        painters.export(tmp_path / "hands.onnx")
    monkeypatch.setattr("morelli.gallery.export.TOLERANCE", -1.0)
    monkeypatch.setattr("morelli.gallery.export._MOST_BYTES", 10**9)
    with pytest.raises(MorelliError, match="is off by"):
        painters.export(tmp_path / "hands.onnx")
    found = util.find_spec
    monkeypatch.setattr("morelli.gallery.export.find_spec", lambda name: None if name == "onnxruntime" else found(name))
    with pytest.raises(MorelliError, match=r"need onnxruntime\. Install: pip install 'morelli\[export\]'"):
        painters.export(tmp_path / "hands.onnx")
    assert not list(tmp_path.glob("hands*"))
