"""How a picture meets a backbone's square, once or in several views; always the same views."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms import v2

from morelli.models.config import MOST_VIEWS
from morelli.models.transforms import create_transform, show


def picture(width: int = 60, height: int = 30, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def test_views_are_the_picture_its_mirror_image_and_crops() -> None:
    whole = picture()

    views = show(whole, MOST_VIEWS)

    assert np.array_equal(pixels(views[0]), pixels(whole))
    assert np.array_equal(pixels(views[1]), pixels(whole)[:, ::-1])
    assert {view.size for view in views[2:]} == {(40, 20)}
    at = [(0, 0), (10, 20), (0, 20), (10, 0), (5, 10)]  # down, right: the corners, then the middle
    for (down, right), view in zip(at, views[2:], strict=True):
        assert np.array_equal(pixels(view), pixels(whole)[down : down + 20, right : right + 40])


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, MOST_VIEWS))
def test_every_picture_has_every_view(width: int, height: int, count: int) -> None:
    views = show(picture(width, height), count)

    assert len(views) == count
    assert all(view.width >= 1 and view.height >= 1 for view in views)
    assert [v.tobytes() for v in show(picture(width, height), count)] == [v.tobytes() for v in views]


@pytest.mark.parametrize("fit", ["letterbox", "squash", "crop", "landscape"])
def test_each_view_is_what_the_transform_for_one_makes_of_it(fit: str) -> None:
    options = {"size": 16, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "fit": fit}
    one = create_transform(**options, interpolation=v2.InterpolationMode.BICUBIC)  # type: ignore[arg-type]
    four = create_transform(**options, interpolation=v2.InterpolationMode.BICUBIC, views=4)  # type: ignore[arg-type]

    views = four(picture())

    assert views.shape == (4, 3, 16, 16)
    assert torch.equal(views, torch.stack([one(view) for view in show(picture(), 4)]))
    mirrored = one(ImageOps.mirror(picture()))
    assert torch.equal(views[1], mirrored)


def test_augmentation_is_one_random_view() -> None:
    transform = create_transform(
        size=16, mean=(0, 0, 0), std=(1, 1, 1), interpolation=v2.InterpolationMode.BICUBIC, views=4, augment=True
    )
    torch.manual_seed(0)

    first, second = transform(picture()), transform(picture())

    assert first.shape == second.shape == (3, 16, 16)
    assert first.dtype == torch.uint8
    assert not torch.equal(first, second)
