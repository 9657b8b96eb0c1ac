"""The competition's files as a source: its table joined with the pictures in its archives or their unpacked folder."""

import re
from pathlib import Path

import pandas as pd

from morelli.errors import MorelliError
from morelli.preparation.archives import DamagedEntryError, Originals, Place, entries
from morelli.preparation.folders import passed_over, unreadable
from morelli.preparation.listing import File, Listing, list_archive, list_folder
from morelli.preparation.pictures import SUFFIXES
from morelli.preparation.rows import read_rows
from morelli.preparation.source import DETAILS, Source, left_out

TABLE_NAMES = ("all_data_info.csv", "all_data_info.csv.zip")
REPLACEMENTS = "replacements_for_corrupted_files"
PICTURE_ARCHIVE = re.compile(r"(train|test)(_\d+)?\.zip", re.IGNORECASE)
_PART = re.compile(r"(train|test)(_\d+)?(\.zip)?|train_info\.csv(\.zip)?", re.IGNORECASE)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_COLUMNS = ("new_filename", "artist", *DETAILS)


def parts_of_competition(folder: Path) -> list[str]:
    """Name what in ``folder`` comes from the competition, though its table may be missing."""
    return sorted(path.name for path in folder.iterdir() if _PART.fullmatch(path.name))


def competition(folder: Path, out: Path) -> Source:
    """List the competition's paintings: rows of ``all_data_info.csv`` whose ``new_filename`` is in the archives."""
    rows = _read_table(next(folder / name for name in TABLE_NAMES if (folder / name).is_file()))
    listing = list_folder(folder, out.resolve())
    originals, replacements, skipped = _find_pictures(listing)
    if not originals:
        raise MorelliError(
            f"{folder} has the competition's table but no pictures. Put train.zip and test.zip (or their unpacked "
            f"folders) beside it: morelli data download --out {folder}"
        )
    again = rows["id"].duplicated()
    missing = ~again & ~rows["file"].isin(originals.keys())
    nameless = ~again & ~missing & (rows["artist"] == "")
    unlisted = pd.DataFrame({"file": sorted(originals.keys() - set(rows["file"])), "artist": ""}, dtype=str)
    unlisted["id"] = _id(unlisted["file"])
    unusable = [
        left_out(rows[again], "listed a second time in the table"),
        left_out(rows[missing], "not in the archives"),
        left_out(rows[nameless], "no artist in the table"),
        left_out(unlisted, "no row in the table"),
        unreadable(listing),
    ]
    paintings = rows[~again & ~missing & ~nameless].reset_index(drop=True)
    found = [originals[name] for name in paintings["file"]]
    paintings["bytes"] = [file.bytes for file in found]
    whole = {name.rpartition(".")[0]: file for name, file in replacements.items()}
    versions = [
        f"{file.version} {whole[id_].version}" if id_ in whole else file.version
        for id_, file in zip(paintings["id"], found, strict=True)
    ]
    return Source(
        kind="competition",
        paintings=paintings,
        places=dict(zip(paintings["id"], (file.place for file in found), strict=True)),
        versions=dict(zip(paintings["id"], versions, strict=True)),
        left_out=pd.concat(unusable, ignore_index=True),
        replacements={id_: file.place for id_, file in whole.items()},
        skipped_files=skipped,
        understood=["The competition's files.", *passed_over(listing)],
    )


def _id(files: pd.Series) -> pd.Series:
    return files.str.replace(r"\.[^.]*$", "", regex=True)


def _read_table(path: Path) -> pd.DataFrame:
    rows = read_rows(path, _read_zipped(path) if path.suffix == ".zip" else path.read_bytes()).cells
    absent = [column for column in _COLUMNS if column not in rows.columns]
    if absent:
        raise MorelliError(
            f"{path} lacks the columns {', '.join(absent)}; it has {', '.join(rows.columns)}. "
            "It should be the competition's own all_data_info.csv: download it again."
        )
    if rows.empty:
        raise MorelliError(f"{path} lists no paintings. Download it again.")
    unsafe = rows.index[~rows["new_filename"].str.fullmatch(_SAFE_NAME.pattern)]
    if len(unsafe):
        line = int(unsafe[0])
        raise MorelliError(
            f'{path}, line {line + 2}: new_filename "{rows["new_filename"][line]}" is not a plain file name. '
            "It should be the competition's own all_data_info.csv: download it again."
        )
    rows = rows[list(_COLUMNS)].rename(columns={"new_filename": "file"})
    rows["id"] = _id(rows["file"])
    rows[list(DETAILS)] = rows[list(DETAILS)].replace("", None)
    rows["in_train"] = rows["in_train"].map({"True": True, "False": False})
    return rows


def _read_zipped(path: Path) -> bytes:
    inner = [entry.filename for entry in entries(path) if entry.filename.endswith(".csv")]
    if len(inner) != 1:
        raise MorelliError(f"{path} should hold one CSV file, but holds {len(inner)}. Download it again.")
    try:
        with Originals(path.parent) as originals, originals.open(Place(str(path), inner[0])) as stream:
            return stream.read()
    except DamagedEntryError as error:
        raise MorelliError(f"{path} is damaged ({error}). Download it again.") from error


def _find_pictures(listing: Listing) -> tuple[dict[str, File], dict[str, File], int]:
    """Return (pictures, their replacements, number of other files), each picture by its file name.

    A picture that is there twice is taken from an archive before a folder, and from the first of several.
    """
    originals: dict[str, File] = {}
    replacements: dict[str, File] = {}
    loose: dict[str, File] = {}
    skipped = 0
    for file in listing.files:
        at_top = "/" not in file.name
        is_replacement = any(part.startswith(REPLACEMENTS) for part in file.name.split("/"))
        if at_top and (PICTURE_ARCHIVE.fullmatch(file.name) or file.name == f"{REPLACEMENTS}.zip"):
            where = replacements if is_replacement else originals
            for member in list_archive(Path(file.place.path)).files:
                skipped += not _add(where, member)
        elif not at_top or file.suffix in SUFFIXES:
            skipped += not _add(replacements if is_replacement else loose, file)
    return loose | originals, replacements, skipped


def _add(found: dict[str, File], file: File) -> bool:
    if file.suffix not in SUFFIXES:
        return False
    found.setdefault(file.name.rpartition("/")[2], file)
    return True
