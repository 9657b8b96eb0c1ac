"""Each condition changes pixels as a plain version of it says, and conditions from outside are checked."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy import fft, ndimage

from morelli.errors import MorelliError
from morelli.evaluation.shift import CONDITIONS, Condition, load_conditions

CHANGE = {one.name: one.change for one in CONDITIONS}
_ROWS = (
    "16 11 10 16 24 40 51 61",
    "12 12 14 19 26 58 60 55",
    "14 13 16 24 40 57 69 56",
    "14 17 22 29 51 87 80 62",
    "18 22 37 56 68 109 103 77",
    "24 35 55 64 81 104 113 92",
    "49 64 78 87 103 121 120 101",
    "72 92 95 98 112 100 103 99",
)
LUMINANCE_STEPS = np.array([row.split() for row in _ROWS], float)
"""ITU-T T.81, table K.1: steps of the frequencies at quality 50."""


def pixels(height: int, width: int) -> np.ndarray:
    """A picture with soft and hard edges in every channel."""
    noise = np.random.default_rng(3).uniform(0, 255, (height, width, 3))
    soft = ndimage.gaussian_filter(noise, (2, 2, 0))
    soft = (soft - soft.min()) / np.ptp(soft) * 255
    soft[height // 3 : height // 2, width // 4 :] = (250, 20, 120)
    return soft.round().astype(np.uint8)


def changed(name: str, picture: np.ndarray) -> np.ndarray:
    return np.asarray(CHANGE[name](Image.fromarray(picture))).astype(float)


def half(picture: np.ndarray) -> np.ndarray:
    return (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) / 4


def by_lamplight(picture: np.ndarray) -> np.ndarray:
    blurred = ndimage.gaussian_filter(picture, (120 / 150, 120 / 150, 0), mode="nearest")
    return np.minimum(blurred * [1.1, 1, 0.8], 255)


def grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat((picture @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)


def without_margins(picture: np.ndarray) -> np.ndarray:
    return picture[12:-12, 16:-16]


@pytest.mark.parametrize(
    ("name", "plain", "most", "mean"),
    [
        ("half size", half, 0.6, 0.3),
        ("recaptured", by_lamplight, 6, 0.7),  # Pillow's Gaussian is made of boxes
        ("grey", grey, 0.6, 0.3),
        ("cropped", without_margins, 0, 0),
    ],
)
def test_pixels_are_changed_as_a_plain_version_says(
    name: str, plain: Callable[[np.ndarray], np.ndarray], most: float, mean: float
) -> None:
    picture = pixels(120, 160)
    difference = np.abs(changed(name, picture) - plain(picture.astype(float)))
    assert difference.max() <= most
    assert difference.mean() <= mean


def test_a_jpeg_keeps_what_the_quantised_frequencies_keep() -> None:
    picture = np.repeat(pixels(48, 64)[..., :1], 3, axis=-1)  # without colour, whose frequencies are thinned out
    steps = np.floor((LUMINANCE_STEPS * (5000 // 30) + 50) / 100)
    expected = np.empty((48, 64))
    for top in range(0, 48, 8):
        for left in range(0, 64, 8):
            frequencies = fft.dctn(picture[top : top + 8, left : left + 8, 0] - 128.0, norm="ortho")
            expected[top : top + 8, left : left + 8] = fft.idctn(np.round(frequencies / steps) * steps, norm="ortho")
    expected = np.clip(expected + 128, 0, 255)

    found = changed("JPEG 30", picture)

    assert np.abs(found - expected[..., None]).mean() <= 0.4  # more only where a frequency is rounded the other way
    assert np.abs(found - picture).max() > 10


def test_conditions_take_pictures_of_every_size() -> None:
    assert list(CHANGE) == ["JPEG 30", "half size", "recaptured", "grey", "cropped"]
    for size in ((1, 1), (1, 9), (7, 3), (33, 21)):
        for name, change in CHANGE.items():
            found = change(Image.new("RGB", size, (200, 100, 50)))
            assert found.mode == "RGB", name
            expected = [-(-side // 2) if name == "half size" else side for side in size]
            if name == "cropped":
                expected = [side - 2 * round(side / 10) for side in size]
            assert list(found.size) == expected, name


def darker(picture: Image.Image) -> Image.Image:
    return picture.point(lambda level: level // 2)


def failing(picture: Image.Image) -> Image.Image:
    raise ValueError(f"no {picture.size}")


DARK = Condition("dark", "half as light", darker)
TWICE = Condition("grey", "again", darker)
NO_COLOUR = Condition("one channel", "grey", lambda picture: picture.convert("L"))
NOTHING = Condition("nothing", "no picture", lambda _: None)  # type: ignore[arg-type,return-value]
FAILS = Condition("fails", "no picture", failing)


def test_conditions_from_outside_stand_behind_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "own_conditions", sys.modules[__name__])
    assert load_conditions(["own_conditions:DARK"]) == (*CONDITIONS, DARK)
    for name, why in (
        ("TWICE", 'two conditions called "grey"'),
        ("NO_COLOUR", "must give RGB pictures, but its change gives L"),
        ("NOTHING", "must give RGB pictures, but its change gives NoneType"),
        ("FAILS", r"failed on a picture of 96 by 64 \(ValueError: no \(96, 64\)\)"),
        ("darker", "must be a morelli.evaluation.shift.Condition, but it is of type function"),
        ("DARKER", 'has no "DARKER"'),
    ):
        with pytest.raises(MorelliError, match=why):
            load_conditions([f"own_conditions:{name}"])
