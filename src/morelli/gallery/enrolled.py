"""Enrolled artists of an index: a list of them, and how to take back or mend a name."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from morelli.data.artists import artist_key
from morelli.errors import MorelliError, did_you_mean
from morelli.gallery.index import ARTISTS, PictureIndex
from morelli.preparation.attributions import perhaps_one


@dataclass(frozen=True)
class EnrolledArtist:
    """An artist of an index, and by how many paintings; identification compares with all of them."""

    artist: str
    paintings: int


def enrolled(index: PictureIndex) -> list[EnrolledArtist]:
    """The artists that are enrolled in an index, by name."""
    artists = index.artists.pictures["artist"]
    by_key = artists.groupby(artists.map(artist_key)).agg(["first", "size"]).sort_index()
    return [EnrolledArtist(str(name), int(count)) for name, count in by_key.itertuples(index=False)]


def rename(index: PictureIndex, artist: str, new: str) -> EnrolledArtist:
    """Give an enrolled artist another name, which no other has; the paintings stay."""
    new = " ".join(new.split())
    if not new:
        raise MorelliError('An artist needs a name: --rename "Bertha Morisot" "Berthe Morisot".')
    with index.only_writer() as index:
        renamed, is_theirs = _named(index, artist)
        pictures = index.artists.pictures
        is_new = pictures["artist"].map(artist_key) == artist_key(new)
        if artist_key(new) != artist_key(artist) and is_new.any():
            raise MorelliError(
                f"{pictures['artist'][is_new].iloc[0]} is enrolled already, with {int(is_new.sum())} paintings. "
                "Remove one of the two first: --remove NAME."
            )
        mended = pictures.assign(artist=pictures["artist"].mask(is_theirs, new))
        replace(index.artists, pictures=mended).write(index.path / ARTISTS)
    return EnrolledArtist(new, renamed.paintings)


def remove(index: PictureIndex, artist: str) -> EnrolledArtist:
    """Take an artist with all paintings out of those that are enrolled."""
    with index.only_writer() as index:
        removed, is_theirs = _named(index, artist)
        index.artists.take(np.flatnonzero(~is_theirs)).write(index.path / ARTISTS)
    return removed


def render_enrolled(artists: list[EnrolledArtist]) -> str:
    """What the command prints."""
    if not artists:
        return "No artist is enrolled. Enrol one with: morelli enroll INDEX --artist NAME FOLDER"
    wide = max(len(one.artist) for one in artists)
    lines = [f"Enrolled artists: {len(artists):,}"]
    lines += [f"  {one.artist:{wide}}  {one.paintings:,} paintings" for one in artists]
    pairs = perhaps_one(one.artist for one in artists)
    return "\n".join([*lines, *(f"Note: {one} and {other} may be one artist: {why}." for one, other, why in pairs)])


def _named(index: PictureIndex, artist: str) -> tuple[EnrolledArtist, pd.Series]:
    """An enrolled artist, and which paintings are theirs."""
    there = enrolled(index)
    for one in there:
        if artist_key(one.artist) == artist_key(artist):
            return one, index.artists.pictures["artist"].map(artist_key) == artist_key(artist)
    names = [one.artist for one in there]
    known = f" Enrolled are: {', '.join(names)}." if names else " No artist is."
    raise MorelliError(f'No artist "{artist}" is enrolled in {index.path}.{did_you_mean(artist, names)}{known}')
