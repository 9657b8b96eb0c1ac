"""All files below a folder or in a zip archive: links followed once, and nothing passed over without a word."""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from morelli._file_names import escaped
from morelli.data.prepared import OPTIONS, TABLE
from morelli.preparation.archives import (
    BrokenArchiveError,
    DamagedEntryError,
    Originals,
    Place,
    entries,
    entry_name,
    is_clutter,
)
from morelli.preparation.pictures import HEAD_BYTES, SUFFIXES, picture_kind

# What network disks and picture viewers write beside pictures: small copies of them.
THUMBNAIL_FOLDERS = frozenset(
    "@eadir .@__thumb .thumbnails .thumbs thumbnails thumbnail thumbs _thumbnails _thumbs".split()  # noqa: SIM905
)
OTHER_ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".txz", ".xz", ".zst"})


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path below the root, where its bytes lie, how many they are, and what changes when they do."""

    name: str  # as :func:`morelli._file_names.escaped` writes it
    place: Place
    bytes: int
    version: str
    is_link: bool = False

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()


@dataclass
class Listing:
    """What was found.

    Attributes:
        files: in the order of their names.
        left_out: (file or folder, reason) of what cannot be read.
        passed_over: how many files or folders of what kind are no part of the collection.
        other_files: how many files of which suffix are no pictures; counted by :func:`pictures_of`.
    """

    files: list[File] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    other_files: Counter[str] = field(default_factory=Counter)

    def take(self, part: "Listing") -> None:
        """Add what was found in another place."""
        self.files += part.files
        self.left_out += part.left_out
        self.passed_over += part.passed_over

    def in_order(self) -> "Listing":
        self.files.sort(key=lambda file: file.name)
        self.left_out.sort()
        return self


def list_folder(root: Path, ignored: Path | None = None) -> Listing:
    """List the files below ``root``.

    ``ignored`` (the folder being written), prepared folders, hidden files and thumbnails are not entered. A link to a
    folder is followed once, and not at all where it leads to a folder that is read anyway or that holds it.

    Raises:
        OSError: ``root`` itself cannot be listed; below it, what cannot be read is left out.
    """
    found = Listing()
    seen = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
    waiting = [""]
    links: list[str] = []
    while waiting or links:
        if waiting:
            inner = waiting.pop()
        else:
            inner = links.pop(0)  # real folders first, so that it is their name which pictures go by
            if _identity(root / inner) in seen:
                found.passed_over["links to folders that are read anyway"] += 1
                continue
        try:
            scanned = _scan(root / inner)
        except OSError as error:
            if not inner:
                raise
            found.left_out.append((f"{escaped(inner)}/", _unreadable("a folder that", error)))
            continue
        if inner:
            seen.add(_identity(root / inner))
            if any(entry.name in (OPTIONS, TABLE) for entry in scanned):
                found.passed_over["prepared folders"] += 1
                continue
        for entry in scanned:
            name = f"{inner}/{entry.name}" if inner else entry.name
            try:
                _sort_in(entry, name, ignored, found, waiting, links)
            except OSError as error:
                found.left_out.append((escaped(name), _unreadable("", error)))
    return found.in_order()


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scanned:
        return list(scanned)


def _sort_in(
    entry: os.DirEntry[str], name: str, ignored: Path | None, found: Listing, waiting: list[str], links: list[str]
) -> None:
    """Put one entry where it belongs: among the files, the folders to read, or what is passed over."""
    if entry.name.casefold() in THUMBNAIL_FOLDERS and entry.is_dir():
        found.passed_over[f"files in folders of thumbnails ({entry.name})"] += sum(
            len(files) for _, _, files in os.walk(entry.path)
        )
    elif is_clutter(entry.name):
        pass
    elif entry.is_dir():
        if Path(entry.path).resolve() != ignored:
            (links if entry.is_symlink() else waiting).append(name)
    elif entry.is_file():
        stat = entry.stat()
        version = f"{stat.st_size}-{stat.st_mtime_ns}"
        found.files.append(File(escaped(name), Place(entry.path), stat.st_size, version, entry.is_symlink()))
    elif entry.is_symlink():
        found.left_out.append((escaped(name), _dangling(entry.path)))


def _identity(folder: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        stat = folder.stat()
        return stat.st_dev, stat.st_ino
    return None


def _dangling(path: str) -> str:
    target = str(Path(path).readlink())
    if "annex/objects" in target.replace("\\", "/"):
        return "git-annex holds it elsewhere; run: git annex get"
    return f"a link to nothing ({escaped(target)})"


def _unreadable(what: str, error: OSError) -> str:
    return f"{what} cannot be read ({error.strerror or error})".strip()


def list_archive(archive: Path, folder: str = "") -> Listing:
    """List the files in a zip archive, as if it had been unpacked into ``folder``, or beside it if it holds a folder
    of that name.

    Raises:
        MorelliError: the archive is not whole, encrypted, or hostile.
        OSError: it cannot be read.
    """
    found = Listing()
    files: dict[str, File] = {}
    names = [(entry, escaped(entry_name(entry))) for entry in entries(archive)]
    has_own_folder = all(name.startswith(f"{folder.rpartition('/')[2]}/") for _, name in names)
    prefix = folder[: folder.rfind("/") + 1] if has_own_folder else f"{folder}/" if folder else ""
    for entry, name in names:
        thumbnails = next((part for part in name.split("/")[:-1] if part.casefold() in THUMBNAIL_FOLDERS), None)
        if thumbnails:
            found.passed_over[f"files in folders of thumbnails ({thumbnails})"] += 1
        elif not is_clutter(name) and not name.endswith("/"):
            place = Place(str(archive), entry.filename)
            files[prefix + name] = File(prefix + name, place, entry.file_size, f"{entry.file_size}-{entry.CRC:08x}")
    found.files = list(files.values())
    return found.in_order()


def list_source(source: Path, ignored: Path) -> Listing:
    """List a folder or a zip archive; an archive in the folder stands for a folder of its name.

    Raises:
        MorelliError: ``source`` is an archive that is not whole, or an archive in it is encrypted or hostile.
        OSError: ``source`` cannot be read.
    """
    if source.is_file():
        return _without_archives(list_archive(source))
    found = list_folder(source, ignored)
    archives = [file for file in found.files if file.suffix == ".zip"]
    found.files = [file for file in found.files if file.suffix != ".zip"]
    for archive in archives:
        try:
            found.take(_without_archives(list_archive(Path(archive.place.path), archive.name[: -len(".zip")])))
        except BrokenArchiveError as error:
            found.left_out.append((archive.name, f"not a whole zip archive ({error.reason})"))
        except OSError as error:
            found.left_out.append((archive.name, _unreadable("", error)))
    return _without_archives(found).in_order()


def _without_archives(found: Listing) -> Listing:
    found.left_out += [
        (file.name, "an archive inside the source; unpack it") for file in found.files if _is_packed(file)
    ]
    found.files = [file for file in found.files if not _is_packed(file)]
    return found


def _is_packed(file: File) -> bool:
    return file.suffix == ".zip" or file.suffix in OTHER_ARCHIVES


def pictures_of(found: Listing, spool_folder: Path) -> list[File]:
    """Those files that are pictures by their first bytes, or that are meant as such by their names.

    The others are counted in ``found.other_files``.
    """
    pictures = []
    with Originals(spool_folder) as originals:
        for file in found.files:
            if file.suffix in SUFFIXES:
                pictures.append(file)
                continue
            try:
                is_picture = picture_kind(originals.head(file.place, HEAD_BYTES)) is not None
            except OSError as error:
                found.left_out.append((file.name, _unreadable("", error)))
                continue
            except DamagedEntryError:
                found.left_out.append((file.name, "damaged in the archive"))
                continue
            if is_picture:
                pictures.append(file)
            else:
                found.other_files[file.suffix or "without suffix"] += 1
    return pictures
