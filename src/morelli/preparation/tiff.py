"""Open TIFFs: the page that is the picture, decoded by tifffile where Pillow would read it wrong or not at all.

Measured with Pillow 13: it garbles uncompressed planes of more than eight bits, takes deep greys whose zero is white
for negatives, and knows few forms of more than sixteen bits; see ``tests/preparation/test_tiff.py``.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import IO, Any

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from morelli.preparation.picture_files import UnusableError, needs_package, refuse_oversized, turn_for

_COLOURS = {0: "L", 1: "L", 2: "RGB", 3: "P", 5: "CMYK", 6: "YCbCr", 8: "LAB"}
"""Photometric interpretations that are pictures; others are masks, depths and the raw mosaics of cameras."""
_WHITE_IS_ZERO, _MASK, _IN_PLANES, _UNCOMPRESSED = 0, 4, 2, 1
_ALPHA = {1: "a", 2: "A"}
"""Kind of the first extra sample → how Pillow marks it: multiplied into the colours, or apart from them."""
_ORIENTATION = 274


def open_tiff(original: IO[bytes], one_at_a_time: AbstractContextManager[object]) -> Image.Image:
    """Open the largest page: with Pillow, or already decoded to 8 bits where Pillow cannot be trusted with it."""
    with _parsed(original) as file:
        candidates = list(_pictures_in(file)) if file else []
        place, page = max(candidates, key=lambda found: found[1].imagewidth * found[1].imagelength, default=(0, None))
        if page is None or (place is not None and _is_read_right_by_pillow(page)):
            try:
                return _opened_by_pillow(original, place or 0)
            except (UnidentifiedImageError, SyntaxError):
                if page is None:
                    raise
        refuse_oversized(page.imagewidth, page.imagelength)
        with turn_for(page.imagewidth, page.imagelength, one_at_a_time):
            return _decoded(page)


@contextmanager
def _parsed(original: IO[bytes]) -> Iterator[tifffile.TiffFile | None]:
    """The file as tifffile sees it, whose remarks on odd tags stay off the terminal; None where it cannot read it."""
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with ExitStack() as stack:
            file = None
            with suppress(Exception):  # nearly any, on damaged files; Pillow may still read the first page
                file = stack.enter_context(tifffile.TiffFile(original))
            yield file
    finally:
        logger.setLevel(level)


def _pictures_in(file: tifffile.TiffFile) -> Iterator[tuple[int | None, Any]]:
    """(place for Pillow, page) of each page that is a picture; those inside other pages have no place."""
    seen: set[int] = set()
    with suppress(Exception):  # a damaged link or directory: the pages before it remain
        for place, page in enumerate(file.pages):
            if page.offset in seen:  # a chain that bites its tail has no end
                return
            seen.add(page.offset)
            for found in ((place, page), *((None, inner) for inner in getattr(page, "pages", None) or ())):
                if getattr(found[1], "photometric", None) in _COLOURS and not found[1].subfiletype & _MASK:
                    yield found


def _opened_by_pillow(original: IO[bytes], place: int) -> Image.Image:
    original.seek(0)
    image = Image.open(original, formats=["TIFF"])
    if place:
        image.seek(place)
    return image


def _is_read_right_by_pillow(page: Any) -> bool:
    bits, in_planes = _bits(page), page.planarconfig == _IN_PLANES
    if in_planes and page.extrasamples:
        return False
    is_raw = in_planes and page.compression == _UNCOMPRESSED
    is_plain = bits == 16 and page.sampleformat == 1 and page.photometric != _WHITE_IS_ZERO
    return bits <= 8 or (is_plain and not is_raw)


def _bits(page: Any) -> int:
    return max(page.bitspersample) if isinstance(page.bitspersample, tuple) else int(page.bitspersample)


def _decoded(page: Any) -> Image.Image:
    what, mode = f"a TIFF of {_bits(page)} bits", _COLOURS[page.photometric]
    if mode not in ("L", "RGB", "CMYK"):
        raise UnusableError(f"{what} in {mode}, which is not read; as RGB it would be")
    ends = [start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=True) if length]
    if len(ends) < len(page.dataoffsets) or max(ends, default=0) > page.parent.filehandle.size:
        raise UnusableError("truncated")
    try:
        planes = page.asarray(squeeze=False)[:, 0]  # (planes, height, width, samples)
    except ValueError as error:
        if "imagecodecs" in str(error):
            raise needs_package(f"{what} packed by {page.compression.name}", "imagecodecs") from error
        raise
    samples = _eight_bits(np.concatenate(list(planes), axis=-1), _bits(page))
    if page.photometric == _WHITE_IS_ZERO:
        samples[..., 0] = 255 - samples[..., 0]
    return _image(page, mode, samples)


def _eight_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    """Scale to 0..255: floats by 1, 255 or 65,535, integers by what their bits hold or, if none is larger, by less."""
    if samples.dtype == np.uint16 and bits == 16 and samples.max() > 255:
        return (samples >> 8).astype(np.uint8)  # as Pillow does, in a third of the memory
    is_float = samples.dtype.kind == "f"
    if is_float:
        samples = np.nan_to_num(samples.astype(np.float32))
        peak = np.percentile(samples.ravel()[:: max(1, samples.size // 1_000_000)], 99)  # highlights may exceed 1
        limits = [1.0, 255.0, 65535.0]
    else:
        peak = samples.max()
        limits = [2.0 ** min(bits, held) - 1 for held in (8, 16, bits)]
    most = next((limit for limit in limits if peak <= limit), limits[-1])
    scaled: np.ndarray = np.clip(samples.astype(np.float32) * (255 / most) + 0.5, 0, 255).astype(np.uint8)
    return scaled


def _image(page: Any, mode: str, samples: np.ndarray) -> Image.Image:
    """The samples (height, width, bands) as an image that knows its profile and which way is up."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    if page.extrasamples and page.extrasamples[0] in _ALPHA and mode in ("L", "RGB"):
        bands += 1
        mode += _ALPHA[page.extrasamples[0]]
    height, width = samples.shape[:2]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(samples[..., :bands]).tobytes())
    if mode.endswith("a"):
        image = image.convert(mode.upper())
    exif = Image.Exif()
    exif[_ORIENTATION] = page.tags.valueof(_ORIENTATION, 1)
    image.info = {"exif": exif.tobytes(), "icc_profile": page.iccprofile}
    return image
