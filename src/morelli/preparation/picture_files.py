"""What a file is, by its first bytes: the kind of picture, a Git LFS pointer, a web page; and who can read it."""

import importlib
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from PIL import features

from morelli._files import LFS_HEAD

SUFFIXES: Final = frozenset(
    ".jpg .jpeg .jpe .jfif .png .tif .tiff .webp .bmp .gif .jp2 .jpx .j2k .avif .heic .heif .hif .jxl".split()  # noqa: SIM905
)
HEAD_BYTES: Final = 128
"""So many of a file's first bytes tell what it is."""
LARGEST_FILE: Final = 1 << 30
"""Bytes of the largest original; what is larger is refused before it is read."""
_MAX_PIXELS: Final = 200_000_000
_HEAVY_PIXELS: Final = 50_000_000
_SIGNATURES: Final = (
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
_BMP_HEADER_SIZES: Final = (12, 40, 52, 56, 64, 108, 124)  # a text may well begin with "BM"
_BRANDS: Final = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"
)
# No format that Pillow hands to another program (EPS to Ghostscript).
_READ_BY_PILLOW: Final = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000")
_PLUGINS: Final = {
    "AVIF": ("AVIF", "pillow_avif", "pillow-avif-plugin"),  # only where Pillow was built without it
    "HEIC": ("HEIF", "pillow_heif", "pillow-heif"),
    "JPEG XL": ("JXL", "pillow_jxl", "pillow-jxl-plugin"),
}
"""Kind → Pillow's name for it, the module that reads it, and the package that holds the module."""
_NEEDS: Final = ", which needs: pip install "


class UnusableError(Exception):
    """A picture cannot be used; the message is the reason, the same on every run."""


def stand_in(head: bytes) -> str | None:
    """Say what stands in place of a picture or a table, by its first bytes; None if nothing that is known."""
    if head.startswith(LFS_HEAD):
        return "a Git LFS pointer, not the file itself; run: git lfs pull"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, not the file itself"
    return None


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


def pillow_format(kind: str) -> str:
    """The name by which Pillow knows a kind of picture, once whatever reads it is loaded."""
    if kind == "BigTIFF":
        return "TIFF"
    if kind in _READ_BY_PILLOW or (kind == "AVIF" and features.check("avif")):
        return kind
    format_, module, package = _PLUGINS[kind]
    try:
        plugin = importlib.import_module(module)
    except ImportError as error:
        raise needs_package(kind, package) from error
    if kind == "HEIC":
        plugin.register_heif_opener()  # the other plugins do so when they are imported
    return format_


def needs_package(what: str, package: str) -> UnusableError:
    """The reason for leaving out what only a package that is not installed can read."""
    return UnusableError(f"{what}{_NEEDS}{package}")


def may_be_read_later(reason: str) -> bool:
    """Tell whether a picture was left out only because a package is not installed."""
    return _NEEDS in reason


def refuse_large(length: int) -> None:
    """Refuse a file that is too large for a picture, before it is read."""
    if length > LARGEST_FILE:
        raise UnusableError(f"a file of {length:,} bytes; the limit is {LARGEST_FILE:,}")


def refuse_oversized(width: int, height: int) -> None:
    """Refuse what this machine's memory may not hold."""
    if width * height > _MAX_PIXELS:
        raise UnusableError(f"more than {_MAX_PIXELS // 10**6} megapixels ({width * height / 1e6:,.0f} MP)")


def turn_for(width: int, height: int, one_at_a_time: AbstractContextManager[object]) -> AbstractContextManager[object]:
    """``one_at_a_time`` for a picture whose pixels need hundreds of MB, else nothing to wait for."""
    return one_at_a_time if width * height > _HEAVY_PIXELS else nullcontext()
