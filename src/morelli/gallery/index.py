"""One's own pictures, embedded once and kept: any folder becomes an index that can be searched."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from morelli._file_names import printable, unescaped
from morelli._files import check_writable
from morelli.data.hashes import copy_groups
from morelli.errors import MorelliError
from morelli.gallery._reader import Read, Reader
from morelli.gallery._store import SCHEMA, Store, joined
from morelli.models.packaged import packaged_version
from morelli.preparation.listing import list_folder, pictures_of

PICTURES, ARTISTS = "pictures", "artists"
_KEPT_EVERY: Final = 4096


@dataclass(frozen=True)
class PictureIndex:
    """An index on disk.

    Attributes:
        path: its folder.
        model: the model folder it was made with, or the name of the packaged network.
        fingerprint: of that model's network.
        folder: the pictures' folder.
        pictures: their table and embeddings.
        artists: the enrolled paintings, empty before :meth:`morelli.Painters.enroll`.
    """

    path: Path
    model: str
    fingerprint: str
    folder: Path
    pictures: Store
    artists: Store

    @classmethod
    def load(cls, path: str | Path) -> "PictureIndex":
        """Read an index.

        Raises:
            MorelliError: there is none, or it is damaged or of another format.
        """
        path = Path(path)
        if not (path / f"{PICTURES}.parquet").is_file():
            raise MorelliError(f"{path} is no index. Make one with: morelli index FOLDER --out {path}")
        pictures = Store.read(path, PICTURES)
        facts = pictures.facts
        has_artists = (path / f"{ARTISTS}.parquet").is_file()
        artists = Store.read(path, ARTISTS) if has_artists else Store.empty(facts)
        try:
            index = cls(path, facts["model"], facts["fingerprint"], Path(facts["folder"]), pictures, artists)
        except KeyError as error:
            raise MorelliError(f"{path} is damaged: it does not tell its {error}. Make it again.") from error
        index.check(artists.facts["fingerprint"], f"the enrolled artists in {path}")
        return index

    def check(self, fingerprint: str, whose: str) -> None:
        """Refuse what another network made.

        Raises:
            MorelliError: the fingerprints differ.
        """
        if fingerprint != self.fingerprint:
            version = self.pictures.facts.get("version")
            if version != packaged_version(self.model):
                raise MorelliError(
                    f"{self.path} was made with version {version} of the packaged network {self.model}, and this "
                    f"morelli has version {packaged_version(self.model)}; their embeddings cannot be compared. "
                    f"Make the index anew: morelli index {self.folder} --out OTHER"
                )
            raise MorelliError(
                f"{self.path} was made by another model than {whose}, and their embeddings cannot be compared. Use the "
                f"one in {self.model}, or make another index: morelli index {self.folder} --model MODEL --out OTHER"
            )


@dataclass
class IndexSummary:
    """What :func:`index_folder` did.

    Attributes:
        path: the index.
        pictures: how many it holds.
        embedded, unchanged, dropped: pictures that are new or changed, that were there before, and that are gone.
        copies: groups of files that show one picture.
        left_out: (file, reason) of pictures that cannot be used, and of folders that cannot be read.
        other_files: files that are no pictures.
        passed_over: how many files or folders of what kind were not looked at, such as thumbnails.
        seconds: taken in all.
    """

    path: Path
    pictures: int = 0
    embedded: int = 0
    unchanged: int = 0
    dropped: int = 0
    copies: list[list[str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    other_files: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def text(self) -> str:
        """What the command prints."""
        lines = [
            f"{printable(str(_as_typed(self.path)))}: {self.pictures:,} pictures ({self.embedded:,} embedded now, "
            f"{self.unchanged:,} unchanged, {self.dropped:,} dropped) in {self.seconds:.1f} s."
        ]
        if self.copies:
            lines.append(f"Copies of one picture, {len(self.copies):,} groups:")
            lines += [f"  {' = '.join(group)}" for group in self.copies]
        if self.left_out:
            lines.append(f"Left out, {len(self.left_out):,}:")
            lines += [f"  {file}: {reason}" for file, reason in self.left_out]
        lines += [f"Passed over: {count:,} {what}." for what, count in self.passed_over.items()]
        return "\n".join(lines)


def index_folder(reader: Reader, model: str | Path, folder: Path, out: Path | None = None) -> IndexSummary:
    """Embed the pictures below a folder, at any depth; on later calls only those that are new or have changed.

    A file counts as changed when its size or its time of change has. What is finished is kept when the work is
    interrupted. Links to folders are followed once, links to files are not.

    Args:
        reader: the network at work.
        model: the network's folder, or its name among the packaged ones, noted for later.
        folder: the pictures.
        out: the index; by default beside the folder, named after it.

    Raises:
        MorelliError: no folder, no usable picture in it, or ``out`` is of another model or of other pictures.
    """
    started = time.monotonic()
    folder = folder.resolve()
    out = (out or folder.with_name(f"{folder.name}.index")).resolve()
    check_writable(out / PICTURES)
    files, summary = listed(folder, out)
    version = packaged_version(model)
    noted = str(model) if version else str(Path(model).resolve())
    facts = {"model": noted, "version": version, "fingerprint": reader.fingerprint, "folder": str(folder)}
    before = _before(out, facts)
    kept = before.take(_unchanged(before.pictures, folder, files))
    summary.unchanged = len(kept.pictures)
    known = set(kept.pictures["file"])
    parts = [Store(kept.pictures, kept.embeddings, facts)]
    fresh = 0
    try:
        for read in reader.read(folder, [file for file in files if file not in known], "index"):
            summary.left_out += read.left_out
            parts.append(stored(read, facts))
            fresh += len(read.pictures)
            if fresh // _KEPT_EVERY > summary.embedded // _KEPT_EVERY:
                parts = [joined(parts)]
                parts[0].write(out, PICTURES)
            summary.embedded = fresh
    except BaseException:  # Ctrl-C above all: what is done is kept
        if fresh:
            joined(parts).write(out, PICTURES)
        raise
    now, summary.copies = with_copies(_usable(joined(parts), folder, summary))
    now.write(out, PICTURES)
    summary.pictures = len(now.pictures)
    summary.dropped = len(set(before.pictures["file"]) - set(now.pictures["file"]))
    summary.seconds = time.monotonic() - started
    return summary


def listed(folder: Path, ignored: Path) -> tuple[list[str], IndexSummary]:
    """The picture files below a folder, relative to it, and a summary of what else is there.

    Raises:
        MorelliError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise MorelliError(f"There is no folder {folder}.")
    summary = IndexSummary(ignored)
    files = []
    try:
        listing = list_folder(folder, ignored)
    except OSError as error:
        raise MorelliError(f"{folder} cannot be listed: {error}.") from error
    for picture in pictures_of(listing, folder):
        if picture.is_link:
            listing.left_out.append((picture.name, "a link; pictures are taken where they lie"))
        else:
            files.append(picture.name)
    summary.left_out = sorted(listing.left_out)
    summary.passed_over = dict(listing.passed_over)
    summary.other_files = listing.other_files.total()
    if not files:
        left_out = "".join(f"\n  {file}: {reason}" for file, reason in summary.left_out[:5])
        raise MorelliError(
            f"{printable(str(folder))} holds no pictures, but {summary.other_files} other files. Links to files, "
            f"hidden files and prepared folders inside it are passed over.{left_out}"
        )
    return files, summary


def stored(read: Read, facts: dict[str, Any], artist: str | None = None) -> Store:
    """A batch of pictures as rows."""
    rows = [
        (one.name, artist, None, one.length, one.mtime_ns, one.width, one.height, one.sha256, one.look)
        for one in read.pictures
    ]
    return Store(pd.DataFrame(rows, columns=SCHEMA.names), read.embeddings, facts)


def with_copies(store: Store) -> tuple[Store, list[list[str]]]:
    """Say of every picture what it is a copy of, and give the groups of copies."""
    pictures = store.pictures.sort_values("file")
    store = store.take(list(pictures.index))
    groups = copy_groups(list(store.pictures["look"]), list(store.pictures["sha256"]))
    files = store.pictures["file"]
    copy_of: list[str | None] = [None] * len(files)
    for group in groups:
        for place in group:
            copy_of[place] = files[group[0]]
    named = [[str(files[place]) for place in group] for group in groups]
    return Store(store.pictures.assign(copy_of=np.array(copy_of, dtype=object)), store.embeddings, store.facts), named


def _before(out: Path, facts: dict[str, Any]) -> Store:
    """The index as it was; empty where there is none.

    Raises:
        MorelliError: the place is taken by something else, by another model's index or by that of another folder.
    """
    if not (out / f"{PICTURES}.parquet").is_file():
        if out.exists() and (not out.is_dir() or any(".partial" not in inner.name for inner in out.iterdir())):
            raise MorelliError(f"{out} is already there and is no index. Choose another --out.")
        return Store.empty(facts)
    index = PictureIndex.load(out)
    index.check(facts["fingerprint"], f"the one in {facts['model']}")
    if str(index.folder) != facts["folder"] and index.folder.exists():
        raise MorelliError(f"{out} is an index of {index.folder}, not of {facts['folder']}. Choose another --out.")
    return index.pictures


def _unchanged(pictures: pd.DataFrame, folder: Path, files: Sequence[str]) -> list[int]:
    """The places of rows whose file is still there as it was."""
    there = set(files)
    places = []
    for place, (file, length, mtime_ns) in enumerate(
        zip(pictures["file"], pictures["bytes"], pictures["mtime_ns"], strict=True)
    ):
        with suppress(OSError):  # one that has just gone is dropped
            if file in there and _version(folder / unescaped(file)) == (length, mtime_ns):
                places.append(place)
    return places


def _as_typed(path: Path) -> Path:
    """From where the user is, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _version(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _usable(store: Store, folder: Path, summary: IndexSummary) -> Store:
    if store.pictures.empty:
        reasons = "".join(f"\n  {file}: {reason}" for file, reason in summary.left_out[:5])
        raise MorelliError(f"No picture in {folder} can be used:{reasons}")
    return store
