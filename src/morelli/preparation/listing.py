"""List the files below a folder or in a zip archive: links are followed once, and what is passed over is counted."""

import os
import posixpath
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from morelli._file_names import escaped
from morelli.data.prepared import OPTIONS, TABLE
from morelli.preparation.archives import (
    BrokenArchiveError,
    DamagedEntryError,
    File,
    Originals,
    entries,
    entry_name,
    is_clutter,
)
from morelli.preparation.layout import is_size
from morelli.preparation.picture_files import HEAD_BYTES, SUFFIXES, picture_kind

# What network disks and picture viewers write beside pictures: small copies of them.
_THUMBNAIL_FOLDERS = frozenset(
    "@eadir .@__thumb .thumbnails .thumbs thumbnails thumbnail thumbs _thumbnails _thumbs".split()  # noqa: SIM905
)
OTHER_ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".txz", ".xz", ".zst"})
_NEARLY_ALL = 0.9


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

    def said(self) -> list[str]:
        """What is said of files that are no part of the collection."""
        lines = [f"Passed over: {count:,} {what}." for what, count in self.passed_over.items()]
        if count := self.other_files.total():
            kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in self.other_files.most_common(3))
            more = ", …" if len(self.other_files) > 3 else ""
            lines.append(f"No pictures: {count:,} file{'s' if count != 1 else ''} ({kinds}{more}).")
        return lines

    def in_order(self) -> "Listing":
        self.files.sort(key=lambda file: file.name)
        self.left_out.sort()
        return self


def list_folder(root: Path, ignored: Path | None = None) -> Listing:
    """List the files below ``root``.

    ``ignored`` (the folder being written), prepared folders, hidden files and thumbnails are not entered. A link to a
    folder is followed once, and not at all where it leads to a folder that is read anyway or that holds it.
    """
    found = Listing()
    seen = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
    waiting = deque([("", False)])
    while waiting:
        inner, is_link = waiting.pop()
        if is_link and _identity(root / inner) in seen:
            found.passed_over["links to folders that are read anyway"] += 1
            continue
        try:
            with os.scandir(root / inner) as scanned:
                inside = list(scanned)
        except OSError as error:
            if not inner:
                raise
            found.left_out.append((f"{escaped(inner)}/", _unreadable("a folder that", error)))
            continue
        if inner:
            seen.add(_identity(root / inner))
            if any(entry.name in (OPTIONS, TABLE) for entry in inside):
                found.passed_over["prepared folders"] += 1
                continue
        for entry in inside:
            name = f"{inner}/{entry.name}" if inner else entry.name
            try:
                _sort_in(entry, name, ignored, found, waiting)
            except OSError as error:
                found.left_out.append((escaped(name), _unreadable("", error)))
    return found.in_order()


def _sort_in(
    entry: os.DirEntry[str], name: str, ignored: Path | None, found: Listing, waiting: deque[tuple[str, bool]]
) -> None:
    """Put one entry where it belongs: among the files, the folders to read, or what is passed over."""
    if entry.name.casefold() in _THUMBNAIL_FOLDERS and entry.is_dir():
        count = sum(len(files) for _, _, files in os.walk(entry.path))
        found.passed_over[f"files in folders of thumbnails ({entry.name})"] += count
    elif is_clutter(entry.name):
        pass
    elif entry.is_dir():
        if Path(entry.path).resolve() == ignored:
            return
        if entry.is_symlink():  # read last, so that pictures go by the names of real folders
            waiting.appendleft((name, True))
        else:
            waiting.append((name, False))
    elif entry.is_file():
        found.files.append(File.at(entry.path, escaped(name), is_link=entry.is_symlink()))
    elif entry.is_symlink():
        target = str(Path(entry.path).readlink())
        is_annexed = "annex/objects" in target.replace("\\", "/")
        annexed = "git-annex holds it elsewhere; run: git annex get"
        found.left_out.append((escaped(name), annexed if is_annexed else f"a link to nothing ({escaped(target)})"))


def _identity(folder: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        stat = folder.stat()
        return stat.st_dev, stat.st_ino
    return None


def _unreadable(what: str, error: OSError) -> str:
    return f"{what} cannot be read ({error.strerror or error})".strip()


def list_archive(archive: Path, folder: str = "") -> Listing:
    """List the files in a zip archive as if it had been unpacked into ``folder``.

    An archive that holds one folder of that name is taken as unpacked beside it.
    """
    found = Listing()
    files: dict[str, File] = {}
    names = [(entry, escaped(entry_name(entry))) for entry in entries(archive)]
    has_own_folder = all(name.startswith(f"{folder.rpartition('/')[2]}/") for _, name in names)
    prefix = folder[: folder.rfind("/") + 1] if has_own_folder else f"{folder}/" if folder else ""
    for entry, name in names:
        thumbnails = next((part for part in name.split("/")[:-1] if part.casefold() in _THUMBNAIL_FOLDERS), None)
        if thumbnails:
            found.passed_over[f"files in folders of thumbnails ({thumbnails})"] += 1
        elif not is_clutter(name) and not name.endswith("/"):
            version = f"{entry.file_size}-{entry.CRC:08x}"
            files[name] = File(prefix + name, str(archive), entry.file_size, version, entry.filename)
    found.files = list(files.values())
    return found.in_order()


def list_source(source: Path, ignored: Path) -> Listing:
    """List a folder or a zip archive; an archive in the folder stands for a folder of its name."""
    archives: list[File] = []
    if source.is_file():
        found = list_archive(source)
    else:
        found = list_folder(source, ignored)
        found.files, archives = _parted(found.files, {".zip"})
    for archive in archives:
        try:
            inside = list_archive(Path(archive.path), archive.name[: -len(".zip")])
        except BrokenArchiveError as error:
            found.left_out.append((archive.name, f"not a whole zip archive ({error.reason})"))
        except OSError as error:
            found.left_out.append((archive.name, _unreadable("", error)))
        else:
            found.files += inside.files
            found.passed_over += inside.passed_over
    found.files, packed = _parted(found.files, {".zip", *OTHER_ARCHIVES})
    found.left_out += [(file.name, "an archive inside the source; unpack it") for file in packed]
    return found.in_order()


def _parted(files: list[File], suffixes: set[str]) -> tuple[list[File], list[File]]:
    return [one for one in files if one.suffix not in suffixes], [one for one in files if one.suffix in suffixes]


def pictures_of(found: Listing, spool_folder: Path) -> list[File]:
    """Those files that are pictures by their first bytes, or that are meant as such by their names.

    The others are counted in ``found.other_files``.
    """
    pictures = []
    with Originals(spool_folder) as originals:
        for file in found.files:
            try:
                if file.suffix in SUFFIXES or picture_kind(originals.head(file, HEAD_BYTES)):
                    pictures.append(file)
                else:
                    found.other_files[file.suffix or "without suffix"] += 1
            except OSError as error:
                found.left_out.append((file.name, _unreadable("", error)))
            except DamagedEntryError:
                found.left_out.append((file.name, "damaged in the archive"))
    return pictures


def without_resized_copies(pictures: Sequence[File]) -> tuple[list[File], dict[str, tuple[str, int]]]:
    """Take out folders named after a size whose files all have a namesake in a folder beside.

    Returns:
        The other pictures; and for each folder taken out, what it is a copy of and how many pictures it had.
    """
    folders = [posixpath.dirname(f"/{picture.name}") for picture in pictures]
    start = len(PurePosixPath(posixpath.commonpath(folders)).parts) - 1 if folders else 0
    branches: dict[str, list[File]] = defaultdict(list)
    for picture in pictures:
        if len(parts := picture.name.split("/")) > start + 1:
            branches["/".join(parts[: start + 1])].append(picture)
    stems = {
        branch: {str(PurePosixPath(file.name[len(branch) + 1 :]).with_suffix("")) for file in files}
        for branch, files in branches.items()
    }
    copies: dict[str, tuple[str, int]] = {}
    by_bytes = sorted(branches, key=lambda branch: (sum(file.bytes for file in branches[branch]), branch))
    for branch in filter(lambda branch: is_size(branch.rpartition("/")[2]), by_bytes):
        others = (other for other in reversed(by_bytes) if other != branch and other not in copies)
        if original := next((other for other in others if _are_copies(stems[branch], stems[other])), None):
            copies[branch] = (original, len(branches[branch]))
    gone = tuple(f"{branch}/" for branch in copies)
    return [picture for picture in pictures if not picture.name.startswith(gone)], copies


def _are_copies(stems: set[str], originals: set[str]) -> bool:
    if any("/" in stem for stem in stems) and len(stems & originals) >= _NEARLY_ALL * len(stems):
        return True
    names = {stem.rpartition("/")[2] for stem in stems}
    same = names & {stem.rpartition("/")[2] for stem in originals}
    telling = [name for name in same if not name.isdigit()]  # every artist's folder may have a 1.jpg
    return len(same) >= _NEARLY_ALL * len(names) and 2 * len(telling) >= len(same)
