"""Which column of a table holds what: by the usual names in any case, else by what is in it."""
# ruff: noqa: SIM905  (lists of words read best as sentences)

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final, cast

import pandas as pd

from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.pictures import SUFFIXES

# As museums and data sets call them, folded as by :func:`_folded`; the surest first.
NAMES: Final = {
    "path": "path|file|filename|file name|filepath|file path|image path|image file|image filename|image name|img path"
    "|image|img|picture|picture file|photo|painting file|local path|relative path|new filename|datei|dateiname|bild"
    "|bilddatei|fichier|archivo|imagen|url|image url|img url|image link|primary image|primary image url|iiif url"
    "|primary image small|thumbnail url|link".split("|"),
    "artist": "artist|artist name|artist display name|artist title|artist full name|artists|painter|painter name"
    "|creator|creator name|creators|author|author name|authors|maker|maker name|makers|display artist|artist display"
    "|attribution|constituent|künstler|kuenstler|kunstler|künstlerin|maler|artiste|peintre|auteur|artista|pintor"
    "|autor|pittore|autore|kunstenaar|schilder".split("|"),
    "title": "title|object title|work title|artwork title|painting title|title en|titel|titre|título|titulo|titolo"
    "|artwork|painting|painting name|artwork name".split("|"),
    "date": "date|year|object date|creation date|date created|date display|display date|dated|production date"
    "|datierung|datum|jahr|année|annee|fecha|año|anno|data".split("|"),
    "style": "style|art style|movement|art movement|stil|estilo|stile".split("|"),
    "genre": "genre|gattung|género|genere".split("|"),
    "source": "source|collection|museum|repository|institution|sammlung".split("|"),
}
NEEDED: Final = ("path", "artist")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://|www\.|//", re.IGNORECASE)


def find_columns(table: Path, rows: pd.DataFrame, wanted: Mapping[str, str]) -> dict[str, str]:
    """Map each field of :data:`NAMES` that the table has to the column that holds it.

    Args:
        table: the table's path, for messages.
        rows: its cells.
        wanted: columns that the user named, by field; an empty name says that no column holds it.

    Raises:
        MorelliError: no column of paths or artists, or none of a name that was asked for.
    """
    for field in wanted:
        if field not in NAMES:
            raise MorelliError(
                f'A table has no field "{field}" for a painting; it may have {", ".join(NAMES)}.'
                f"{did_you_mean(field, NAMES)}"
            )
    columns = {_folded(column): column for column in reversed(rows.columns)}
    found: dict[str, str] = {}
    for field, names in NAMES.items():
        if field in wanted:
            if wanted[field] or field in NEEDED:
                found[field] = _named(table, rows, wanted[field])
            continue
        known: list[str] = [columns[name] for name in names if name in columns]
        if field == "path":
            known += [column for column in rows.columns if column not in known and holds_files(rows[column])]
            known.sort(key=lambda column: holds_urls(cast("pd.Series[str]", rows[column])))
        if known:
            found[field] = known[0]
        elif field in NEEDED:
            _named(table, rows, field)
    return found


def _named(table: Path, rows: pd.DataFrame, name: str) -> str:
    if name in rows.columns:
        return name
    same = [column for column in rows.columns if _folded(column) == _folded(name)]
    if same:
        return same[0]
    raise MorelliError(
        f'{table} has no column "{name}"; it has {", ".join(rows.columns)}.{did_you_mean(name, rows.columns)} '
        "Rename the column, or say which one it is with --artist-column or --path-column."
    )


def _folded(column: str) -> str:
    """``ArtistDisplayName``, ``artist_display_name`` and ``Artist Display-Name`` are one name."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", column)
    return " ".join(re.sub(r"[\W_]+", " ", parted).casefold().split())


def is_url(path: str) -> bool:
    """Whether this is an address in the web rather than a file's path."""
    return _URL.match(path) is not None


def holds_urls(cells: pd.Series) -> bool:
    """Whether half of the filled cells or more are addresses in the web."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and 2 * sum(map(is_url, filled)) >= len(filled)


def holds_files(cells: pd.Series) -> bool:
    """Whether nearly all filled cells end as the names of pictures do."""
    filled = [PurePosixPath(cell.replace("\\", "/")).suffix.lower() for cell in cells if cell]
    return bool(filled) and sum(suffix in SUFFIXES for suffix in filled) >= 0.9 * len(filled)
