"""A table as a source: a CSV with a row a painting, which names the artist and the picture's file."""

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from morelli._file_names import escaped
from morelli.data.artists import artist_keys
from morelli.errors import MorelliError
from morelli.preparation.archives import File
from morelli.preparation.csv_columns import csv_bytes, find_columns, holds_urls, is_url, read_csv
from morelli.preparation.listing import list_folder, list_source
from morelli.preparation.picture_files import SUFFIXES as PICTURES
from morelli.preparation.source import DETAILS, Catalogue, Source, SourceOptions, left_out

SUFFIXES: Final = frozenset({".csv", ".tsv", ".tab", ".txt"})
_SHOWN: Final = 5


class TableSource(Source):
    """A CSV. Paths are relative to it; a file that is not there is looked for by its name in the folders beside."""

    name = "table"

    def recognises(self, path: Path, options: SourceOptions) -> bool:  # noqa: ARG002
        return path.suffix.lower() in SUFFIXES

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        rows, notes = read_csv(path, csv_bytes(path))
        found = find_columns(path, rows, options.columns)
        if rows.empty:
            raise MorelliError(f"{path} has its columns but no rows. Give it one row a painting.")
        if holds_urls(rows[found["path"]]):
            url = next(filter(is_url, rows[found["path"]]))
            raise MorelliError(
                f'{path} names its pictures by web addresses (column "{found["path"]}", such as {url}), and these are '
                "not fetched. Download them, and give the paths of the files in that column."
            )
        given = rows[found["path"]].str.replace("\\", "/")
        files = _Files(path.parent, options.out.resolve())
        lying = {text: files.find(text) for text in given.unique()}
        rows = pd.DataFrame({field: rows[found[field]] for field in ("artist", *DETAILS) if field in found})
        rows["file"] = [file.name if (file := lying[text]) else text for text in given]
        rows["is_there"] = [lying[text] is not None for text in given]
        usable, unusable = _sorted_out(rows)
        if usable.empty:
            raise MorelliError("\n".join([f"{path}: {_described(unusable)}", *notes]))
        said = ", ".join(f'{field} from "{column}"' for field, column in found.items())
        return Catalogue.of(
            "CSV",
            usable,
            {file.name: file for file in lying.values() if file},
            [left_out(rows, check.reason) for check, rows in unusable],
            understood=[f"Columns: {said} (if that is wrong: --column).", *notes, *files.said()],
        )


class _Check(NamedTuple):
    """What may be wrong with a row, what to do, and the reason in the list of what was left out."""

    what: str
    remedy: str
    reason: str
    fails: Callable[[pd.DataFrame], pd.Series]


_CHECKS: Final = (
    _Check("have an empty path or artist", "Fill them in", "no path in the table", lambda rows: rows["file"] == ""),
    _Check("have an empty path or artist", "Fill them in", "no artist in the table", lambda rows: rows["artist"] == ""),
    _Check(
        "name a web address", "Download the pictures", "a web address, no file", lambda rows: rows["file"].map(is_url)
    ),
    _Check(
        "name a file that is not there or cannot be read",
        "Paths are relative to the CSV's folder",
        "no such file",
        lambda rows: ~rows["is_there"],
    ),
    _Check(
        "give one picture to two artists",
        "Keep one of the rows",
        "one picture by two artists",
        lambda rows: artist_keys(rows["artist"]).groupby(rows["file"]).transform("nunique") > 1,
    ),
    _Check("are there a second time", "", "listed a second time in the table", lambda rows: rows["file"].duplicated()),
)


def _sorted_out(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[_Check, pd.DataFrame]]]:
    """The rows that can be used, and those that fail a check, each by the first."""
    failing = []
    for check in _CHECKS:
        fails = check.fails(rows).astype(bool)
        failing.append((check, rows[fails]))
        rows = rows[~fails]
    return rows, failing


def _described(failing: list[tuple[_Check, pd.DataFrame]]) -> str:
    said = []
    for check, rows in failing:
        if len(rows):
            pairs = zip(rows.index[:_SHOWN], rows["file"], rows["artist"], strict=False)
            shown = [f'  line {line + 2}: "{file}", "{artist}"' for line, file, artist in pairs]
            more = [f"  … and {len(rows) - _SHOWN:,} more"] if len(rows) > _SHOWN else []
            said.append("\n".join([f"{len(rows):,} rows {check.what}:", *shown, *more, f"{check.remedy}."]))
    return "\n".join(said)


class _Files:
    """Finds the files that a table names."""

    def __init__(self, folder: Path, out: Path) -> None:
        self._folder, self._out = folder, out
        self._by_their_names = 0

    def find(self, given: str) -> File | None:
        """The file at a path relative to the folder, or the only one in it, at any depth, whose path ends so."""
        if not given or is_url(given):
            return None
        with suppress(OSError, ValueError):  # too long, or with a null in it
            if (self._folder / given).is_file():
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
