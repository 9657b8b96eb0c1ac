"""One's own pictures as a source: a folder per artist, or a CSV of path and artist."""

from pathlib import Path

import pandas as pd

from morelli.data._archives import Place
from morelli.data._pictures import SUFFIXES
from morelli.data._source import DETAILS, LEFT_OUT_COLUMNS, Source, id_from_path, left_out, read_rows, walk
from morelli.errors import MorelliError, did_you_mean

_SHOWN = 5


def folder_per_artist(folder: Path, out: Path) -> Source:
    """List the pictures below each folder of ``folder``; the folder's name is the artist's."""
    rows = []
    skipped = 0
    at_top = 0
    for name, entry in walk(folder, out):
        is_picture = Path(name).suffix.lower() in SUFFIXES
        if is_picture and "/" in name:
            artist = name.partition("/")[0].strip()
            rows.append((id_from_path(name), name, artist, entry.path, entry.stat().st_size))
        else:
            at_top += is_picture
            skipped += 1
    if not rows:
        lying = f"; {at_top} pictures lie directly in it, where no artist is told" if at_top else ""
        raise MorelliError(
            f"{folder} has no folders with pictures{lying}. Make one folder per artist: "
            f"{folder / 'Claude Monet' / 'water-lilies.jpg'}"
        )
    paintings = pd.DataFrame(rows, columns=["id", "file", "artist", "path", "bytes"])
    places = {id_: Place(path) for id_, path in zip(paintings["id"], paintings["path"], strict=True)}
    none = pd.DataFrame(columns=LEFT_OUT_COLUMNS)
    return Source("folder per artist", _with_details(paintings), places, none, skipped_files=skipped)


def csv_of_paths(path: Path, artist_column: str, path_column: str) -> Source:
    """List the pictures that the rows of a CSV name; paths are relative to the CSV.

    Raises:
        MorelliError: not a CSV, no such columns, no rows, empty cells, missing files, or one picture by two artists.
    """
    rows = read_rows(path, path.read_bytes())
    for column in (path_column, artist_column):
        if column not in rows.columns:
            by_semicolons = ";" in rows.columns[0]
            hint = " Save it with commas, not semicolons." if by_semicolons else did_you_mean(column, rows.columns)
            raise MorelliError(
                f'{path} has no column "{column}"; it has {", ".join(rows.columns)}.{hint} '
                "Rename the column, or pass artist_column and path_column."
            )
    if rows.empty:
        raise MorelliError(f"{path} has its columns but no rows. Give it one row a painting.")
    rows["file"] = rows[path_column].str.replace("\\", "/")
    rows["artist"] = rows[artist_column]
    _refuse(path, rows, (rows["file"] == "") | (rows["artist"] == ""), "have an empty path or artist", "Fill them in")
    is_missing = pd.Series([not (path.parent / file).is_file() for file in rows["file"]])
    _refuse(path, rows, is_missing, "name a file that is not there", "Paths are relative to the CSV's folder")
    by_two = rows.groupby("file")["artist"].transform("nunique") > 1
    _refuse(path, rows, by_two, "give one picture to two artists", "Keep one of the rows")
    rows["id"] = rows["file"].map(id_from_path)
    again = rows["file"].duplicated()
    paintings = rows[~again].reset_index(drop=True)
    files = [path.parent / file for file in paintings["file"]]
    paintings["bytes"] = [file.stat().st_size for file in files]
    places = {id_: Place(str(file)) for id_, file in zip(paintings["id"], files, strict=True)}
    return Source("CSV", _with_details(paintings), places, left_out(rows[again], "listed a second time in the table"))


def _refuse(path: Path, rows: pd.DataFrame, wrong: pd.Series, what: str, remedy: str) -> None:
    if wrong.any():
        shown = [f'  line {line + 2}: "{rows["file"][line]}", "{rows["artist"][line]}"' for line in rows.index[wrong]]
        more = [f"  … and {len(shown) - _SHOWN:,} more"] if len(shown) > _SHOWN else []
        listed = "\n".join([*shown[:_SHOWN], *more])
        raise MorelliError(f"{path}: {len(shown):,} rows {what}:\n{listed}\n{remedy}.")


def _with_details(paintings: pd.DataFrame) -> pd.DataFrame:
    """Keep what a table tells (title, style, genre, date, source); the competition's own columns stay null."""
    for column in DETAILS:
        told = column in paintings.columns and column not in ("artist_group", "in_train")
        paintings[column] = paintings[column].replace("", None) if told else None
    return paintings[["id", "file", "artist", "bytes", *DETAILS]]
