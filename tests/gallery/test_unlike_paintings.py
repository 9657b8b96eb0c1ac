"""Pictures of another kind than the validation paintings are said to be so."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from morelli import Network, Painters, SyntheticPainters
from morelli.gallery.reader import Reader
from morelli.models.config import HeadConfig
from morelli.models.heads import EmbeddingHead

NOTE = "is unlike the paintings that the network was validated on"
HANDS = SyntheticPainters(artists=4, paintings_per_artist=12, size=64, seed=5)


@pytest.fixture(scope="module")
def painters(train_tiny) -> Painters:
    return Painters.load(train_tiny("kept", head={"hidden": [8], "width": 8, "keep": 0.7}))


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_what_is_unexplained_is_what_principal_components_leave() -> None:
    torch.manual_seed(0)
    rows = torch.randn(200, 12) @ torch.randn(12, 12) + 3
    head = EmbeddingHead(12, HeadConfig(hidden=(), width=6, untrained_weight=0.5, untrained_width=5)).eval()
    head.standardise(rows)
    others = torch.cat([rows[:5], 4 * torch.randn(5, 12)])
    standard = torch.nn.functional.normalize((rows - rows.mean(0)) / rows.std(0), dim=1)
    analysis = PCA(5).fit(standard.numpy())
    wanted = torch.nn.functional.normalize((others - rows.mean(0)) / rows.std(0), dim=1).numpy()
    left = wanted - analysis.inverse_transform(analysis.transform(wanted))
    share = (left**2).sum(1) / ((wanted - analysis.mean_) ** 2).sum(1)
    assert head.unexplained(others).numpy() == pytest.approx(share, abs=1e-3)


def test_one_validation_painting_in_a_hundred_is_unlike_them(painters: Painters) -> None:
    limit = painters.network.card.unexplained
    assert 0 < limit < 1
    pictures = [HANDS.paint(artist, painting) for artist in range(4) for painting in range(12)]
    assert sum(painters._reader.embed_and_judge(pictures)[1]) <= 12  # other hands of the same kind
    assert all(
        painters._reader.embed_and_judge([Image.new("RGB", (64, 64), colour) for colour in ("white", "navy")])[1]
    )


def test_every_answer_says_so(painters: Painters, tmp_path: Path) -> None:
    painters = Painters(painters.network.with_facts(unexplained=0.0), painters.model)  # all are unlike
    for artist in range(2):
        (tmp_path / "mine" / str(artist)).mkdir(parents=True)
        for painting in range(2):
            HANDS.paint(artist, painting).save(tmp_path / "mine" / str(artist) / f"{painting}.png")
    files = sorted((tmp_path / "mine").rglob("*.png"))
    assert f"A {NOTE}" in painters.compare(files[0], files[3]).text()
    assert f"B {NOTE}" in painters.compare(files[0], files[3]).text()
    index = painters.index(tmp_path / "mine").path
    assert NOTE in painters.search(index, files[0]).text()
    painters.enroll(index, "One", tmp_path / "mine" / "0")
    assert NOTE in painters.identify(index, files[3]).text()
    lists = painters.compare(files[:2], files[2:])
    assert all(f"A {NOTE}" in one.text() for one in lists)


def test_a_network_that_learned_no_axes_knows_a_blank_only(model: Path) -> None:
    reader = Reader(Network.load(model))
    assert reader.network.card.unexplained is None
    assert reader.embed_and_judge([noise(0), Image.new("RGB", (64, 64), "grey")])[1] == [False, True]
    shown = Painters(Network.load(model), model).compare(noise(1), Image.new("RGB", (64, 64), "grey"))
    assert any(note.startswith(f"B {NOTE}") for note in shown.notes)
    assert not any(note.startswith("A ") for note in shown.notes)
