"""Picture loading: files, Pillow images and arrays, made upright, RGB and as small as the network was trained on."""

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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
        return _from_path(Path(picture), size)
    if isinstance(picture, Image.Image):
        return _from_memory(picture.copy(), "the given image", size)  # decoding would change the caller's own
    if not isinstance(picture, np.ndarray):
        raise MorelliError(
            f"A picture is a path, a Pillow image or a numpy array of uint8 (height, width, 3); not {type(picture)}."
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise MorelliError(
            f"An array must be uint8 of shape (height, width, 3), RGB from 0 to 255; this one is {picture.dtype} of "
            f"shape {picture.shape}. Give several pictures as a list."
        )
    return _from_memory(Image.fromarray(np.ascontiguousarray(picture)), "the given array", size)


def as_jpeg(image: Image.Image) -> bytes:
    """A picture for a page."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def data_url(image: Image.Image) -> str:
    """A picture inside a page."""
    return "data:image/jpeg;base64," + base64.b64encode(as_jpeg(image)).decode()


def _from_path(path: Path, size: int) -> LoadedPicture:
    if path.is_dir():
        raise MorelliError(f"{path} is a folder, not a picture. Give a file; for folders there is: morelli index")
    if not path.is_file():
        raise MorelliError(f"There is no picture {printable(str(path))}.")
    try:
        return read_file(path, printable(str(path)), size)
    except UnusableError as error:
        raise MorelliError(f"{printable(str(path))} cannot be used: {error}.") from error


def read_file(path: Path, name: str, size: int) -> LoadedPicture:
    """Read one file, and notice if it changes meanwhile; an ``UnusableError`` says in a few words why it cannot be."""
    try:
        with path.open("rb") as stream:
            before = path.stat()
            refuse_large(before.st_size)
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if not before.st_size:
                raise UnusableError("empty")
            stream.seek(0)
            if instead := stand_in(stream.read(HEAD_BYTES)):
                raise UnusableError(instead)
            stream.seek(0)
            rgb = read_rgb(stream, size)
        after = path.stat()
    except OSError as error:
        raise UnusableError(f"cannot be read ({error.strerror or error})") from error
    if any(getattr(before, key) != getattr(after, key) for key in ("st_size", "st_mtime_ns", "st_ino")):
        raise UnusableError("changed while it was read")
    info = PictureInfo(name, *rgb.size, sha256, dhash(rgb), after.st_size, after.st_mtime_ns)
    return LoadedPicture(rgb, info)


def _from_memory(image: Image.Image, name: str, size: int) -> LoadedPicture:
    try:
        rgb = shrunk_rgb(image, size)
    except UnusableError as error:
        raise MorelliError(f"{name.capitalize()} cannot be used: {error}.") from error
    sha256 = hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()
    return LoadedPicture(rgb, PictureInfo(name, *rgb.size, sha256, dhash(rgb)))
