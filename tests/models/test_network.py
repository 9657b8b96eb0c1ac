"""A network comes back from its model folder exactly as it went in, and bad folders are named."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.heads import ConcatHead, CosineScorer, DistanceScorer, EmbeddingHead, HeadConfig, PairHead, Scorer
from morelli.models.network import Network, NetworkCard, largest_shorter_side, short_digests, without_gradient

TINY = BackboneConfig(name="test_resnet", weights="none", image_size=32)
SMALL_HEAD = HeadConfig(hidden=(7,), width=6)


def make_network(scorer: type[Scorer] = CosineScorer, head: HeadConfig | None = SMALL_HEAD) -> Network:
    torch.manual_seed(0)
    backbone = Backbone(TINY)
    embedding = EmbeddingHead(backbone.width, head)
    embedding.standardise(torch.randn(9, backbone.width))
    made = scorer(embedding.width) if scorer in (PairHead, ConcatHead) else scorer()
    card = NetworkCard(
        objective="triplet",
        backbone=TINY,
        head=head,
        scorer=scorer.__name__,
        training_artists=("Zdeněk", "Ada"),
        threshold=0.25,
        calibration={"slope": 1.5},
    )
    return Network(backbone, embedding, made, card).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_network().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("scorer", [CosineScorer, DistanceScorer, PairHead, ConcatHead])
@pytest.mark.parametrize("head", [SMALL_HEAD, None], ids=["head", "no head"])
@torch.no_grad()
def test_a_network_comes_back_exactly(tmp_path: Path, scorer: type[Scorer], head: HeadConfig | None) -> None:
    network = make_network(scorer, head)
    images = torch.randn(4, 3, 32, 32)

    network.save(tmp_path / "model")
    loaded = Network.load(tmp_path / "model")

    assert loaded.card == network.card
    assert not loaded.training
    embeddings = network(images)
    assert torch.equal(loaded(images), embeddings)
    assert torch.equal(loaded.scorer.matrix(embeddings, embeddings), network.scorer.matrix(embeddings, embeddings))
    assert loaded.backbone.transform is not None
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.safetensors", "network.json"]


def test_a_run_folder_is_searched_for_its_model(folder: Path) -> None:
    assert Network.load(folder.parent).card == Network.load(str(folder)).card


def test_facts_are_added_to_the_card_of_the_same_network() -> None:
    network = make_network()

    changed = network.with_facts(threshold=0.5)

    assert (network.card.threshold, changed.card.threshold) == (0.25, 0.5)
    assert changed.backbone is network.backbone
    assert changed.card.objective == "triplet"


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MorelliError, match=r"holds no trained model.*morelli train"):
            Network.load(folder)


def test_a_model_of_another_format_is_refused(folder: Path) -> None:
    card = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    (folder / "network.json").write_text(json.dumps({**card, "format": 99}), encoding="utf-8")

    with pytest.raises(MorelliError, match="has model format 99, not 3"):
        Network.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"scorer": "NoScorer"},
        {"novelty": 1},
        {"objective": None},
        {"head": {"hidden": [7], "width": 5}},
        {"backbone": {"name": "test_vit", "weights": "none"}},
        {"backbone": {"name": "no_such_net"}},
    ],
    ids=str,
)
def test_a_card_that_does_not_fit_is_refused(folder: Path, change: dict[str, object]) -> None:
    card = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    (folder / "network.json").write_text(json.dumps({**card, **change}), encoding="utf-8")

    with pytest.raises(MorelliError):
        Network.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff"])
def test_a_damaged_card_is_refused(folder: Path, text: str) -> None:
    (folder / "network.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(MorelliError, match=r"damaged.*Train it again"):
        Network.load(folder)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated"])
def test_damaged_weights_are_refused(folder: Path, damage: str) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes({"missing": b"", "empty": b"", "truncated": content[: len(content) // 2]}[damage])
    if damage == "missing":
        weights.unlink()

    with pytest.raises(MorelliError, match=r"damaged.*Train it again"):
        Network.load(folder)


def test_a_git_lfs_pointer_is_called_that(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")

    with pytest.raises(MorelliError, match=r"Git LFS pointer.*git lfs pull"):
        Network.load(folder)


def test_an_interrupted_save_leaves_no_model(folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(folder / "model.safetensors", half)

    with pytest.raises(MorelliError, match="holds no trained model"):
        Network.load(half)


def test_rows_pass_without_gradient_in_evaluation_mode() -> None:
    head = EmbeddingHead(4, HeadConfig(hidden=(8,), width=3, dropout=0.5)).train()
    rows = torch.randn(10, 4)

    embeddings = without_gradient(head, rows, batch_size=3)

    assert head.training
    assert not embeddings.requires_grad
    assert torch.equal(embeddings, without_gradient(head, rows, batch_size=3))
    torch.testing.assert_close(embeddings, head.eval()(rows).detach())


def test_facts_about_a_prepared_folder(prepared: Path) -> None:
    table = read_paintings(prepared)

    assert largest_shorter_side(table) == 64
    assert short_digests(table)[0] == table["sha256"][0][:16]
