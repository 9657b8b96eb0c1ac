"""The competition *Painter by Numbers* as a source: its table joined with the pictures in its archives or folders."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd

from morelli.errors import MorelliError
from morelli.preparation.archives import DamagedEntryError, File, Originals
from morelli.preparation.csv_columns import csv_bytes, read_csv, refuse_large_table
from morelli.preparation.listing import Listing, list_archive, list_folder
from morelli.preparation.picture_files import SUFFIXES
from morelli.preparation.source import DETAILS, Catalogue, Source, SourceOptions, left_out, unreadable

TABLE_NAMES: Final = ("all_data_info.csv", "all_data_info.csv.zip")
PICTURE_ARCHIVE: Final = re.compile(r"(train|test)(_\d+)?\.zip", re.IGNORECASE)
_REPLACEMENTS: Final = "replacements_for_corrupted_files"
_PART: Final = re.compile(r"(train|test)(_\d+)?(\.zip)?|train_info\.csv(\.zip)?", re.IGNORECASE)
_SAFE_NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_COLUMNS: Final = ("new_filename", "artist", *DETAILS)


class CompetitionSource(Source):
    """A folder with ``all_data_info.csv`` and the pictures that its ``new_filename`` names."""

    name = "competition"

    def recognises(self, path: Path, options: SourceOptions) -> bool:
        return not options.layout and any((path / name).is_file() for name in TABLE_NAMES)

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        rows = _read_table(next(path / name for name in TABLE_NAMES if (path / name).is_file()))
        listing = list_folder(path, options.out.resolve())
        originals, replacements, skipped = _find_pictures(listing)
        if not originals:
            raise MorelliError(
                f"{path} has the competition's table but no pictures. Put train.zip and test.zip (or their unpacked "
                f"folders) beside it: morelli data download --out {path}"
            )
        again = rows["id"].duplicated()
        missing = ~again & ~rows["file"].isin(originals.keys())
        nameless = ~again & ~missing & (rows["artist"] == "")
        unlisted = pd.DataFrame({"file": sorted(originals.keys() - set(rows["file"])), "artist": ""}, dtype=str)
        whole = {_id(name): file for name, file in replacements.items()}
        for name, file in originals.items():
            if better := whole.get(_id(name)):
                originals[name] = replace(file, version=f"{file.version} {better.version}")
        return Catalogue.of(
            "competition",
            rows[~again & ~missing & ~nameless],
            originals,
            [
                left_out(rows[again], "listed a second time in the table"),
                left_out(rows[missing], "not in the archives"),
                left_out(rows[nameless], "no artist in the table"),
                left_out(unlisted.assign(id=unlisted["file"].map(_id)), "no row in the table"),
                unreadable(listing),
            ],
            replacements=whole,
            skipped_files=skipped,
            understood=["The competition's files.", *listing.said()],
            names_are_artists=True,  # its lists of pairs name them all
        )


def parts_of_competition(folder: Path) -> list[str]:
    """Name what in ``folder`` comes from the competition, though its table may be missing."""
    return sorted(path.name for path in folder.iterdir() if _PART.fullmatch(path.name))


def _id(file: str) -> str:
    return re.sub(r"\.[^.]*$", "", file)


def _read_table(path: Path) -> pd.DataFrame:
    rows, _ = read_csv(path, _read_zipped(path) if path.suffix == ".zip" else csv_bytes(path))
    download = "It should be the competition's own all_data_info.csv: download it again."
    if absent := [column for column in _COLUMNS if column not in rows]:
        raise MorelliError(
            f"{path} lacks the columns {', '.join(absent)}; it has {', '.join(rows.columns)}. {download}"
        )
    if rows.empty:
        raise MorelliError(f"{path} lists no paintings. Download it again.")
    for line, name in enumerate(rows["new_filename"], start=2):
        if not re.fullmatch(_SAFE_NAME, name):
            raise MorelliError(f'{path}, line {line}: new_filename "{name}" is not a plain file name. {download}')
    rows = rows[list(_COLUMNS)].rename(columns={"new_filename": "file"})
    return rows.assign(id=rows["file"].map(_id), in_train=rows["in_train"].map({"True": True, "False": False}))


def _read_zipped(path: Path) -> bytes:
    inner = [file for file in list_archive(path).files if file.suffix == ".csv"]
    if len(inner) != 1:
        raise MorelliError(f"{path} should hold one CSV file, but holds {len(inner)}. Download it again.")
    refuse_large_table(path, inner[0].bytes)
    try:
        with Originals(path.parent) as originals, originals.open(inner[0]) as stream:
            return stream.read()
    except DamagedEntryError as error:
        raise MorelliError(f"{path} is damaged ({error}). Download it again.") from error


def _find_pictures(listing: Listing) -> tuple[dict[str, File], dict[str, File], int]:
    """Return (pictures, their replacements, number of other files), each picture by its file name.

    A picture that is there twice is taken from an archive before a folder, and from the first of several.
    """
    packed: dict[str, File] = {}
    loose: dict[str, File] = {}
    replacements: dict[str, File] = {}
    skipped = 0
    for file in listing.files:
        at_top = "/" not in file.name
        is_replacement = any(part.startswith(_REPLACEMENTS) for part in file.name.split("/"))
        is_packed = at_top and (PICTURE_ARCHIVE.fullmatch(file.name) or file.name == f"{_REPLACEMENTS}.zip")
        found = replacements if is_replacement else packed if is_packed else loose
        if at_top and not is_packed and file.suffix not in SUFFIXES:
            continue
        for one in list_archive(Path(file.path)).files if is_packed else [file]:
            if one.suffix in SUFFIXES:
                found.setdefault(one.name.rpartition("/")[2], one)
            else:
                skipped += 1
    return loose | packed, replacements, skipped
