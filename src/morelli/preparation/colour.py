"""ICC colour profiles: converting embedded ones to sRGB, and finding that of a JPEG 2000 file."""

import io
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, product
from typing import IO

from PIL import Image, ImageChops, ImageCms

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_NEARLY_SRGB = 2  # levels of 255: profiles of sRGB differ by as much in rounding
_HEADER_BYTES = 1 << 23
_ICC_METHODS = (2, 3)


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
    how = (ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION)
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB", *how)
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    bands = len(Image.new(mode, (1, 1)).getbands())
    samples = bytes(chain.from_iterable(product(range(0, 256, 15), repeat=bands)))
    colours = Image.frombytes(mode, (len(samples) // bands, 1), samples)
    changes = ImageChops.difference(transform.apply(colours), colours.convert("RGB"))
    return changes.point(lambda change: 255 * (change > _NEARLY_SRGB)).getbbox() is None


def jpeg2000_profile(original: IO[bytes]) -> bytes | None:
    """The ICC profile in a JPEG 2000 file's header, which Pillow does not read (ISO/IEC 15444-1, annex I)."""
    original.seek(0)
    header = next((body for kind, body in _boxes(original.read(_HEADER_BYTES)) if kind == b"jp2h"), b"")
    colours = (body for kind, body in _boxes(header) if kind == b"colr" and body[0] in _ICC_METHODS)
    return next((body[3:] for body in colours), None)  # after the method, a precedence and an approximation


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each box's kind and body; what is no box ends it."""
    place = 0
    while place + 8 < len(content):
        length, start = int.from_bytes(content[place : place + 4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(content[place + 8 : place + 16], "big"), 16
        end = place + length if length else len(content)
        if end <= place + start:
            return
        yield content[place + 4 : place + 8], content[place + start : end]
        place = end
