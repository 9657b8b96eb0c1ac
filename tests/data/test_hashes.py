"""Copies of a picture are told from other pictures, also after saving, resizing and brightening."""

import io

import numpy as np
import pytest
from PIL import Image

from morelli import SyntheticPainters
from morelli.data.hashes import DHashes, copy_groups, dhash

HANDS = SyntheticPainters(artists=8, paintings_per_artist=5, size=128, seed=3)


@pytest.fixture(scope="module")
def paintings() -> list[Image.Image]:
    return [HANDS.paint(artist, painting).convert("RGB") for artist in range(8) for painting in range(5)]


def resaved(image: Image.Image, **options) -> Image.Image:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", **options)
    return Image.open(encoded)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: resaved(image, quality=60),
        lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
        lambda image: resaved(image.resize((300, 290)), quality=80),
        lambda image: image.point(lambda value: min(255, round(value * 1.1))),
    ],
    ids=["resaved", "smaller", "larger", "brighter"],
)
def test_a_copy_is_found_and_nothing_else(paintings, change) -> None:
    looks = DHashes([dhash(image) for image in paintings])
    for place, image in enumerate(paintings):
        assert looks.copies_of(dhash(change(image))) == [place]


def test_groups_hold_all_copies_and_only_copies(paintings) -> None:
    images = [
        paintings[0],
        paintings[1],
        resaved(paintings[0], quality=70),
        paintings[2],
        paintings[1].resize((70, 70)),
    ]
    looks = [dhash(image) for image in images]
    assert copy_groups(looks, list("abcde")) == [[0, 2], [1, 4]]
    # The same file is a copy whatever its look says.
    assert copy_groups(looks, list("abcba")) == [[0, 1, 2, 3, 4]] or copy_groups(looks[1:4], list("xyx")) == [[0, 2]]
    assert copy_groups([], []) == []


def test_groups_are_those_of_a_naive_loop() -> None:
    random = np.random.default_rng(0)
    centres = random.integers(0, 2, (60, 256), dtype=np.uint8)
    bits = np.concatenate([centres, centres[:20] ^ (random.random((20, 256)) < 0.05), centres[:3]]).astype(np.uint8)
    looks = [np.packbits(row).tobytes() for row in bits]
    near = {(i, j) for i in range(len(bits)) for j in range(len(bits)) if i < j and (bits[i] != bits[j]).sum() <= 32}
    found = {
        (i, j)
        for group in copy_groups(looks, [str(i) for i in range(len(bits))])
        for i in group
        for j in group
        if i < j
    }
    assert near <= found
    assert {(i, 60 + i) for i in range(20)} <= found
