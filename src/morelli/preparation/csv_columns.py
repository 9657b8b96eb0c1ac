"""Read a CSV as people have it (any separator, any usual encoding) and find which column holds what."""

import codecs
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from morelli.data.artists import artist_key
from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.picture_files import HEAD_BYTES, SUFFIXES, stand_in

# As museums and data sets call them, folded as by :func:`folded_name`; the surest first.
FIELDS: Final = {
    "path": "path|file|filename|file name|filepath|file path|image path|image file|image filename|image name|img path"
    "|image|img|picture|picture file|photo|painting file|local path|relative path|new filename|datei|dateiname|bild"
    "|bilddatei|fichier|archivo|imagen|url|image url|img url|image link|primary image|primary image url|iiif url"
    "|primary image small|thumbnail url|link",
    "artist": "artist|artist name|artist display name|artist title|artist full name|artists|painter|painter name"
    "|creator|creator name|creators|author|author name|authors|maker|maker name|makers|display artist|artist display"
    "|artist maker|artist or maker|principal maker|principal or first maker|constituent name|constituents"
    "|attribution|constituent|künstler|kuenstler|kunstler|künstlerin|maler|artiste|peintre|auteur|artista|pintor"
    "|autor|pittore|autore|kunstenaar|schilder",
    "title": "title|object title|work title|artwork title|painting title|title en|titel|titre|título|titulo|titolo"
    "|display title|long title|artwork|painting|painting name|artwork name",
    "date": "date|year|object date|creation date|date created|date display|display date|dated|production date"
    "|date text|displaydate|date made|date of creation"
    "|datierung|datum|jahr|année|annee|fecha|año|anno|data",
    "style": "style|art style|movement|art movement|stil|estilo|stile",
    "genre": "genre|gattung|género|genere",
    "source": "source|collection|museum|repository|institution|sammlung",
}
NEEDED: Final = ("path", "artist")
_LARGEST_TABLE: Final = 256 << 20
_MOST_COLUMNS: Final = 10_000
_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_EXCEL: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://|www\.|//", re.IGNORECASE)


def csv_bytes(path: Path) -> bytes:
    """The content of a table, unless it is far too large for one."""
    refuse_large_table(path, path.stat().st_size)
    return path.read_bytes()


def refuse_large_table(path: Path, length: int) -> None:
    """Refuse a table before it is read whose unpacked length would fill the memory."""
    if length > _LARGEST_TABLE:
        raise MorelliError(f"{path} holds a table of {length:,} bytes; the limit is {_LARGEST_TABLE:,}. Divide it.")


def read_csv(path: Path, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """The cells of a CSV as stripped text, empty where nothing is; and what was guessed to read them, for the user."""
    if instead := stand_in(content[:HEAD_BYTES]):
        raise MorelliError(f"{path} is {instead}.")
    text, notes = _decoded(path, content)
    if announced := _EXCEL.match(text):
        text, separator = text[announced.end() :], announced[1]
    else:  # what stands most often in the header, outside quotes
        separator = max(_SEPARATORS, key=re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0]).count)
    if separator != ",":
        how = _SEPARATORS.get(separator, separator)
        notes.append(
            f"{path.name} was read with {how} between cells; if that is wrong: Save it with commas, not {how}."
        )
    quote = "Quote cells that hold a comma."
    if (cells := text.lstrip().partition("\n")[0].count(separator)) > _MOST_COLUMNS:
        raise MorelliError(f"{path} cannot be read as a CSV (its first line has {cells:,} cells). {quote}")
    try:
        rows = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, sep=separator)
    except pd.errors.EmptyDataError as error:
        raise MorelliError(f"{path} is empty. It needs a header and one row a painting.") from error
    except ValueError as error:
        raise MorelliError(f"{path} cannot be read as a CSV ({str(error).strip()}). {quote}") from error
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes a first cell too many for the row's name
        columns = ", ".join(rows.columns)
        raise MorelliError(
            f"{path} has rows with more cells than its header has columns ({columns}), such as line 2. {quote}"
        )
    rows = rows.rename(columns=str.strip).map(str.strip)
    if (twice := rows.columns.duplicated()).any():
        raise MorelliError(f'{path} has two columns "{rows.columns[twice][0]}". Rename one of them.')
    return rows, notes


def _decoded(path: Path, content: bytes) -> tuple[str, list[str]]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), [f"{path.name} was read as UTF-16."]
    if b"\0" in content[:2]:  # UTF-16 that does not say so, of a header that begins as English does
        order = "be" if content[:1] == b"\0" else "le"
        return content.decode(f"utf-16-{order}", errors="replace"), [f"{path.name} was read as UTF-16."]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), [
            f"{path.name} is not encoded in UTF-8 and was read as Windows-1252 (Latin-1); if names look wrong, save it "
            "as CSV UTF-8."
        ]


def find_columns(
    table: str | Path, rows: pd.DataFrame, wanted: Mapping[str, str], needed: Sequence[str] = NEEDED
) -> dict[str, str]:
    """Map each of :data:`FIELDS` that the table has to its column; ``wanted`` are those that the user named.

    Raises:
        MorelliError: a column that is wanted or ``needed`` is not there, or several could be it and differ.
    """
    for field in wanted:
        if field not in FIELDS:
            raise MorelliError(
                f'A table has no field "{field}" for a painting; it may have {", ".join(FIELDS)}.'
                f"{did_you_mean(field, FIELDS)}"
            )
    cells: dict[str, list[str]] = {column: rows[column].tolist() for column in rows.columns}
    columns = {folded_name(column): column for column in reversed(cells)}
    found: dict[str, str] = {}
    for field, names in FIELDS.items():
        if field in wanted:
            if wanted[field] or field in needed:
                found[field] = _named(table, rows, columns, wanted[field])
            continue
        known = [columns[name] for name in names.split("|") if name in columns]
        if field == "path":
            with_files = [column for column in cells if _holds_files(cells[column])]
            known = sorted(
                {**dict.fromkeys(known), **dict.fromkeys(with_files)}, key=lambda one: holds_urls(cells[one])
            )
            rivals = [one for one in with_files if known[0] in with_files and not holds_urls(cells[one])]
        else:
            rivals = known if field == "artist" else []
        if others := [one for one in rivals if _differ(field, cells[known[0]], cells[one])]:
            choices = " or ".join(f'--{field}-column "{column}"' for column in (known[0], *others))
            raise MorelliError(f"{table} has several columns for the {field}, which differ. Say which it is: {choices}")
        if known or field in needed:
            found[field] = known[0] if known else _named(table, rows, columns, field)
    return found


def _differ(field: str, one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns say different things in more than a few rows in which both say something."""
    fold = artist_key if field == "artist" else lambda path: path.replace("\\", "/").casefold()
    pairs = {(fold(a), fold(b)) for a, b in set(zip(one, other, strict=True)) if a and b}
    return sum(a not in b and b not in a for a, b in pairs) > 0.1 * len(pairs)


def _named(table: str | Path, rows: pd.DataFrame, columns: dict[str, str], name: str) -> str:
    if name not in rows.columns and folded_name(name) not in columns:
        raise MorelliError(
            f'{table} has no column "{name}"; it has {", ".join(rows.columns)}.{did_you_mean(name, rows.columns)} '
            "Rename the column, or say which one it is with --artist-column or --path-column."
        )
    return name if name in rows.columns else columns[folded_name(name)]


def folded_name(column: str) -> str:
    """``ArtistDisplayName``, ``artist_display_name`` and ``Artist Display-Name`` are one name."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", column)
    return " ".join(re.sub(r"[\W_]+", " ", parted).casefold().split())


def is_url(path: str) -> bool:
    """Whether this is an address in the web rather than a file's path."""
    return _URL.match(path) is not None


def holds_urls(cells: Iterable[str]) -> bool:
    """Whether half of the filled cells or more are addresses in the web."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and 2 * sum(map(is_url, filled)) >= len(filled)


def _holds_files(cells: Iterable[str]) -> bool:
    """Whether nearly all filled cells end as the names of pictures do."""
    filled = [PurePosixPath(cell.replace("\\", "/")).suffix.lower() for cell in cells if cell]
    return bool(filled) and sum(suffix in SUFFIXES for suffix in filled) >= 0.9 * len(filled)
