"""Originals where they lie: plain files, and what zip archives (never unpacked to disk) and other containers hold."""

import errno
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import copyfileobj
from typing import IO, Any, Protocol

from morelli.errors import MorelliError, first_line
from morelli.preparation.picture_files import HEAD_BYTES, LARGEST_FILE, stand_in

_MAX_INFLATION = 200  # deflate reaches 1,032 at most, real pictures stay below 100
_INFLATION_MATTERS_FROM = 64 << 20
_KEPT_IN_MEMORY = 64 << 20
_SAYS_UTF8 = 0x800
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, KeyError, NotImplementedError)
"""What zipfile and its decompressors raise; that of bzip2 raises an ``OSError`` without a number."""


class Container(Protocol):
    """Holds originals, such as a zip archive, a Parquet file or a server."""

    def open(self, name: Any, /) -> IO[bytes]:
        """One of them, for reading; an ``OSError`` with a number says that it may be had another time."""

    def close(self) -> None:
        """Let go of all that is open."""


@dataclass(frozen=True, slots=True)
class File:
    """One original: its path below the source, and where its bytes lie.

    Attributes:
        name: relative to the source, as :func:`morelli._file_names.escaped` writes it.
        path: of the file on disk, or of the container that holds it.
        bytes: its length; 0 if that is not known before it is opened.
        version: a text that changes when the original does.
        entry: what it is called in the container; None for a plain file.
        container: what opens ``path`` where that is no zip archive; it and ``entry`` are pickled for the workers.
        side: pixels that its shorter side is said to have, 0 if nothing is said.
    """

    name: str
    path: str
    bytes: int
    version: str
    entry: Any = None
    is_link: bool = False
    container: Callable[[str], Container] | None = None
    side: int = 0

    @classmethod
    def at(cls, path: str | Path, name: str, *, is_link: bool = False) -> "File":
        """The plain file at ``path``."""
        stat = Path(path).stat()
        return cls(name, str(path), stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}", is_link=is_link)

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()


class DamagedEntryError(Exception):
    """The bytes of one archive entry are damaged; its neighbours may be sound."""


class BrokenArchiveError(MorelliError):
    """An archive is not whole, or no zip archive; ``reason`` says so in a few words."""

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(
            f"{archive} is not a whole zip archive ({reason}). Its download may have been cut: get the file again, "
            "then run the same command."
        )
        self.reason = reason


def is_clutter(name: str) -> bool:
    """Tell whether a relative path is the system's, not the user's: ``__MACOSX``, ``._x.jpg``, hidden files."""
    return any(part == "__MACOSX" or part.startswith(".") for part in name.split("/"))


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The path of an entry as it was meant: some programs do not say that it is UTF-8, or part it with ``\\``."""
    name = entry.filename
    if not entry.flag_bits & _SAYS_UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def entries(archive: Path) -> list[zipfile.ZipInfo]:
    """List the files of an archive; one that is cut, encrypted or hostile (paths out, zip bombs) is refused."""
    with _opened(archive) as opened:
        found = opened.infolist()
    for entry in found:
        if trouble := _trouble(entry):
            raise MorelliError(f'{archive} has an entry "{entry.orig_filename}" {trouble}.')
    return [entry for entry in found if not entry.is_dir() and not is_clutter(entry.filename)]


def _opened(archive: str | Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (*DAMAGE, ValueError, IndexError, OSError) as error:
        if _is_of_the_system(error):
            raise
        with Path(archive).open("rb") as stream:
            instead = stand_in(stream.read(HEAD_BYTES))
        raise BrokenArchiveError(Path(archive), instead or str(error)) from error


def _is_of_the_system(error: Exception) -> bool:
    """Not so: bzip2's own, which have no number, and that of seeking where a damaged archive points."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _trouble(entry: zipfile.ZipInfo) -> str:
    """Why an archive with this entry must not be read; empty for a sound one."""
    name, packed, unpacked = entry.orig_filename, entry.compress_size, entry.file_size
    if not entry.filename:
        return "without a name. Unpack the archive and pass the unpacked folder"
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        return "that would leave the folder. Do not trust this archive; nothing of it was used"
    if entry.flag_bits & 0x1:
        return "that is encrypted. Unpack the archive with its password and pass the unpacked folder"
    if entry.compress_type not in _COMPRESSIONS:
        how = f"packed with method {entry.compress_type}, which Python cannot unpack"
        return f"{how}. Unpack the archive and pass the unpacked folder"
    inflates = unpacked > _INFLATION_MATTERS_FROM and unpacked > _MAX_INFLATION * max(packed, 1)
    if unpacked > LARGEST_FILE or inflates:
        return (
            f"that would unpack from {packed:,} to {unpacked:,} bytes: a zip bomb, or no painting. Take it out of the "
            f"archive (the limit is {LARGEST_FILE:,} bytes)"
        )
    return ""


class Originals:
    """Opens originals one after the other and keeps their containers open. Use as a context manager."""

    def __init__(self, spool_folder: Path) -> None:
        self._spool_folder = spool_folder
        self._open = ExitStack()
        self._container = cache(lambda path, kind: self._open.enter_context(closing((kind or _opened)(path))))

    def __enter__(self) -> "Originals":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.cache_clear()
        self._open.close()

    @contextmanager
    def open(self, file: File) -> Iterator[IO[bytes]]:
        """Yield the original as a seekable stream; a large archive entry passes through an unnamed file on disk.

        Raises:
            DamagedEntryError: the entry's bytes are broken.
        """
        if file.entry is None:
            with Path(file.path).open("rb") as stream:
                yield stream
            return
        with tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY, dir=str(self._spool_folder)) as spooled:
            with self._packed(file) as packed:
                copyfileobj(packed, spooled, 1 << 20)
            spooled.seek(0)
            yield spooled

    def head(self, file: File, count: int) -> bytes:
        """The first bytes of an original, without unpacking the rest; raises as :meth:`open`."""
        with Path(file.path).open("rb") if file.entry is None else self._packed(file) as stream:
            return stream.read(count)

    @contextmanager
    def _packed(self, file: File) -> Iterator[IO[bytes]]:
        try:
            with self._container(file.path, file.container).open(file.entry) as packed:
                yield packed
        except (*DAMAGE, ValueError, OSError) as error:
            if _is_of_the_system(error):
                raise
            raise DamagedEntryError(first_line(error)) from error
