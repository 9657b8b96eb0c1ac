"""A table as a source: a CSV with a row a painting, which names the artist and the picture's file."""

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from morelli._file_names import escaped
from morelli.data.artists import artist_keys
from morelli.errors import MorelliError
from morelli.preparation.archives import Place
from morelli.preparation.columns import find_columns, holds_urls, is_url
from morelli.preparation.listing import File, list_folder, list_source
from morelli.preparation.pictures import SUFFIXES as PICTURES
from morelli.preparation.rows import read_rows
from morelli.preparation.source import DETAILS, Source, id_from_path, left_out

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt"})
_SHOWN = 5


@dataclass(frozen=True)
class _Trouble:
    """Rows that cannot be used: which, what is wrong with them, what to do, and the reason in the list."""

    rows: pd.Series
    what: str
    remedy: str
    reason: str


def table_of_paintings(path: Path, out: Path, columns: Mapping[str, str]) -> Source:
    """List the pictures that the rows of a CSV name.

    Paths are relative to the CSV; a file that is not there is looked for by its name in the folders and archives
    beside the CSV. Rows that cannot be used are left out and listed.

    Args:
        path: the CSV.
        out: the folder being written, in which no file is looked for.
        columns: which column holds what, see :func:`morelli.preparation.columns.find_columns`; guessed where nothing is
            said.

    Raises:
        MorelliError: not a CSV, no such columns, addresses in place of files, or no row that can be used.
        OSError: the CSV cannot be read.
    """
    table = read_rows(path, path.read_bytes())
    rows = table.cells
    found = find_columns(path, rows, columns)
    if rows.empty:
        raise MorelliError(f"{path} has its columns but no rows. Give it one row a painting.")
    if holds_urls(rows[found["path"]]):
        raise MorelliError(
            f'{path} names its pictures by web addresses (column "{found["path"]}", such as '
            f"{next(filter(is_url, rows[found['path']]))}), and these are not fetched. Download them, and "
            "give the paths of the files in that column."
        )
    rows["artist"] = rows[found["artist"]]
    given = rows[found["path"]].str.replace("\\", "/")
    files = _Files(path.parent, out.resolve())
    lying = {text: files.find(text) for text in given.unique()}
    rows["file"] = [file.name if (file := lying[text]) else text for text in given]
    for field in DETAILS:
        rows[field] = rows[found[field]].replace({"": None}) if field in found else None
    troubles = _troubles(rows, given.map(lambda text: lying[text] is None))
    unusable = [left_out(_with_ids(rows[trouble.rows]), trouble.reason) for trouble in troubles]
    paintings = rows[~pd.concat([trouble.rows for trouble in troubles], axis=1).any(axis=1)].reset_index(drop=True)
    if paintings.empty:
        raise MorelliError(_refusal(path, rows, troubles, table.notes))
    paintings = _with_ids(paintings)
    originals = {file.name: file for file in lying.values() if file}
    paintings["bytes"] = [originals[name].bytes for name in paintings["file"]]
    said = ", ".join(f'{field} from "{column}"' for field, column in found.items())
    return Source(
        kind="CSV",
        paintings=paintings[["id", "file", "artist", "bytes", *DETAILS]],
        places={id_from_path(name): file.place for name, file in originals.items()},
        versions={id_from_path(name): file.version for name, file in originals.items()},
        left_out=pd.concat(unusable, ignore_index=True),
        understood=[f"Columns: {said} (if that is wrong: --column).", *table.notes, *files.said()],
    )


def _with_ids(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(id=rows["file"].map(id_from_path))


def _troubles(rows: pd.DataFrame, is_missing: pd.Series) -> list[_Trouble]:
    """The rows that cannot be used, each in one list only."""
    no_path, no_artist, is_web = rows["file"] == "", rows["artist"] == "", rows["file"].map(is_url)
    empty = "have an empty path or artist"
    troubles = [
        _Trouble(no_path, empty, "Fill them in", "no path in the table"),
        _Trouble(no_artist & ~no_path, empty, "Fill them in", "no artist in the table"),
    ]
    told = ~no_path & ~no_artist
    troubles.append(_Trouble(told & is_web, "name a web address", "Download the pictures", "a web address, no file"))
    is_missing &= told & ~is_web
    troubles.append(
        _Trouble(
            is_missing,
            "name a file that is not there or cannot be read",
            "Paths are relative to the CSV's folder",
            "no such file",
        )
    )
    there = rows[told & ~is_web & ~is_missing]
    keys = artist_keys(there["artist"])
    by_two = (keys.groupby(there["file"]).transform("nunique") > 1).reindex(rows.index, fill_value=False)
    troubles.append(
        _Trouble(by_two, "give one picture to two artists", "Keep one of the rows", "one picture by two artists")
    )
    again = (there["file"].duplicated() & ~by_two[there.index]).reindex(rows.index, fill_value=False)
    troubles.append(_Trouble(again, "are there a second time", "", "listed a second time in the table"))
    return troubles


def _refusal(path: Path, rows: pd.DataFrame, troubles: list[_Trouble], notes: list[str]) -> str:
    said = []
    for trouble in troubles:
        if trouble.rows.any():
            places = rows.index[trouble.rows]
            shown = [f'  line {line + 2}: "{rows["file"][line]}", "{rows["artist"][line]}"' for line in places[:_SHOWN]]
            more = [f"  … and {len(places) - _SHOWN:,} more"] if len(places) > _SHOWN else []
            said.append("\n".join([f"{len(places):,} rows {trouble.what}:", *shown, *more, f"{trouble.remedy}."]))
    return "\n".join([f"{path}: {said[0]}", *said[1:], *notes])


class _Files:
    """Finds the files that a table names."""

    def __init__(self, folder: Path, out: Path) -> None:
        self._folder, self._out = folder, out
        self._by_name: dict[str, list[File]] | None = None
        self._by_their_names = 0

    def find(self, given: str) -> File | None:
        """The file at a path relative to the folder, or the only one in it, at any depth, whose path ends so."""
        if not given or is_url(given):
            return None
        with suppress(OSError, ValueError):  # too long, or with a null in it
            path = self._folder / given
            if path.is_file():
                stat = path.stat()
                name = escaped(posixpath.normpath(given))
                return File(name, Place(str(path)), stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}")
        found = self._named(given)
        self._by_their_names += found is not None
        return found

    def _named(self, given: str) -> File | None:
        """The only file whose path ends as the one given, or the other way round, with its suffix or without."""
        if self._by_name is None:
            self._by_name = self._listed()
        ending = "/" + _folded(given).strip("/")
        fit = {
            file.name: file
            for file in self._by_name.get(ending.rpartition("/")[2], [])
            for path in (f"/{_folded(file.name)}", f"/{_stem(file.name)}")
            if path.endswith(ending) or ending.endswith(path)
        }
        return fit.popitem()[1] if len(fit) == 1 else None

    def _listed(self) -> dict[str, list[File]]:
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
        if not self._by_their_names:
            return []
        return [f"Found by their names beside the table: {self._by_their_names:,} files."]


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _stem(path: str) -> str:
    folder, slash, name = _folded(path).rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"
