"""One picture of any kind becomes a small RGB JPEG, or a reason why not."""

import io
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import IO

from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

MAX_PIXELS = 200_000_000
SHORTEST_SIDE = 16
QUALITY = 92
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2"})

HEAD_BYTES = 128
"""So many of a file's first bytes tell its kind."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
)
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)  # a text may well begin with "BM"
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"
)

# No format that Pillow hands to another program (EPS to Ghostscript).
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000")
_ANIMATED = ("GIF", "PNG", "WEBP")  # other files of several pictures are scans or photographs with previews
_LONGEST_JPEG_SIDE = 65_500
_HEAVY_PIXELS = 50_000_000


class UnusableError(Exception):
    """A picture cannot be used; the message is the reason, the same on every run."""


@dataclass(frozen=True, slots=True)
class Small:
    """A shrunk picture: the bytes of an RGB JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def picture_kind(head: bytes) -> str | None:
    """Tell a picture's kind by the first :data:`HEAD_BYTES` of its file, whatever its name; None if it is none.

    The kinds: JPEG, PNG, GIF, TIFF, BigTIFF, WEBP, BMP, JPEG2000, AVIF, HEIC, JPEG XL.
    """
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head[4:8] == b"ftyp":  # ISO base media: the brand, a version, then the brands it is compatible with
        box = head[: int.from_bytes(head[:4], "big")]
        brands = [box[8:12], *(box[start : start + 4] for start in range(16, len(box), 4))]
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    return None


def shrink(original: IO[bytes], size: int, one_at_a_time: AbstractContextManager[object] | None = None) -> Small:
    """Read every pixel of ``original`` and return it as an RGB JPEG with a shorter side of at most ``size`` pixels.

    A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size in the DCT domain, which saves most of the time and memory.
    What cannot be reduced while it is decoded and is very large is decoded under ``one_at_a_time``.

    Raises:
        UnusableError: not a picture, truncated, damaged, or more than 200 megapixels.
    """
    with _reasons(), _own_pillow_settings(), Image.open(original, formats=_FORMATS) as image:
        _refuse_oversized(image)
        with (one_at_a_time or nullcontext()) if _is_heavy(image) else nullcontext():
            return _encoded(_rgb(_shrunk(image, size)))


def read_rgb(original: IO[bytes], size: int) -> Image.Image:
    """As :func:`shrink`, but the pixels before they are encoded; and only of a still picture of 16 pixels or more.

    Raises:
        UnusableError: as :func:`shrink`; animated; or a side of less than 16 pixels.
    """
    with _reasons(), _own_pillow_settings(), Image.open(original, formats=_FORMATS) as image:
        if image.format in _ANIMATED and getattr(image, "is_animated", False):
            raise UnusableError("animated")
        return shrunk_rgb(image, size)


def shrunk_rgb(image: Image.Image, size: int) -> Image.Image:
    """As :func:`read_rgb`, for a picture that is open already.

    Raises:
        UnusableError: as :func:`read_rgb`.
    """
    with _reasons(), _own_pillow_settings():
        _refuse_oversized(image)
        if min(image.size) < SHORTEST_SIDE:
            raise UnusableError(f"too small ({image.width} x {image.height} pixels; it takes {SHORTEST_SIDE} a side)")
        return _rgb(_shrunk(image, size))


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever Pillow raises into a reason."""
    try:
        yield
    except (UnusableError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableError("not a picture that can be read") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise UnusableError(_reason(error)) from error


@contextmanager
def _own_pillow_settings() -> Iterator[None]:
    """Find truncation and use our own limit of pixels, then give the process its own settings back."""
    pixels, load_truncated = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on damaged EXIF and the like, which cost us nothing
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = pixels, load_truncated


def _refuse_oversized(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise UnusableError(f"more than {MAX_PIXELS // 10**6} megapixels ({pixels / 1e6:,.0f} MP)")


def _is_heavy(image: Image.Image) -> bool:
    """Tell whether decoding needs hundreds of MB: a progressive JPEG keeps all its coefficients, others all pixels."""
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        return False
    return image.width * image.height > _HEAVY_PIXELS


def _shrunk(image: Image.Image, size: int) -> Image.Image:
    """Return the picture with its shorter side at most ``size``, turned upright, in a mode that can be averaged."""
    width, height = image.size
    scale = min(1.0, size / min(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    if max(target) > _LONGEST_JPEG_SIDE:
        raise UnusableError(f"too long for a JPEG ({width} x {height})")
    reduced = image.draft(None, (size, size))  # JPEG only: the largest of 1/8, 1/4, 1/2 that keeps ``size`` pixels
    image.load()
    small = _averageable(image)
    if target != image.size:
        box = reduced[1] if reduced else None  # the part of the last pixels that is picture
        small = small.resize(target, Image.Resampling.LANCZOS, box, reducing_gap=2.0)
    with suppress(Exception):  # a damaged EXIF block is no reason to lose the painting
        small = ImageOps.exif_transpose(small)
    return small


def _averageable(image: Image.Image) -> Image.Image:
    """Convert modes whose numbers are no intensities (palettes, bits, hues) or that Pillow cannot resize."""
    if image.mode.startswith("I;16"):
        return image.convert("I")
    if image.has_transparency_data:
        return image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK", "YCbCr", "LAB", "I", "F"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB: transparent parts become white, 16 and 32 bits become 8."""
    if image.mode in ("RGBA", "LA"):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if image.mode in ("I", "F"):
        return _eight_bits(image).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale deep greys to 0..255: floats up to 1 by 255, anything above 255 as 16-bit numbers."""
    _, peak = image.getextrema()
    assert isinstance(peak, int | float)
    scale = 255.0 if image.mode == "F" and peak <= 1 else 1.0 if peak <= 255 else 255 / 65535
    return image.convert("F").point(lambda value: value * scale + 0.5).convert("L")


def _encoded(image: Image.Image) -> Small:
    image.info.clear()  # or Pillow copies comments and profiles into the new file
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY)
    return Small(encoded.getvalue(), image.width, image.height)


def _reason(error: Exception) -> str:
    message = str(error)
    if "truncated" in message.lower():
        return "truncated"
    return f"damaged ({type(error).__name__}: {message})"
