"""Shrink one picture of any kind to a small RGB JPEG in sRGB, or give the reason why it cannot be used."""

import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from morelli.preparation.colour import in_srgb, jpeg2000_profile
from morelli.preparation.picture_files import (
    HEAD_BYTES,
    UnusableError,
    picture_kind,
    pillow_format,
    refuse_large,
    refuse_oversized,
    turn_for,
)

_SHORTEST_SIDE = 16
_QUALITY = 92
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # other files of several pictures are scans or photographs with previews
_LONGEST_JPEG_SIDE = 65_500
_LARGEST_PNG_TEXT = 1 << 26  # Pillow's own limit, 1 MB, is less than some editors' history and some profiles
_SETTINGS: tuple[tuple[Any, str, object], ...] = (
    (Image, "MAX_IMAGE_PIXELS", None),  # refuse_oversized has our own limit
    (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
    (PngImagePlugin, "MAX_TEXT_CHUNK", _LARGEST_PNG_TEXT),
    (PngImagePlugin, "MAX_TEXT_MEMORY", _LARGEST_PNG_TEXT),
)
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_LOOK = (b"iCCP", b"eXIf")  # the colours' meaning, and which way is up
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Small:
    """A shrunk picture: the bytes of an RGB JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def shrink(original: IO[bytes], size: int, one_at_a_time: AbstractContextManager[object] | None = None) -> Small:
    """Read every pixel of ``original`` and return it as an RGB JPEG with a shorter side of at most ``size`` pixels.

    A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size in the DCT domain, which saves most of the time and memory.
    What cannot be reduced while it is decoded and is very large is decoded under ``one_at_a_time``.

    Raises:
        UnusableError: not a picture, truncated, damaged, wholly transparent, a side of less than 16 pixels, more than
            200 megapixels, or of a kind that only a package reads that is not installed.
    """
    turns = one_at_a_time or nullcontext()

    def shrunk(image: Image.Image) -> Small:
        # Memory must hold all pixels at once, or all coefficients, as of a progressive JPEG.
        is_whole = image.format not in ("JPEG", "MPO") or image.info.get("progressive")
        with turn_for(*image.size, turns) if is_whole else nullcontext():
            return _encoded(_rgb(_shrunk(image, size)))

    return _of_opened(original, shrunk, turns)


def read_rgb(original: IO[bytes], size: int) -> Image.Image:
    """As :func:`shrink`, but the pixels before they are encoded; and only of a still picture."""

    def shrunk(image: Image.Image) -> Image.Image:
        if image.format in _ANIMATED and getattr(image, "is_animated", False):
            raise UnusableError("animated")
        return _rgb(_shrunk(image, size))

    return _of_opened(original, shrunk, nullcontext())


def shrunk_rgb(image: Image.Image, size: int) -> Image.Image:
    """As :func:`read_rgb`, for a picture that is open already."""
    with _pillow():
        return _rgb(_shrunk(image, size))


def _of_opened(
    original: IO[bytes], work: Callable[[Image.Image], _T], one_at_a_time: AbstractContextManager[object]
) -> _T:
    """Open a picture of any kind, and return what ``work`` makes of it."""
    with _pillow():
        refuse_large(original.seek(0, io.SEEK_END))
        original.seek(0)
        kind = picture_kind(original.read(HEAD_BYTES))
        if kind is None:
            raise UnusableError("not a picture that can be read")
        profile = jpeg2000_profile(original) if kind == "JPEG2000" else None
        original.seek(0)
        formats = [pillow_format(kind)]
        if formats == ["TIFF"]:
            from morelli.preparation.tiff import open_tiff  # half a second that most sources need not wait

            with open_tiff(original, one_at_a_time) as image:
                return work(image)
        try:
            with Image.open(original, formats=formats) as image:
                if profile:
                    image.info.setdefault("icc_profile", profile)
                return work(image)
        except UnusableError:
            raise
        except Exception:
            if kind != "PNG":
                raise
        with Image.open(_without_metadata(original), formats=formats) as image:
            return work(image)


@contextmanager
def _pillow() -> Iterator[None]:
    """Use our own limits, give the process its own back, and turn whatever Pillow raises into a reason."""
    before = [getattr(module, name) for module, name, _ in _SETTINGS]
    for module, name, own in _SETTINGS:
        setattr(module, name, own)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on damaged EXIF and the like, which cost us nothing
            yield
    except (UnusableError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableError("not a picture that can be read") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        is_cut = "truncated" in str(error).lower()
        raise UnusableError("truncated" if is_cut else f"damaged ({type(error).__name__}: {error})") from error
    finally:
        for (module, name, _), value in zip(_SETTINGS, before, strict=True):
            setattr(module, name, value)


def _shrunk(image: Image.Image, size: int) -> Image.Image:
    """Return the picture with its shorter side at most ``size``, turned upright, in a mode that can be averaged."""
    width, height = image.size
    refuse_oversized(width, height)
    if min(width, height) < _SHORTEST_SIDE:
        raise UnusableError(f"too small ({width} x {height} pixels; it takes {_SHORTEST_SIDE} a side)")
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
    """Convert to sRGB: transparent parts become white, 16 and 32 bits become 8."""
    if image.mode in ("I", "F"):
        image = _eight_bits(image)
    if image.mode == "YCbCr":
        image = image.convert("RGB")
    image = in_srgb(image, image.info.get("icc_profile"))
    if image.mode in ("RGBA", "LA"):
        if not image.getchannel("A").getextrema()[1]:
            raise UnusableError("wholly transparent")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
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
    image.save(encoded, "JPEG", quality=_QUALITY)
    return Small(encoded.getvalue(), image.width, image.height)


def _without_metadata(original: IO[bytes]) -> io.BytesIO:
    """Copy a PNG without all that neither holds pixels nor says how to show them, or that is damaged and does so."""
    original.seek(0)
    copy = io.BytesIO()
    copy.write(original.read(8))  # the signature
    while len(start := original.read(8)) == 8:  # length and kind; then body and checksum, which may be cut
        kind, chunk = start[4:], start + original.read(int.from_bytes(start[:4], "big") + 4)
        if kind in _PNG_PIXELS or (kind in _PNG_LOOK and _is_whole(chunk) and (kind != b"iCCP" or _inflates(chunk))):
            copy.write(chunk)
    copy.seek(0)
    return copy


def _is_whole(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _inflates(profile: bytes) -> bool:
    """Whether a compressed profile is packed as is usual and not larger than Pillow takes."""
    method, packed = (after := profile[8:-4].partition(b"\0")[2])[:1], after[1:]
    try:
        size = len(zlib.decompressobj().decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK + 1))
    except zlib.error:
        return False
    return method == b"\0" and size <= PngImagePlugin.MAX_TEXT_CHUNK
