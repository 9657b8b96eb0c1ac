"""Picture loading: files, Pillow images and arrays, made upright, RGB and as small as the network was trained on."""

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from morelli._file_names import printable
from morelli.data.hashes import dhash
from morelli.errors import MorelliError
from morelli.preparation.picture_files import HEAD_BYTES, UnusableError, refuse_large, stand_in
from morelli.preparation.pictures import read_rgb, shrunk_rgb

Picture: TypeAlias = str | Path | Image.Image | np.ndarray
"""A file, an open Pillow image, or an array of uint8, (height, width, 3) in RGB."""


@dataclass(frozen=True)
class PictureInfo:
    """What tells a picture from others.

    Attributes:
        name: its path as given, or what kind of object it was.
        width, height: as the network sees it, pixels.
        sha256: of the file's bytes; of the shrunk pixels where there is no file.
        hash: its perceptual hash, see :mod:`morelli.data.hashes`.
        length, mtime_ns: the file's bytes and time of change; 0 where there is no file.
    """

    name: str
    width: int
    height: int
    sha256: str
    hash: bytes
    length: int = 0
    mtime_ns: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """Its columns in an index, but for the name."""
        columns = {"bytes": self.length, "mtime_ns": self.mtime_ns, "width": self.width, "height": self.height}
        return {**columns, "sha256": self.sha256, "look": self.hash}


@dataclass(frozen=True)
class LoadedPicture:
    """A picture ready for the network: shrunk, upright, RGB."""

    rgb: Image.Image
    info: PictureInfo


def open_picture(picture: Picture, size: int) -> LoadedPicture:
    """Open a picture of any kind; its shorter side is shrunk to ``size`` pixels, if it is longer.

    Raises:
        MorelliError: it cannot be used; it is named, with the reason.
    """
    if isinstance(picture, str | Path):
        path = Path(picture)
        if path.is_dir():
            raise MorelliError(f"{path} is a folder, not a picture. Give a file; for folders there is: morelli index")
        if not path.is_file():
            raise MorelliError(f"There is no picture {printable(str(path))}.")
        name = printable(str(path))
    elif isinstance(picture, np.ndarray | Image.Image):
        name = "the given array" if isinstance(picture, np.ndarray) else "the given image"
    else:
        raise MorelliError(
            f"A picture is a path, a Pillow image or a numpy array of uint8 (height, width, 3); not {type(picture)}."
        )
    try:
        return read_picture(picture, name, size)
    except UnusableError as error:
        raise MorelliError(f"{name.replace('the g', 'The g')} cannot be used: {error}.") from error


def read_picture(picture: Any, name: str, size: int) -> LoadedPicture:
    """Read a picture as :func:`open_picture` takes it, or a file's bytes, or a dict of ``bytes`` and ``path``.

    Raises:
        UnusableError: it cannot be used; the message says in a few words why.
    """
    if isinstance(picture, dict):  # as Hugging Face's datasets write one
        content, path = picture.get("bytes"), picture.get("path")
        picture = path if content is None else content
    if isinstance(picture, bytes | bytearray | memoryview):
        rgb, sha256 = _decoded(io.BytesIO(picture), size)
        return _loaded(rgb, name, sha256, len(picture))
    if isinstance(picture, str | Path):
        return read_file(Path(picture), name, size)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise UnusableError(
                "an array must be uint8 of shape (height, width, 3), RGB from 0 to 255; this one is "
                f"{picture.dtype} of shape {picture.shape}; give several pictures as a list"
            )
        picture = Image.fromarray(np.ascontiguousarray(picture))
    elif isinstance(picture, Image.Image):
        picture = picture.copy()  # decoding would change the caller's own
    else:
        raise UnusableError("no picture" if picture is None else f"a {type(picture).__name__}, not a picture")
    rgb = shrunk_rgb(picture, size)
    return _loaded(rgb, name, hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest())


def as_jpeg(image: Image.Image) -> bytes:
    """A picture for a page."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def data_url(image: Image.Image) -> str:
    """A picture inside a page."""
    return "data:image/jpeg;base64," + base64.b64encode(as_jpeg(image)).decode()


def read_file(path: Path, name: str, size: int) -> LoadedPicture:
    """Read one file, and notice if it changes meanwhile; an ``UnusableError`` says in a few words why it cannot be."""
    try:
        with path.open("rb") as stream:
            before = path.stat()
            rgb, sha256 = _decoded(stream, size)
        after = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UnusableError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if any(getattr(before, key) != getattr(after, key) for key in ("st_size", "st_mtime_ns", "st_ino")):
        raise UnusableError("changed while it was read")
    return _loaded(rgb, name, sha256, after.st_size, after.st_mtime_ns)


def _decoded(stream: io.BytesIO | io.BufferedReader, size: int) -> tuple[Image.Image, str]:
    """The pixels of an encoded picture, and the digest of its bytes."""
    length = stream.seek(0, io.SEEK_END)
    refuse_large(length)
    stream.seek(0)
    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if not length:
        raise UnusableError("empty")
    stream.seek(0)
    if instead := stand_in(stream.read(HEAD_BYTES)):
        raise UnusableError(instead)
    stream.seek(0)
    return read_rgb(stream, size), sha256


def _loaded(rgb: Image.Image, name: str, sha256: str, length: int = 0, mtime_ns: int = 0) -> LoadedPicture:
    return LoadedPicture(rgb, PictureInfo(name, *rgb.size, sha256, dhash(rgb), length, mtime_ns))
