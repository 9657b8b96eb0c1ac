"""Which kind of source a path is."""

from collections.abc import Mapping
from pathlib import Path

from morelli._file_names import printable
from morelli.data.prepared import TABLE
from morelli.errors import MorelliError
from morelli.preparation.competition import PICTURE_ARCHIVE, TABLE_NAMES, competition, parts_of_competition
from morelli.preparation.folders import NoArtistsError, UnclearArtistsError, folders_of_artists
from morelli.preparation.listing import OTHER_ARCHIVES, list_archive
from morelli.preparation.source import Source
from morelli.preparation.table import SUFFIXES as TABLES
from morelli.preparation.table import table_of_paintings

LAYOUTS = """A source is one of:
  1. a folder with the competition's files: all_data_info.csv.zip, train.zip, test.zip (or train_1.zip, …) and
     replacements_for_corrupted_files.zip, as downloaded or unpacked;
  2. a folder, or a zip archive, with one folder per artist: SOURCE/Claude Monet/water-lilies.jpg; other layouts are
     found too, or told with --layout;
  3. a CSV file with the columns path and artist; paths are relative to the CSV."""


def read_source(path: Path, out: Path, layout: str | None, columns: Mapping[str, str]) -> Source:
    """List what ``path`` offers; ``out`` is never taken for a part of it.

    Raises:
        MorelliError: nothing there, none of the three kinds of source, or one with mistakes in it.
    """
    name = printable(str(path))
    try:
        if not path.exists():
            raise MorelliError(f"No source at {name}.\n{LAYOUTS}")
        if path.is_dir():
            return _read_folder(path, out, layout, columns)
        if path.suffix.lower() in TABLES:
            return table_of_paintings(path, out, columns)
        if path.suffix.lower() == ".zip":
            return _read_archive(path, out, layout)
    except OSError as error:
        raise MorelliError(
            f"{name} cannot be read: {printable(str(error))}. Mend that and run the same command again."
        ) from error
    suffix = path.suffix.lower()
    hint = " Save the table as CSV." if suffix in (".xlsx", ".xls", ".ods") else ""
    hint = " Unpack it, and pass the folder." if suffix in OTHER_ARCHIVES else hint
    raise MorelliError(f"{name} is not a source.{hint}\n{LAYOUTS}")


def _read_archive(path: Path, out: Path, layout: str | None) -> Source:
    try:
        return folders_of_artists(path, out, layout)
    except MorelliError as error:
        hint = ""
        if PICTURE_ARCHIVE.fullmatch(path.name):
            hint = (
                f"\nIf it is one of the competition's archives, pass the folder that holds it: {path.parent}\n{LAYOUTS}"
            )
        elif isinstance(error, NoArtistsError):
            tables = [file.name for file in list_archive(path).files if file.suffix in TABLES]
            hint = f"\nIf {tables[0]} in it names them, unpack the archive and pass that table." if tables else ""
        raise MorelliError(f"{error}{hint}") from error


def _read_folder(path: Path, out: Path, layout: str | None, columns: Mapping[str, str]) -> Source:
    if (path / TABLE).is_file():
        raise MorelliError(f"{path} is a prepared folder already. Give it to the other commands: --data {path}")
    if not layout and any((path / name).is_file() for name in TABLE_NAMES):
        return competition(path, out)
    try:
        source = folders_of_artists(path, out, layout)
    except NoArtistsError as error:
        refusals = []
        for table in _tables(path, "*.*", "*/*.*", "*/*/*.*"):
            try:
                source = table_of_paintings(table, out, columns)
            except MorelliError as refusal:
                refusals.append(refusal)
                continue
            source.understood.insert(0, f"Table: {table.relative_to(path)}, because the folders tell no artists.")
            return source
        raise MorelliError(_explained(path, error, refusals)) from error
    if tables := _tables(path, "*.*"):
        names = ", ".join(table.name for table in tables[:3])
        source.understood.append(f"Not used: {names}; a table of paintings can be a source itself.")
    return source


def _tables(folder: Path, *patterns: str) -> list[Path]:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if path.suffix.lower() in TABLES - {".txt"} and path.is_file()]


def _explained(path: Path, error: NoArtistsError, refusals: list[MorelliError]) -> str:
    parts = parts_of_competition(path)
    if parts:
        return (
            f"{path} has {', '.join(parts[:3])} but no {TABLE_NAMES[1]}, which names the artists. Get it with: "
            f"morelli data download --out {path} --only {TABLE_NAMES[1]}\nIf it is not the competition's: {error}\n"
            f"{LAYOUTS}"
        )
    hint = f"\nOr did you mean the table in it? {refusals[0]}" if refusals else ""
    layouts = "" if isinstance(error, UnclearArtistsError) else f"\n{LAYOUTS}"
    return f"{error}{hint}{layouts}"
