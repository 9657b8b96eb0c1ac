"""Repair PNGs whose pixels are whole while what is written beside them is damaged."""

import io
import zlib
from typing import IO

from PIL import PngImagePlugin

_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_LOOK = (b"iCCP", b"eXIf")  # the colours' meaning, and which way is up


def without_metadata(original: IO[bytes]) -> io.BytesIO:
    """Copy a PNG without all that neither holds pixels nor says how to show them, or that is damaged and does so."""
    original.seek(0)
    copy = io.BytesIO()
    copy.write(original.read(8))  # the signature
    while len(start := original.read(8)) == 8:  # length and kind; then body and checksum, which may be cut
        kind, chunk = start[4:], start + original.read(int.from_bytes(start[:4], "big") + 4)
        if kind in _PIXELS or (kind in _LOOK and _is_whole(chunk) and (kind != b"iCCP" or _inflates(chunk))):
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
