"""An index of one's own pictures: any folder, embedded once and kept, so that it can be searched."""

import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from morelli._file_names import escaped, printable, unescaped
from morelli._files import check_writable
from morelli._locks import LOCK, only_writer
from morelli._tables import DamagedTableError
from morelli.data.hashes import copy_groups
from morelli.errors import MorelliError, MorelliWarning
from morelli.gallery.listing import IndexSummary, Listing
from morelli.gallery.reader import ReadBatch, Reader
from morelli.gallery.store import SCHEMA, Metadata, Store, append, compact, joined, part_paths, read_with_parts
from morelli.models.packaged import packaged_version
from morelli.preparation.listing import list_folder, pictures_of

PICTURES, ARTISTS = "pictures.parquet", "artists.parquet"
_KEPT_EVERY: Final = 4096
_TABLES: Final = re.compile(r"(pictures|artists)(-\d{5})?\.parquet")
_LEFTOVERS: Final = re.compile(r"\.lock|\..*\.partial.*|(pictures|artists)-\w+\.safetensors")
"""What a killed writer may leave before there is a table."""
_MAYBE_OUTSIDE: Final = r"^[/\\]|\.\.|:|\\u"


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
        try:
            pictures = read_with_parts(path / PICTURES)
        except DamagedTableError as error:
            raise MorelliError(
                f"{error} Move the damaged file away and run: morelli index FOLDER --out {path}. Who is enrolled stays."
            ) from error
        if pictures is None:
            raise MorelliError(f"{path} is no index. Make one with: morelli index FOLDER --out {path}")
        _check_inside(pictures, path)
        about = pictures.metadata
        if about.format == 1:
            note = f"{path} has an earlier format, without checksums; it is written anew by the next: morelli index"
            warnings.warn(MorelliWarning(f"{note} {about.folder} --out {path}"), stacklevel=2)
        folder, none = Path(unescaped(about.folder)), Store.empty(about)
        return cls(path, unescaped(about.model), about.fingerprint, folder, pictures, none).with_artists()

    def with_artists(self) -> "PictureIndex":
        """This index with the artists that are enrolled now."""
        path = self.path / ARTISTS
        try:
            artists = Store.read(path)
        except FileNotFoundError:
            return replace(self, artists=Store.empty(self.pictures.metadata))
        except DamagedTableError as error:
            raise MorelliError(f"{error} Put a copy of it back, or move it away and enrol its artists anew.") from error
        self.check(artists.metadata.fingerprint, f"the enrolled artists in {self.path}")
        return replace(self, artists=artists)

    @contextmanager
    def only_writer(self) -> Iterator["PictureIndex"]:
        """This index with the artists that are enrolled now, held against other writers."""
        with only_writer(self.path):
            _remove_leftovers(self.path, ".*.partial*")
            yield self.with_artists()

    def check_width(self, width: int) -> None:
        """Refuse embeddings of another width than the network's."""
        for store in (self.pictures, self.artists):
            if len(store.embeddings) and store.embeddings.shape[1] != width:
                raise MorelliError(
                    f"{self.path} is damaged: its embeddings have {store.embeddings.shape[1]} numbers, and this "
                    f"network's {width}."
                )

    def check(self, fingerprint: str, whose: str) -> None:
        """Refuse what another network made, by its fingerprint."""
        if fingerprint == self.fingerprint:
            return
        version, now = self.pictures.metadata.version, packaged_version(self.model)
        if version != now:
            raise MorelliError(
                f"{self.path} was made with version {version} of the packaged network {self.model}, and this morelli "
                f"has version {now}; their embeddings cannot be compared. Make the index anew: morelli index "
                f"{self.folder} --out OTHER"
            )
        raise MorelliError(
            f"{self.path} was made by another model than {whose}, and their embeddings cannot be compared. Use the one "
            f"in {self.model}, or make another index: morelli index {self.folder} --model MODEL --out OTHER"
        )


class FolderListing(Listing):
    """The pictures below a folder, embedded by this process."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def listed(self, folder: Path, out: Path) -> tuple[list[str], IndexSummary]:
        return list_pictures(folder, out)

    def version(self, folder: Path, file: str) -> list[int]:
        stat = (folder / unescaped(file)).stat()
        return [stat.st_size, stat.st_mtime_ns]

    def read(self, folder: Path, files: Sequence[str], what: str) -> Iterator[ReadBatch]:
        return self.reader.read(folder, files, what)


def index_folder(
    reader: Reader, model: str | Path, folder: Path, out: Path | None = None, listing: Listing | None = None
) -> IndexSummary:
    """Embed the pictures below a folder, at any depth; on later calls only those that are new or have changed.

    A file counts as changed when its size or its time of change has. What is finished is kept when the work is
    interrupted. Links to folders are followed once, links to files are not. ``model`` is the network's folder, or its
    name among the packaged ones, noted for later; see ``Painters.index``. ``listing`` lists and embeds in place of this
    process.
    """
    started = time.monotonic()
    listing = listing or FolderListing(reader)
    is_elsewhere = re.match(r"\w{2,}:/", folder.as_posix())
    folder = folder if is_elsewhere else folder.resolve()
    out = out or Path(f"{folder.name}.index") if is_elsewhere else out
    out = (out or folder.with_name(f"{folder.name}.index")).resolve()
    check_writable(out / PICTURES)
    files, summary = listing.listed(folder, out)
    _refuse_other_folder(out)
    version = packaged_version(model)
    noted = escaped(str(model if version else Path(model).resolve()))
    about = Metadata(model=noted, version=version, fingerprint=reader.fingerprint, folder=escaped(str(folder)))
    with only_writer(out):
        try:
            _index(listing, folder, files, out, about, summary)
        finally:
            _remove_leftovers(out, ".*.partial*")
            if [inner.name for inner in out.iterdir()] == [LOCK]:  # nothing was indexed
                with suppress(OSError):
                    (out / LOCK).unlink()
                    out.rmdir()
    summary.seconds = time.monotonic() - started
    return summary


def _index(
    listing: Listing, folder: Path, files: Sequence[str], out: Path, about: Metadata, summary: IndexSummary
) -> None:
    before = _before(out, about)
    about = about.model_copy(update={"generation": before.metadata.generation})
    kept = before.take(_unchanged(listing, before.pictures, folder, files))
    known = set(kept.pictures["file"])
    summary.unchanged = len(known)
    fresh = _embedded(listing, folder, [file for file in files if file not in known], out, about, summary)
    found = joined([replace(kept, metadata=about), *fresh])
    refuse_empty(found, folder, summary)
    now, summary.copies = _with_copies(found)
    summary.pictures = len(now.pictures)
    summary.dropped = len(set(before.pictures["file"]) - set(now.pictures["file"]))
    if summary.embedded or summary.dropped or part_paths(out / PICTURES) or before.metadata != about:
        compact(out / PICTURES, now)
    _remove_leftovers(out, "*.safetensors")  # of the former format


def _embedded(
    listing: Listing, folder: Path, files: Sequence[str], out: Path, about: Metadata, summary: IndexSummary
) -> list[Store]:
    """Embed files and append what is done to the index, part by part; the last part is only returned."""
    parts: list[Store] = []
    fresh: list[Store] = []
    try:
        for read in listing.read(folder, files, "index"):
            summary.left_out += read.left_out
            fresh.append(as_store(read, about))
            summary.embedded += len(read.pictures)
            if sum(len(one.pictures) for one in fresh) >= _KEPT_EVERY:
                parts.append(joined(fresh))
                fresh = []
                append(out / PICTURES, parts[-1])
    except BaseException:  # Ctrl-C above all: what is done is kept
        if any(len(one.pictures) for one in fresh):
            append(out / PICTURES, joined(fresh))
        raise
    return [*parts, *fresh]


def list_pictures(folder: Path, ignored: Path) -> tuple[list[str], IndexSummary]:
    """The picture files below a folder, relative to it, and a summary of what else is there; there must be some."""
    if not folder.is_dir():
        raise MorelliError(f"There is no folder {folder}.")
    try:
        listing = list_folder(folder, ignored)
    except OSError as error:
        raise MorelliError(f"{folder} cannot be listed: {error}.") from error
    pictures = list(pictures_of(listing, folder))
    files = [picture.name for picture in pictures if not picture.is_link]
    links = [(picture.name, "a link; pictures are taken where they lie") for picture in pictures if picture.is_link]
    summary = IndexSummary(
        ignored,
        left_out=sorted([*listing.left_out, *links]),
        other_files=listing.other_files.total(),
        passed_over=dict(listing.passed_over),
    )
    if not files:
        raise MorelliError(
            f"{printable(str(folder))} holds no pictures, but {summary.other_files} other files. Links to files, "
            f"hidden files and prepared folders inside it are passed over.{_reasons(summary)}"
        )
    return files, summary


def as_store(read: ReadBatch, metadata: Metadata, artist: str | None = None) -> Store:
    """A batch of pictures as rows."""
    rows = [{"file": one.name, "artist": artist, "copy_of": None, **one.row} for one in read.pictures]
    return Store(pd.DataFrame(rows, columns=SCHEMA.names), read.embeddings, metadata)


def refuse_empty(store: Store, folder: Path, summary: IndexSummary) -> None:
    """Refuse a folder of which no picture could be used, with the first reasons."""
    if store.pictures.empty:
        raise unusable(folder, summary)


def unusable(folder: Path, summary: IndexSummary) -> MorelliError:
    """What to raise for a folder of which no picture could be used."""
    return MorelliError(f"No picture in {folder} can be used:{_reasons(summary)}")


def _reasons(summary: IndexSummary) -> str:
    return "".join(f"\n  {file}: {reason}" for file, reason in summary.left_out[:5])


def _with_copies(store: Store) -> tuple[Store, list[list[str]]]:
    """Say of every picture what it is a copy of, and give the groups of copies."""
    store = store.take(list(store.pictures.sort_values("file").index))
    files = store.pictures["file"].tolist()
    groups = copy_groups(list(store.pictures["look"]), list(store.pictures["sha256"]))
    first = {place: files[group[0]] for group in groups for place in group}
    copy_of = np.array([first.get(place) for place in range(len(files))], dtype=object)
    named = [[files[place] for place in group] for group in groups]
    return Store(store.pictures.assign(copy_of=copy_of), store.embeddings, store.metadata), named


def _refuse_other_folder(out: Path) -> None:
    """Refuse a place that is something else than an index, whole or begun."""
    names = [inner.name for inner in out.iterdir()] if out.exists() else []
    if not any(map(_TABLES.fullmatch, names)) and not all(map(_LEFTOVERS.fullmatch, names)):
        raise MorelliError(f"{out} is already there and is no index. Choose another --out.")


def _before(out: Path, about: Metadata) -> Store:
    """The index as it was, empty where there is none; refused if it is of other pictures or by another network."""
    folder, none = Path(unescaped(about.folder)), Store.empty(about)
    if (out / PICTURES).exists() or part_paths(out / PICTURES):
        index = PictureIndex.load(out)
    else:
        index = PictureIndex(out, unescaped(about.model), about.fingerprint, folder, none, none).with_artists()
    index.check(about.fingerprint, f"the one in {unescaped(about.model)}")
    if index.folder != folder and index.folder.exists():
        raise MorelliError(f"{out} is an index of {index.folder}, not of {folder}. Choose another --out.")
    if index.artists.metadata.format == 1:
        index.artists.write(out / ARTISTS)
    return index.pictures


def _remove_leftovers(out: Path, pattern: str) -> None:
    for path in out.glob(pattern):
        path.unlink(missing_ok=True)


def _check_inside(pictures: Store, path: Path) -> None:
    """Refuse names that lead out of the pictures' folder."""
    files = pictures.pictures["file"]
    for name in files[files.str.contains(_MAYBE_OUTSIDE)]:
        there = Path(unescaped(name))
        if there.is_absolute() or there.drive or ".." in there.parts:
            raise MorelliError(f"{path} is damaged: {name} is no file of its folder.")


def _unchanged(listing: Listing, pictures: pd.DataFrame, folder: Path, files: Sequence[str]) -> list[int]:
    """The places of rows whose file is still there as it was."""
    there = set(files)
    places = []
    for place, (file, *version) in enumerate(pictures[["file", "bytes", "mtime_ns"]].itertuples(index=False)):
        with suppress(OSError):  # one that has just gone is dropped
            if file in there and listing.version(folder, file) == version:
                places.append(place)
    return places
