"""Folders and zip archives as a source: the artist is told by where each picture lies."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from morelli._file_names import printable
from morelli.data.artists import artist_key
from morelli.errors import MorelliError
from morelli.preparation.archives import File
from morelli.preparation.competition import PICTURE_ARCHIVE, TABLE_NAMES, parts_of_competition
from morelli.preparation.layout import FIELDS, Layout, UnclearError, guess_layout
from morelli.preparation.listing import Listing, list_archive, list_source, pictures_of, without_resized_copies
from morelli.preparation.naming import from_slugs
from morelli.preparation.parquet import SUFFIXES as PARQUET
from morelli.preparation.parquet import ParquetSource
from morelli.preparation.source import LAYOUTS, Catalogue, Source, SourceOptions, left_out, unreadable
from morelli.preparation.table import SUFFIXES as TABLES
from morelli.preparation.table import TableSource

_SHOWN = 3


class _NoArtistsError(MorelliError):
    """Nothing in the source tells the pictures' artists; a table beside them may."""


class _UnclearArtistsError(_NoArtistsError):
    """The folders can be read in more than one way, and the message says with which command."""


class FolderSource(Source):
    """A folder, or a zip archive, with a folder per artist or another layout, or a folder with a table in it."""

    name = "folders"

    def recognises(self, path: Path, options: SourceOptions) -> bool:  # noqa: ARG002
        return path.is_dir() or path.suffix.lower() == ".zip"

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        try:
            catalogue = _folders_of_artists(path, options)
        except MorelliError as error:
            if path.is_file():
                raise MorelliError(f"{error}{_hint(path, error)}") from error
            if isinstance(error, _NoArtistsError):
                return _by_table(path, options, error)
            raise
        if path.is_dir() and (tables := [table.name for table in _tables(path, "*.*")]):
            names = ", ".join(tables[:_SHOWN])
            catalogue.understood.append(f"Not used: {names}; a table of paintings can be a source itself.")
        return catalogue


def _hint(archive: Path, error: MorelliError) -> str:
    """What an archive may be that is no source by itself."""
    if PICTURE_ARCHIVE.fullmatch(archive.name):
        return (
            f"\nIf it is one of the competition's archives, pass the folder that holds it: {archive.parent}\n{LAYOUTS}"
        )
    tables = isinstance(error, _NoArtistsError) and [f.name for f in list_archive(archive).files if f.suffix in TABLES]
    return f"\nIf {tables[0]} in it names them, unpack the archive and pass that table." if tables else ""


def _by_table(path: Path, options: SourceOptions, error: _NoArtistsError) -> Catalogue:
    """The first table in a folder that can be used, or one sentence on why there is none."""
    refusals = []
    for table in _tables(path, "*.*", "*/*.*", "*/*/*.*"):
        try:
            is_parquet = table.suffix.lower() in PARQUET
            catalogue = (ParquetSource() if is_parquet else TableSource()).read(table, options)
        except MorelliError as refusal:
            refusals.append(refusal)
            continue
        catalogue.understood.insert(0, f"Table: {table.relative_to(path)}, because the folders tell no artists.")
        return catalogue
    if parts := parts_of_competition(path):
        raise MorelliError(
            f"{path} has {', '.join(parts[:_SHOWN])} but no {TABLE_NAMES[1]}, which names the artists. Get it with: "
            f"morelli data download --out {path} --only {TABLE_NAMES[1]}\nIf it is not the competition's: {error}\n"
            f"{LAYOUTS}"
        ) from error
    hint = f"\nOr did you mean the table in it? {refusals[0]}" if refusals else ""
    layouts = "" if isinstance(error, _UnclearArtistsError) else f"\n{LAYOUTS}"
    raise MorelliError(f"{error}{hint}{layouts}") from error


def _tables(folder: Path, *patterns: str) -> list[Path]:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if path.suffix.lower() in (TABLES | PARQUET) - {".txt"} and path.is_file()]


def _folders_of_artists(source: Path, options: SourceOptions) -> Catalogue:
    listing = list_source(source, options.out.resolve())
    pictures, copies = without_resized_copies(pictures_of(listing, source if source.is_dir() else source.parent))
    if not pictures:
        raise _NoArtistsError(_nothing(source, listing))
    layout = Layout(options.layout) if options.layout else _guessed(source, options.out, pictures)
    told = [(picture, layout.read(picture.name)) for picture in pictures]
    stray = [picture.name for picture, tells in told if not tells]
    paintings = pd.DataFrame([tells for _, tells in told if tells], columns=list(FIELDS))
    paintings["file"] = [picture.name for picture, tells in told if tells]
    if paintings.empty:
        raise MorelliError(
            f'No picture in {source} lies as the layout "{options.layout}" says. The first ones are: '
            f"{', '.join(stray[:_SHOWN])}. Change --layout, or leave it out."
        )
    artists = paintings["artist"].map(artist_key).nunique()
    counted = f"{artists:,} artist{'s' if artists != 1 else ''}"
    said = [f'Layout: "{layout.pattern}", {counted}{"" if options.layout else " (if that is wrong: --layout)"}.']
    said += [f"Left aside: {count:,} pictures in {copy}, copies of {of}." for copy, (of, count) in copies.items()]
    if stray:
        some = ", ".join(stray[:_SHOWN]) + (", …" if len(stray) > _SHOWN else ".")
        counted = f"{len(stray):,} picture{'s' if len(stray) != 1 else ''}"
        said.append(f"Not used: {counted} outside the artists' folders: {some}")
    if layout.pattern.endswith("{artist}_{title}") and (named := from_slugs(paintings)) is not None:
        paintings = named
        said.append("Names as WikiArt writes them: artists are spelt out, a year at the end is the date.")
    unread = unreadable(listing)
    unread["artist"] = [(layout.read(name) or {}).get("artist", "") for name in unread["file"]]
    return Catalogue.of(
        "folder per artist",
        paintings,
        {picture.name: picture for picture in pictures},
        [left_out(unread)],
        skipped_files=listing.other_files.total() + len(stray),
        understood=[*said, *listing.said()],
    )


def _guessed(source: Path, out: Path, pictures: Sequence[File]) -> Layout:
    name = printable(str(source))
    try:
        return guess_layout([picture.name for picture in pictures])
    except UnclearError as unclear:
        if not unclear.choices:
            raise _NoArtistsError(
                f"{name} has no folders with pictures; {len(pictures):,} pictures lie directly in it, where no artist "
                f"is told. Make one folder per artist: {_example(source)}; or say how their names tell it: "
                '--artist-from "{artist}_{number}.jpg"'
            ) from unclear
        command = ["morelli", "data", "prepare", str(source), "--out", str(out), "--layout"]
        commands = "".join(f"\n  {printable(shlex.join([*command, choice]))}" for choice in unclear.choices)
        what = "Whose pictures are they? If they are artists" if len(unclear.choices) == 1 else "Say which are artists"
        raise _UnclearArtistsError(
            f'{name}: {unclear.why}. {what}:{commands}\nOther layouts are written likewise: "{{style}}/{{artist}}_'
            '{title}".'
        ) from unclear


def _nothing(source: Path, listing: Listing) -> str:
    found = [f"  {file}: {reason}" for file, reason in listing.left_out[:_SHOWN]]
    found += [f"  {line}" for line in listing.said()]
    there = "\n".join(["\nWhat is there:", *found]) if found else ""
    return (
        f"{printable(str(source))} has no folders with pictures. Make one folder per artist: {_example(source)}{there}"
    )


def _example(source: Path) -> str:
    return printable(str(source / "Claude Monet" / "water-lilies.jpg"))
