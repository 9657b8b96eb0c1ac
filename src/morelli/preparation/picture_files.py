"""Picture files: their kinds, told by their first bytes, what each needs to be read, and how large one may be."""

import importlib
from contextlib import AbstractContextManager, nullcontext

from PIL import features

MAX_PIXELS = 200_000_000
_HEAVY_PIXELS = 50_000_000

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
_READ_BY_PILLOW = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000")
_PLUGINS = {
    "AVIF": ("AVIF", "pillow_avif", "pillow-avif-plugin"),  # only where Pillow was built without it
    "HEIC": ("HEIF", "pillow_heif", "pillow-heif"),
    "JPEG XL": ("JXL", "pillow_jxl", "pillow-jxl-plugin"),
}
"""Kind → Pillow's name for it, the module that reads it, and the package that holds the module."""
_NEEDS = ", which needs: pip install "


class UnusableError(Exception):
    """A picture cannot be used; the message is the reason, the same on every run."""


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
    """The name by which Pillow knows a kind of picture, once whatever reads it is loaded.

    Raises:
        UnusableError: the package that reads it is not installed.
    """
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


def refuse_oversized(width: int, height: int) -> None:
    """Refuse what this machine's memory may not hold.

    Raises:
        UnusableError: more than 200 megapixels.
    """
    if width * height > MAX_PIXELS:
        raise UnusableError(f"more than {MAX_PIXELS // 10**6} megapixels ({width * height / 1e6:,.0f} MP)")


def turn_for(width: int, height: int, one_at_a_time: AbstractContextManager[object]) -> AbstractContextManager[object]:
    """``one_at_a_time`` for a picture whose pixels need hundreds of MB, else nothing to wait for."""
    return one_at_a_time if width * height > _HEAVY_PIXELS else nullcontext()
