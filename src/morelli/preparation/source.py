"""``Source``: a kind of source of paintings, such as a folder or a table; and ``Catalogue``: what one offers."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import pandas as pd

from morelli.data.artists import artist_key, artist_keys, folded
from morelli.data.prepared import LEFT_OUT_COLUMNS
from morelli.preparation.archives import File
from morelli.preparation.listing import Listing

DETAILS: Final = ("artist_group", "in_train", "title", "style", "genre", "date", "source")
"""What a source may say of a painting besides its artist: the columns of the prepared folder."""
LAYOUTS: Final = """A source is one of:
  1. a folder with the competition's files: all_data_info.csv.zip, train.zip, test.zip (or train_1.zip, …) and
     replacements_for_corrupted_files.zip, as downloaded or unpacked;
  2. a folder, or a zip archive, with one folder per artist: SOURCE/Claude Monet/water-lilies.jpg; other layouts are
     found too, or told with --layout, such as --artist-from "{artist}_{number}.jpg" for pictures in one folder;
  3. a CSV file with the columns path and artist; paths are relative to the CSV;
  4. a Parquet file, or a folder of them, with a column of pictures or of paths, and one of artists;
  5. a IIIF manifest or collection, a file or an address: https://museum.example/iiif/manifest.json;
  6. anything that a class of your own reads: --source-kind package.module:Name."""


@dataclass(frozen=True)
class SourceOptions:
    """What the user says of a source.

    Attributes:
        out: the folder being written, never taken for a part of the source.
        layout: where paths name the artist, see :class:`morelli.preparation.layout.Layout`; guessed if None.
        columns: which column of a table, or label of a manifest, holds what, by field; guessed where nothing is said.
        address: the address in the web that was given, of which the path is only the last part; None for a path.
        allow_hosts: other hosts than the address's own, ``name`` or ``name:port``, from which may be fetched.
        size: pixels that the shorter side of a picture needs.
    """

    out: Path
    layout: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    allow_hosts: tuple[str, ...] = ()
    size: int = 256


@dataclass
class Catalogue:
    """Everything that a source offers. :meth:`of` makes one.

    Attributes:
        kind: of source; a prepared folder keeps it and takes no other.
        paintings: the columns ``id, file, artist, bytes`` and :data:`DETAILS`.
        files: the original of each id.
        left_out: what cannot be used already now, with the columns :data:`LEFT_OUT_COLUMNS`.
        replacements: a whole version of an original, by id, in case it is truncated.
        skipped_files: number of files that are no pictures or tell no artist.
        understood: what was guessed, and what is no part of the source, in a few lines for the user.
        names_are_artists: every name is taken for one artist's, also "unknown".
        at_once: so many originals at most are opened at a time; as many as the machine has cores if None.
    """

    kind: str
    paintings: pd.DataFrame
    files: dict[str, File]
    left_out: pd.DataFrame
    replacements: dict[str, File] = field(default_factory=dict)
    skipped_files: int = 0
    understood: list[str] = field(default_factory=list)
    names_are_artists: bool = False
    at_once: int | None = None

    @classmethod
    def of(
        cls,
        kind: str,
        rows: pd.DataFrame,
        files: Mapping[str, File],
        left_out: Sequence[pd.DataFrame] = (),
        **others: Any,
    ) -> "Catalogue":
        """A catalogue of these paintings.

        Args:
            kind: as the attribute.
            rows: one row a painting: ``file`` (a key of ``files``), ``artist``, what there is of :data:`DETAILS`, and
                ``id`` unless it is to be made from ``file``.
            files: the originals by name; :meth:`morelli.preparation.archives.File.at` makes one of a file on disk.
            left_out: tables from :func:`left_out`.
            others: the other attributes.
        """
        originals = [files[name] for name in rows["file"]]
        ids = rows["id"] if "id" in rows else rows["file"].map(id_from_path)
        paintings = pd.DataFrame({"id": ids, "file": rows["file"], "artist": rows["artist"]}).reset_index(drop=True)
        paintings["bytes"] = [file.bytes for file in originals]
        for column in DETAILS:
            told = rows[column] if column in rows else [None] * len(rows)
            paintings[column] = pd.Series([None if pd.isna(one) or one == "" else one for one in told], dtype=object)
        left = pd.concat([pd.DataFrame(columns=LEFT_OUT_COLUMNS, dtype=str), *left_out], ignore_index=True)
        return cls(kind, paintings, dict(zip(paintings["id"], originals, strict=True)), left, **others)

    def fingerprint(self) -> str:
        """Hash of all that is offered: the tables' contents, the files' names and sizes; not where the source lies."""
        digest = hashlib.sha256(repr(sorted(self.replacements)).encode())
        for table in (self.paintings, self.left_out):
            digest.update(table.to_csv(index=False).encode())
        return digest.hexdigest()

    def versions(self) -> dict[str, str]:
        """A text for each id that changes when its original does."""
        return {id_: self.files[id_].version for id_ in self.paintings["id"]}

    def choose(self, only_artists: Sequence[str], max_per_artist: int | None, limit: int | None) -> "Catalogue":
        """Keep some artists, some paintings of each, some paintings in all: always the same ones.

        Which paintings of an artist are kept follows from a hash of their ids; ``limit`` goes artist by artist, in
        alphabetical order, so that a small sample still has several paintings by one hand.
        """
        wanted = {artist_key(name) for name in only_artists}
        paintings, left = self.paintings, self.left_out
        if wanted:
            paintings, left = (rows[rows["artist"].map(artist_key).isin(wanted)] for rows in (paintings, left))
        order = pd.DataFrame({"key": artist_keys(paintings["artist"]), "rank": paintings["id"].map(_hash)})
        order = order.sort_values(["key", "rank"])
        if max_per_artist is not None:
            order = order.groupby("key").head(max_per_artist)
        kept = order.index[:limit].sort_values()
        return replace(self, paintings=paintings.loc[kept].reset_index(drop=True), left_out=left)


class Source(ABC):
    """A kind of source of paintings; a subclass is made without arguments.

    Name one from outside as ``--source-kind package.module:Name``, or list it in
    :data:`morelli.preparation.sources.SOURCES`, where the first that recognises a path reads it.
    """

    name: ClassVar[str] = ""

    @abstractmethod
    def recognises(self, path: Path, options: SourceOptions) -> bool:
        """Whether this kind of source lies at ``path``, at a glance."""

    @abstractmethod
    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        """List what lies at ``path``, without reading pictures.

        Raises:
            MorelliError: what is wrong with it, where, and what to do.
            OSError: it cannot be read.
        """


def left_out(rows: pd.DataFrame, reason: str | None = None) -> pd.DataFrame:
    """Give the rows, which have the columns ``file, artist`` and perhaps ``id``, a reason for leaving them out."""
    rows = rows if "id" in rows else rows.assign(id=rows["file"].map(id_from_path))
    return (rows if reason is None else rows.assign(reason=reason))[LEFT_OUT_COLUMNS]


def unreadable(listing: Listing) -> pd.DataFrame:
    """The files and folders that cannot be read, as rows of what is left out, without their artists."""
    rows = pd.DataFrame(listing.left_out, columns=["file", "reason"], dtype=str)
    return left_out(rows.assign(artist=""))


def id_from_path(path: str) -> str:
    """Derive an id from a relative path: readable, unique, safe on every file system, the same everywhere."""
    stem = path.rpartition("/")[2].rpartition(".")[0] or path
    readable = re.sub(r"[^a-z0-9]+", "-", folded(stem)).strip("-")[:40]
    return f"{readable}-{_hash(path)[:12]}".lstrip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
