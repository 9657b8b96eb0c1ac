"""Artists' names in a source: spellings of one artist, names of no known artist, stand-in pictures to leave out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pandas as pd

from morelli._text import one_line
from morelli.data.artists import artist_key, one_spelling
from morelli.data.prepared import LEFT_OUT, SAME_ARTIST, SPELLINGS
from morelli.errors import MorelliError
from morelli.preparation.attributions import REASONS, perhaps_one, unattributed
from morelli.preparation.pool import Record
from morelli.preparation.source import Catalogue, left_out

_PERHAPS: Final = "perhaps the same artist"
_KEPT: Final = "no one artist's name, kept as one"
_STAND_IN: Final = "one picture under "
_SHOWN: Final = 4
_SLUG: Final = re.compile(r"[^\W_A-Z]+(-[^\W_A-Z]+)*")
_DATED: Final = r"^(.*?)-?(1\d{3}|20\d\d)?(?:-?\(\d+\))?$"
_PARTICLE: Final = re.compile(
    r"\b(af|da|de|dei|del|della|den|der|di|do|dos|du|la|le|of|ten|ter|the|van|von|zu|zur)\b", re.I
)


def from_slugs(paintings: pd.DataFrame) -> pd.DataFrame | None:
    """Artists, titles and dates of file names such as WikiArt's, ``vincent-van-gogh_starry-night-1889``.

    None where the names are not written so.
    """
    artists = paintings["artist"].unique()
    written = [artist for artist in artists if _SLUG.fullmatch(artist)]
    if 2 * sum("-" in artist for artist in written) < len(artists) or len(written) < 0.9 * len(artists):
        return None
    parts = paintings["title"].str.extract(_DATED)
    titles, dates = parts[0].str.replace("-", " "), parts[1].fillna("")
    return paintings.assign(artist=paintings["artist"].map(_spelt), title=titles, date=dates)


def _spelt(slug: str) -> str:
    """``vincent-van-gogh`` as *Vincent van Gogh*."""
    name = _PARTICLE.sub(lambda found: found[0].lower(), slug.replace("-", " ").title())
    name = re.sub(r"\b(\w)(?= )", r"\1.", name).replace(" O. ", " O'")
    return name[:1].upper() + name[1:]


def attributed(catalogue: Catalogue, asked: Iterable[str]) -> Catalogue:
    """Leave out the paintings whose artist's name is no one artist's, but for names that are ``asked`` for."""
    if catalogue.names_are_artists:
        return catalogue
    wanted = {artist_key(name) for name in asked}
    rows = catalogue.paintings
    why = {name: "" if artist_key(name) in wanted else unattributed(name) for name in rows["artist"].unique()}
    reasons = rows["artist"].map(why)
    if (reasons != "").all() and len(rows):
        named = ", ".join(_some([one_line(name) for name in why], "names"))
        raise MorelliError(
            f"No painting is by a known artist; the artists are called: {named}. To take each such name for an artist, "
            "add --keep-unattributed."
        )
    parts = [left_out(rows[reasons == reason], reason) for reason in REASONS]
    return replace(
        catalogue,
        paintings=rows[reasons == ""].reset_index(drop=True),
        left_out=pd.concat([catalogue.left_out, *parts], ignore_index=True),
    )


def without_stand_ins(catalogue: Catalogue, records: dict[str, Record]) -> dict[str, Record]:
    """The records, in which those of files that stand under three artists or more are left out.

    Such a file is a stand-in, such as "no image available"; under two artists, one of them may be right.
    """
    if catalogue.names_are_artists:
        return records
    rows = catalogue.paintings.assign(sha256=[records[id_].sha256 for id_ in catalogue.paintings["id"]])
    rows = rows[rows["sha256"] != ""]
    first = rows.groupby("sha256")["file"].transform("first")
    artists = rows["artist"].map(artist_key).groupby(rows["sha256"]).transform("nunique")
    said = _STAND_IN + artists.astype(str) + " artists (such as " + first + ")"
    found = zip(rows["id"][artists >= 3], said[artists >= 3], strict=True)
    return records | {id_: replace(records[id_], left_out=why) for id_, why in found}


def is_stand_in(reason: str) -> bool:
    """Whether a picture was left out as one that stands under many artists: that may change with new pictures."""
    return reason.startswith(_STAND_IN)


def spellings(names: pd.Series) -> pd.DataFrame:
    """``artist, written, paintings, judged``: spellings of one artist, pairs that may be one's, names of no artist."""
    counts = names.value_counts()
    shown = one_spelling(counts.index.to_series())
    several = shown[shown.duplicated(keep=False)]
    rows = [(artist, str(written), int(counts[str(written)]), SAME_ARTIST) for written, artist in several.items()]
    total = counts.groupby(shown).sum()
    rows += [(one, other, int(total[other]), f"{_PERHAPS}: {why}") for one, other, why in perhaps_one(total.index)]
    kept = [(name, why) for name in map(str, counts.index) if (why := unattributed(name))]
    rows += [(shown[name], name, int(counts[name]), f"{_KEPT}: {why}") for name, why in kept]
    return pd.DataFrame(sorted(rows), columns=["artist", "written", "paintings", "judged"])


@dataclass(frozen=True)
class NamesSummary:
    """What was made of the artists' names.

    Attributes:
        spellings: by the spelling that is kept, all ways in which an artist is written, if there are several.
        perhaps_one: pairs of names that may be one artist's and are kept apart, with the reason.
        unattributed: names that are no one artist's, with the numbers of paintings left out.
        kept: such names whose paintings were asked for, likewise.
        stand_ins: what is said of pictures that stand under many artists, with the numbers of paintings left out.
    """

    spellings: dict[str, list[str]] = field(default_factory=dict)
    perhaps_one: list[tuple[str, str, str]] = field(default_factory=list)
    unattributed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    stand_ins: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, names: pd.Series, left: pd.DataFrame) -> "NamesSummary":
        """Sum up the names as the source has them, and the list of what was left out."""
        found = spellings(names)
        same, perhaps, kept = (found[found["judged"].str.startswith(one)] for one in (SAME_ARTIST, _PERHAPS, _KEPT))
        return cls(
            {str(artist): list(rows["written"]) for artist, rows in same.groupby("artist")},
            list(perhaps[["artist", "written", "judged"]].itertuples(index=False, name=None)),
            _counted(left["artist"][left["reason"].isin(REASONS)]),
            dict(zip(kept["written"], kept["paintings"].tolist(), strict=True)),
            _counted(left["reason"][left["reason"].map(is_stand_in)]),
        )

    def lines(self) -> list[str]:
        """What the command prints: a few of each, and how many more there are."""
        lines = _some(
            [f"{len(all_)} spellings of {artist}: {', '.join(all_)}" for artist, all_ in self.spellings.items()],
            "artists with several spellings, in spellings.csv",
        )
        lines += _some(
            [f"Kept apart: {one} and {other}, {why}" for one, other, why in self.perhaps_one],
            "pairs of names that may be one artist's, in spellings.csv",
        )
        lines += [f"Left out: {reason}, {count:,} paintings" for reason, count in self.stand_ins.items()]
        for done, names, file, hint in (
            ("Kept as artists", self.kept, SPELLINGS, ""),
            ("Left out", self.unattributed, LEFT_OUT, " To keep them: --keep-unattributed"),
        ):
            if names:
                named = ", ".join(_some([f"{name} ({count:,})" for name, count in names.items()], f"names, in {file}"))
                lines.append(f"{done}: {sum(names.values()):,} paintings by no known artist: {named}.{hint}")
        return [one_line(line) for line in lines]


def _counted(texts: pd.Series) -> dict[str, int]:
    return {str(text): int(count) for text, count in texts.value_counts().items()}


def _some(lines: Sequence[str], what: str) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more:,} more {what}"] if more > 0 else [])]
