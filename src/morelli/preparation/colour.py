"""Colours as their embedded profile means them, converted to sRGB."""

import io
from functools import lru_cache
from itertools import chain, product

from PIL import Image, ImageChops, ImageCms

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_NEARLY_SRGB = 2
"""Of 255: what a profile may differ by and still be taken for sRGB, because profiles of sRGB differ in rounding."""


def in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Convert RGB, L or CMYK, each with or without alpha, to sRGB; without a sound profile that fits, change nothing.

    Colours are matched relative to the paper's white, and the deepest black is kept (as image editors do by default).
    """
    mode = image.mode.removesuffix("A")
    if not profile or not isinstance(profile, bytes) or mode not in _SPACES:
        return image
    transform = _to_srgb(profile, mode)
    if transform is None:
        return image
    converted = transform.apply(image if image.mode == mode else image.convert(mode))
    if image.mode != mode:
        converted.putalpha(image.getchannel("A"))
    return converted


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """How to convert; None where nothing is to be done: the profile is broken, of another mode, or sRGB itself."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    bands = len(Image.new(mode, (1, 1)).getbands())
    samples = bytes(chain.from_iterable(product(range(0, 256, 15), repeat=bands)))
    colours = Image.frombytes(mode, (len(samples) // bands, 1), samples)
    changes = ImageChops.difference(transform.apply(colours), colours.convert("RGB"))
    return changes.point(lambda change: 255 * (change > _NEARLY_SRGB)).getbbox() is None
