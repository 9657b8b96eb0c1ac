"""The colour profile of a JPEG 2000 file, which Pillow does not read (ISO/IEC 15444-1, annex I)."""

from collections.abc import Iterator
from typing import IO

_MOST_BYTES = 1 << 23
_ICC_METHODS = (2, 3)
_AFTER_METHOD = 3  # the method, a precedence and an approximation, one byte each


def profile_of(original: IO[bytes]) -> bytes | None:
    """The ICC profile that the header holds, or None."""
    original.seek(0)
    for kind, header in _boxes(original.read(_MOST_BYTES)):
        if kind == b"jp2h":
            return next(
                (body[_AFTER_METHOD:] for kind, body in _boxes(header) if kind == b"colr" and body[0] in _ICC_METHODS),
                None,
            )
    return None


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
