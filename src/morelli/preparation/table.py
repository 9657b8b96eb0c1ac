"""A table as a source: a CSV with a row a painting, which names the artist and the picture's file."""

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

import pandas as pd

from morelli._file_names import escaped
from morelli.data.artists import artist_keys
from morelli.data.prepared import LEADS_OUT
from morelli.errors import MorelliError
from morelli.preparation.archives import File
from morelli.preparation.csv_columns import csv_bytes, find_columns, holds_urls, is_url, read_csv
from morelli.preparation.listing import list_folder, list_source
from morelli.preparation.picture_files import SUFFIXES as PICTURES
from morelli.preparation.source import DETAILS, Catalogue, Source, SourceOptions, left_out

SUFFIXES: Final = frozenset({".csv", ".tsv", ".tab", ".txt"})
_SHOWN: Final = 5
_URL: Final = "a web address, no file"
_NO_FILE: Final = "no such file"
_OUTSIDE: Final = "a path out of the folder"
_CHECKS: Final[dict[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "no path in the table": lambda rows: rows["file"] == "",
    "no artist in the table": lambda rows: rows["artist"] == "",
    "": lambda rows: rows["trouble"] != "",
    "one picture by two artists": lambda rows: (
        artist_keys(rows["artist"]).groupby(rows["file"]).transform("nunique") > 1
    ),
    "listed a second time in the table": lambda rows: rows["file"].duplicated(),
}
"""Why rows are left out, in this order; for those that are in trouble already, why that is."""
_EMPTY: Final = ("have an empty path or artist", "Fill them in")
_SAID: Final = {
    "no path in the table": _EMPTY,
    "no artist in the table": _EMPTY,
    _URL: ("name a web address", "Download the pictures"),
    _NO_FILE: ("name a file that is not there or cannot be read", "Paths are relative to the table's folder"),
    _OUTSIDE: ("name a file outside the table's folder", "Move the files there"),
    "one picture by two artists": ("give one picture to two artists", "Keep one of the rows"),
}
"""What is said of them where there are no others, and what to do."""


class TableSource(Source):
    """A CSV. Paths are relative to it; a file that is not there is looked for by its name in the folders beside."""

    name = "table"

    def recognises(self, path: Path, options: SourceOptions) -> bool:  # noqa: ARG002
        return path.suffix.lower() in SUFFIXES

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        cells, notes = read_csv(path, csv_bytes(path))
        columns = find_columns(path, cells, options.columns)
        if cells.empty:
            raise MorelliError(f"{path} has its columns but no rows. Give it one row a painting.")
        cells.index = pd.Index([f"line {line}" for line in range(2, len(cells) + 2)])
        rows, files, said = find_files(path, cells[columns["path"]], options.out)
        rows = rows.join(of_fields(cells, columns))
        return catalogue_of_rows("CSV", path, rows, files, [said_of(columns), *notes, *said])


def of_fields(cells: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The columns of a table that say something of a painting, named by what they say; ``columns`` by field."""
    return pd.DataFrame({field: cells[columns[field]] for field in ("artist", *DETAILS) if field in columns})


def said_of(columns: Mapping[str, str]) -> str:
    """What the user is told of the columns that were taken."""
    said = ", ".join(f'{field} from "{column}"' for field, column in columns.items())
    return f"Columns: {said} (if that is wrong: --{next(iter(columns))}-column, …)."


def find_files(
    path: Path, given: pd.Series, out: Path, *, only_inside: bool = False
) -> tuple[pd.DataFrame, dict[str, File], list[str]]:
    """Look for the files that a column of the table at ``path`` names; ``out`` is no place to look.

    Returns:
        ``file`` and ``trouble`` for each row, the name of the file and why it cannot be used; the files by their
        names; and what was guessed.
    """
    if holds_urls(given):
        url = next(filter(is_url, given))
        raise MorelliError(
            f'{path} names its pictures by web addresses (column "{given.name}", such as {url}), and these are not '
            "fetched. Download them, and give the paths of the files in that column."
        )
    given = given.str.replace("\\", "/")
    files = _Files(path.parent, out.resolve(), only_inside)
    found = {text: file for text in given.unique() if (file := files.find(text))}
    missing = {text: _URL if is_url(text) else _NO_FILE for text in given if text not in found}
    if only_inside:
        missing |= dict.fromkeys(filter(re.compile(LEADS_OUT).search, missing), _OUTSIDE)
    names = [found[text].name if text in found else text for text in given]
    rows = pd.DataFrame({"file": names, "trouble": [missing.get(text, "") for text in given]}, index=given.index)
    return rows, {file.name: file for file in found.values()}, files.said()


def catalogue_of_rows(
    kind: str, place: str | Path, rows: pd.DataFrame, files: Mapping[str, File], understood: list[str]
) -> Catalogue:
    """What a table offers: rows that cannot be used are left out, each for the first reason.

    Args:
        kind: of source.
        place: of the table, for messages.
        rows: ``file`` (a key of ``files``), ``trouble`` (why that cannot be used, else empty), ``artist`` and what
            there is of :data:`~morelli.preparation.source.DETAILS`; the index says where a row stands.
        files: the originals by name.
        understood: what was guessed.

    Raises:
        MorelliError: no row can be used.
    """
    failing = []
    for reason, fails in _CHECKS.items():
        failed = fails(rows).astype(bool)
        wrong, rows = rows[failed], rows[~failed]
        reasons = wrong["trouble"] if reason == "" else pd.Series(reason, wrong.index)
        failing += [(str(why), some) for why, some in wrong.groupby(reasons, sort=False)]
    if rows.empty:
        said = "\n".join(_described(*pair) for pair in failing)
        raise MorelliError("\n".join([f"{place}: {said}", *understood[1:]]))
    return Catalogue.of(kind, rows, files, [left_out(some, why) for why, some in failing], understood=understood)


def _described(reason: str, rows: pd.DataFrame) -> str:
    what, remedy = _SAID.get(reason, (f"cannot be used ({reason})", ""))
    pairs = zip(rows.index[:_SHOWN], rows["file"], rows["artist"], strict=False)
    shown = [f'  {where}: "{file}", "{artist}"' for where, file, artist in pairs]
    more = [f"  … and {len(rows) - _SHOWN:,} more"] if len(rows) > _SHOWN else []
    return "\n".join([f"{len(rows):,} rows {what}:", *shown, *more, *([f"{remedy}."] if remedy else [])])


class _Files:
    """Finds the files that a table names."""

    def __init__(self, folder: Path, out: Path, only_inside: bool) -> None:
        self._folder, self._out, self._only_inside = folder, out, only_inside
        self._by_their_names = 0

    def find(self, given: str) -> File | None:
        """The file at a path relative to the folder, or the only one in it, at any depth, whose path ends so."""
        if not given or is_url(given):
            return None
        with suppress(OSError, ValueError):  # too long, or with a null in it
            is_allowed = not self._only_inside or not re.search(LEADS_OUT, given)
            if is_allowed and (self._folder / given).is_file():
                return File.at(self._folder / given, escaped(posixpath.normpath(given)))
        ending = "/" + _folded(given).strip("/")
        fit = {
            file.name: file
            for file in self._by_name.get(ending.rpartition("/")[2], [])
            for path in (f"/{_folded(file.name)}", f"/{_stem(file.name)}")
            if path.endswith(ending) or ending.endswith(path)
        }
        if len(fit) != 1:
            return None
        self._by_their_names += 1
        return fit.popitem()[1]

    @cached_property
    def _by_name(self) -> dict[str, list[File]]:
        """All files in the folder by their folded names, pictures also without suffixes."""
        try:
            files = list_source(self._folder, self._out).files
        except MorelliError:  # an archive beside the table that is none of its business
            files = list_folder(self._folder, self._out).files
        by_name: dict[str, list[File]] = defaultdict(list)
        for file in files:
            name = _folded(file.name)
            for path in {name, _stem(name) if file.suffix in PICTURES else name}:
                by_name[path.rpartition("/")[2]].append(file)
        return by_name

    def said(self) -> list[str]:
        """What was guessed."""
        count = self._by_their_names
        return [f"Found by their names beside the table: {count:,} files."] if count else []


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _stem(path: str) -> str:
    folder, slash, name = _folded(path).rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"
