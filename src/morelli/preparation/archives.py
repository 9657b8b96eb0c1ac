"""Reading originals where they lie: plain files, or entries of zip archives that are never unpacked."""

import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import TypeAlias

from morelli.errors import MorelliError
from morelli.preparation.pointers import HEAD_BYTES, stand_in

MAX_ENTRY_BYTES = 1 << 30
_MAX_INFLATION = 200  # deflate reaches 1,032 at most, real pictures stay below 100
_INFLATION_MATTERS_FROM = 64 << 20
_KEPT_IN_MEMORY = 64 << 20
_SAYS_UTF8 = 0x800
_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError)

Stream: TypeAlias = "io.BufferedReader | tempfile.SpooledTemporaryFile[bytes]"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of one original lie: the file ``path``, or the ``entry`` of the archive at ``path``."""

    path: str
    entry: str | None = None


class DamagedEntryError(Exception):
    """The bytes of one archive entry cannot be had; its neighbours may be sound."""


class BrokenArchiveError(MorelliError):
    """An archive is not whole, or no zip archive; ``reason`` says so in a few words."""

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(
            f"{archive} is not a whole zip archive ({reason}). A download that was cut looks like this: get the file "
            "again, then run the same command."
        )
        self.reason = reason


def is_clutter(name: str) -> bool:
    """Tell whether a relative path is the system's, not the user's: ``__MACOSX``, ``._x.jpg``, hidden files."""
    return any(part == "__MACOSX" or part.startswith(".") for part in name.split("/"))


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The path of an entry, as it was meant.

    Some programs write it in UTF-8 without saying so, and it is then read as code page 437; some part it with ``\\``.
    """
    name = entry.filename
    if not entry.flag_bits & _SAYS_UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def entries(archive: Path) -> list[zipfile.ZipInfo]:
    """List the files of an archive, without clutter, after checking that all of it is fit to be read.

    Raises:
        MorelliError: the archive is not whole, encrypted, or hostile (paths out of the folder, zip bombs).
    """
    with open_archive(archive) as opened:
        found = opened.infolist()
    for entry in found:
        _refuse_unsafe(archive, entry)
    return [entry for entry in found if not entry.is_dir() and not is_clutter(entry.filename)]


def open_archive(archive: Path) -> zipfile.ZipFile:
    """Open a zip archive, or say that it is cut or no zip at all."""
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        with archive.open("rb") as stream:
            instead = stand_in(stream.read(HEAD_BYTES))
        raise BrokenArchiveError(archive, instead or str(error)) from error


def _refuse_unsafe(archive: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    where = f'{archive} has an entry "{name}"'
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise MorelliError(f"{where} that would leave the folder. Do not trust this archive; nothing of it was used.")
    if entry.flag_bits & 0x1:
        raise MorelliError(
            f"{where} that is encrypted. Unpack the archive with its password and pass the unpacked folder."
        )
    if entry.compress_type not in _COMPRESSIONS:
        raise MorelliError(
            f"{where} packed with method {entry.compress_type}, which Python cannot unpack. "
            "Unpack the archive and pass the unpacked folder."
        )
    inflates = entry.file_size > _MAX_INFLATION * max(entry.compress_size, 1)
    if entry.file_size > MAX_ENTRY_BYTES or (inflates and entry.file_size > _INFLATION_MATTERS_FROM):
        raise MorelliError(
            f"{where} that would unpack from {entry.compress_size:,} to {entry.file_size:,} bytes: a zip bomb, "
            f"or no painting. Take it out of the archive (the limit is {MAX_ENTRY_BYTES:,} bytes)."
        )


class Originals:
    """Opens originals one after the other and keeps the archives open in between. Use as a context manager."""

    def __init__(self, spool_folder: Path) -> None:
        self._spool_folder = spool_folder
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Originals":
        return self

    def __exit__(self, *_: object) -> None:
        self._archives.clear()
        self._open.close()

    @contextmanager
    def open(self, place: Place) -> Iterator[Stream]:
        """Yield the original as a seekable stream; a large archive entry passes through an unnamed file on disk.

        Raises:
            DamagedEntryError: the entry's bytes are broken.
            OSError: the file cannot be read.
        """
        if place.entry is None:
            with Path(place.path).open("rb") as stream:
                yield stream
            return
        with tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY, dir=str(self._spool_folder)) as spooled:
            try:
                with self._archive(place.path).open(place.entry) as packed:
                    copyfileobj(packed, spooled, 1 << 20)
            except _DAMAGE as error:
                raise DamagedEntryError(str(error)) from error
            spooled.seek(0)
            yield spooled

    def head(self, place: Place, count: int) -> bytes:
        """The first bytes of an original, without unpacking the rest.

        Raises:
            DamagedEntryError, OSError: as :meth:`open`.
        """
        if place.entry is None:
            with Path(place.path).open("rb") as stream:
                return stream.read(count)
        try:
            with self._archive(place.path).open(place.entry) as packed:
                return packed.read(count)
        except _DAMAGE as error:
            raise DamagedEntryError(str(error)) from error

    def _archive(self, path: str) -> zipfile.ZipFile:
        if path not in self._archives:
            self._archives[path] = self._open.enter_context(open_archive(Path(path)))
        return self._archives[path]
