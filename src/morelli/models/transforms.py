"""Transforms: an RGB picture → a backbone's input, fitted to its square, as one view or as several."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

from morelli.models.config import Fit

Picture = Image.Image
Change = Callable[[Picture], Picture]
"""What is done to an RGB picture before a backbone's transform."""
_CROPPED_SIDE = 2 / 3
"""Share of each side that a cropped view shows."""
_CORNERS = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5))
"""Where the cropped views lie, one after the other: share of the free room left and above."""


def show(picture: Picture, views: int) -> list[Picture]:
    """The views of a picture: itself, then mirrored, then fixed crops of two thirds a side: corners and middle."""
    width, height = (max(1, round(_CROPPED_SIDE * side)) for side in picture.size)
    shown = [picture, ImageOps.mirror(picture)][:views]
    for right, down in _CORNERS[: max(0, views - 2)]:
        left, top = round(right * (picture.width - width)), round(down * (picture.height - height))
        shown.append(picture.crop((left, top, left + width, top + height)))
    return shown


def create_transform(
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: v2.InterpolationMode,
    fit: Fit = "letterbox",
    kept: float = 1.0,
    views: int = 1,
    augment: bool = False,
) -> Callable[[Picture], Tensor]:
    """Return the function from a picture to (channels, size, size), with several views (views, channels, size, size).

    Args:
        size: pixels a side.
        mean, std: of the pictures that the backbone was trained on, a number a channel: three, or one for grey.
        interpolation: likewise.
        fit: how a picture meets the square.
        kept: for ``fit="crop"``: the share of the shorter side that stays.
        views: how many views of each picture.
        augment: one random crop, mirrored or not, in place of all that, as bytes: a quarter of what floats would take
            on the way to a GPU, where the backbone scales them itself.
    """
    settings = {**locals(), "mean": list(mean), "std": list(std), "interpolation": interpolation.value}
    # Of pixels from 0 to 255: bringing them to 0 to 1 first would be another pass over them.
    scaled = [255 * value for value in mean], [255 * value for value in std]
    normalise = [v2.ToImage(), v2.ToDtype(torch.float32), v2.Normalize(*scaled, inplace=True)]
    colour = [v2.Grayscale(1)] if len(mean) == 1 else []
    if augment:
        crop = v2.RandomResizedCrop([size, size], scale=(0.3, 1.0), interpolation=interpolation, antialias=True)
        return _chain([*colour, crop, v2.RandomHorizontalFlip(), v2.PILToTensor()])
    one = _chain([*colour, *_fitting(fit, size, mean, interpolation, kept), *normalise])
    whole: Any = one if views == 1 else partial(_all_views, one=one, views=views)
    whole.settings = settings  # what makes it again
    return whole  # type: ignore[no-any-return]


def settings_of(transform: Callable[..., Any]) -> dict[str, Any] | None:
    """The arguments of :func:`create_transform`, as JSON has them, that gave a transform; None for any other."""
    settings = getattr(transform, "settings", None)
    return settings if isinstance(settings, dict) else None


def _all_views(picture: Picture, *, one: Callable[[Picture], Tensor], views: int) -> Tensor:
    return torch.stack([one(view) for view in show(picture, views)])


def _fitting(
    fit: Fit, size: int, mean: Sequence[float], interpolation: v2.InterpolationMode, kept: float
) -> list[Callable[[Picture], Picture]]:
    bars = partial(
        ImageOps.pad,
        size=(size, size),
        method=Image.Resampling.BICUBIC,
        color=tuple(round(255 * value) for value in mean),
    )
    if fit == "letterbox":
        return [bars]
    if fit == "landscape":
        return [_to_landscape, partial(bars, centering=(0, 0))]
    if fit == "squash":
        return [v2.Resize([size, size], interpolation)]
    return [v2.Resize(round(size / kept), interpolation), v2.CenterCrop([size, size])]


def _chain(steps: list[Callable[..., Any]]) -> Callable[[Picture], Any]:
    return v2.Compose(steps)  # type: ignore[no-any-return]


def _to_landscape(picture: Picture) -> Picture:
    return picture.transpose(Image.Transpose.TRANSPOSE) if picture.height > picture.width else picture
