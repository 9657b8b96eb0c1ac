"""Pictures in folders or archives as a source, the artist being told by where each lies."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from morelli._file_names import printable
from morelli.data.artists import artist_key
from morelli.errors import MorelliError
from morelli.preparation.copy_trees import without_copy_trees
from morelli.preparation.layout import FIELDS, Layout, UnclearError, guess_layout
from morelli.preparation.listing import File, Listing, list_source, pictures_of
from morelli.preparation.source import DETAILS, LEFT_OUT_COLUMNS, Source, id_from_path

_SHOWN = 3


class NoArtistsError(MorelliError):
    """Nothing in the source tells the pictures' artists; a table beside them may."""


class UnclearArtistsError(NoArtistsError):
    """The folders can be read in more than one way, and the message says with which command."""


def folders_of_artists(source: Path, out: Path, layout: str | None) -> Source:
    """List the pictures below a folder, or in a zip archive, with the artist that their paths tell.

    Args:
        source: the folder or archive.
        out: the folder being written, never taken for a part of the source.
        layout: where the artist is told, see :class:`morelli.preparation.layout.Layout`; guessed if None.

    Raises:
        NoArtistsError: no pictures, or nothing that tells their artists.
        MorelliError: more than one reading of the folders, a layout that fits no picture, or a bad archive.
        OSError: the source cannot be read.
    """
    listing = list_source(source, out.resolve())
    pictures, copies = without_copy_trees(pictures_of(listing, source if source.is_dir() else source.parent))
    if not pictures:
        raise NoArtistsError(_nothing(source, listing))
    chosen = Layout(layout) if layout else _guessed(source, out, pictures)
    told = [(picture, chosen.read(picture.name)) for picture in pictures]
    used = [(picture, tells) for picture, tells in told if tells]
    stray = [picture.name for picture, tells in told if not tells]
    if not used:
        raise MorelliError(
            f'No picture in {source} lies as the layout "{layout}" says. The first ones are: '
            f"{', '.join(stray[:_SHOWN])}. Change --layout, or leave it out."
        )
    paintings = pd.DataFrame([tells for _, tells in used], columns=list(FIELDS))
    paintings["file"] = [picture.name for picture, _ in used]
    paintings["id"] = paintings["file"].map(id_from_path)
    paintings["bytes"] = [picture.bytes for picture, _ in used]
    for column in DETAILS:
        paintings[column] = paintings[column].replace({"": None}) if column in FIELDS else None
    artists = paintings["artist"].map(artist_key).nunique()
    counted = f"{artists:,} artist{'s' if artists != 1 else ''}"
    said = [f'Layout: "{chosen.pattern}", {counted}{"" if layout else " (if that is wrong: --layout)"}.']
    said += [f"Left aside: {count:,} pictures in {copy}, copies of {of}." for copy, (of, count) in copies.items()]
    if stray:
        said.append(f"Not used: {_listed(stray, 'picture')} outside the artists' folders: {_some(stray)}")
    return Source(
        kind="folder per artist",
        paintings=paintings[["id", "file", "artist", "bytes", *DETAILS]],
        places={id_: picture.place for id_, (picture, _) in zip(paintings["id"], used, strict=True)},
        versions={id_: picture.version for id_, (picture, _) in zip(paintings["id"], used, strict=True)},
        left_out=unreadable(listing, chosen),
        skipped_files=listing.other_files.total() + len(stray),
        understood=[*said, *passed_over(listing)],
    )


def unreadable(listing: Listing, layout: Layout | None = None) -> pd.DataFrame:
    """The files and folders that cannot be read, as rows of what is left out."""
    rows = []
    for name, reason in listing.left_out:
        tells = layout.read(name) if layout else None
        rows.append((id_from_path(name), name, tells["artist"] if tells else "", reason))
    return pd.DataFrame(rows, columns=LEFT_OUT_COLUMNS, dtype=str)


def passed_over(listing: Listing) -> list[str]:
    """What is said of files that are no part of the collection."""
    lines = [f"Passed over: {count:,} {what}." for what, count in listing.passed_over.items()]
    if listing.other_files:
        kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in listing.other_files.most_common(_SHOWN))
        more = ", …" if len(listing.other_files) > _SHOWN else ""
        lines.append(f"No pictures: {_listed(list(listing.other_files.elements()), 'file')} ({kinds}{more}).")
    return lines


def _guessed(source: Path, out: Path, pictures: Sequence[File]) -> Layout:
    try:
        return guess_layout([picture.name for picture in pictures])
    except UnclearError as unclear:
        if not unclear.choices:
            raise NoArtistsError(
                f"{printable(str(source))} has no folders with pictures; {len(pictures):,} pictures lie directly in "
                f"it, where no artist is told. Make one folder per artist: {_example(source)}"
            ) from unclear
        commands = "".join(f"\n  {_command(source, out, choice)}" for choice in unclear.choices)
        what = "Whose pictures are they? If they are artists" if len(unclear.choices) == 1 else "Say which are artists"
        raise UnclearArtistsError(
            f"{printable(str(source))}: {unclear.why}. {what}:{commands}\n"
            'Other layouts are written likewise: "{style}/{artist}_{title}".'
        ) from unclear


def _command(source: Path, out: Path, layout: str) -> str:
    return printable(shlex.join(["morelli", "data", "prepare", str(source), "--out", str(out), "--layout", layout]))


def _nothing(source: Path, listing: Listing) -> str:
    found = [f"  {file}: {reason}" for file, reason in listing.left_out[:_SHOWN]]
    found += [f"  {line}" for line in passed_over(listing)]
    what = "".join(["\nWhat is there:\n", "\n".join(found)]) if found else ""
    return (
        f"{printable(str(source))} has no folders with pictures. Make one folder per artist: {_example(source)}{what}"
    )


def _example(source: Path) -> str:
    return printable(str(source / "Claude Monet" / "water-lilies.jpg"))


def _listed(names: Sequence[str], noun: str) -> str:
    return f"{len(names):,} {noun}{'' if len(names) == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else ".")
