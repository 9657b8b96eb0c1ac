"""Which kind of source a path is."""

from pathlib import Path

from morelli.data._competition import TABLE_NAMES, competition, parts_of_competition
from morelli.data._own_pictures import csv_of_paths, folder_per_artist
from morelli.data._source import Source
from morelli.errors import MorelliError

LAYOUTS = """A source is one of:
  1. a folder with the competition's files: all_data_info.csv.zip, train.zip, test.zip (or train_1.zip, …) and
     replacements_for_corrupted_files.zip, as downloaded or unpacked;
  2. a folder with one folder per artist: SOURCE/Claude Monet/water-lilies.jpg;
  3. a CSV file with the columns path and artist; paths are relative to the CSV."""


def read_source(path: Path, out: Path, artist_column: str, path_column: str) -> Source:
    """List what ``path`` offers; ``out`` is never taken for a part of it.

    Raises:
        MorelliError: nothing there, none of the three kinds of source, or one with mistakes in it.
    """
    if not path.exists():
        raise MorelliError(f"No source at {path}.\n{LAYOUTS}")
    try:
        if path.is_dir():
            return _read_folder(path, out)
        if path.suffix.lower() == ".csv":
            return csv_of_paths(path, artist_column, path_column)
    except OSError as error:
        raise MorelliError(f"{path} cannot be read: {error}. Mend that and run the same command again.") from error
    if path.suffix.lower() == ".zip":
        raise MorelliError(f"{path} is one archive; pass the folder that holds it: {path.parent}\n{LAYOUTS}")
    raise MorelliError(f"{path} is not a source.\n{LAYOUTS}")


def _read_folder(path: Path, out: Path) -> Source:
    if any((path / name).is_file() for name in TABLE_NAMES):
        return competition(path, out)
    parts = parts_of_competition(path)
    if parts:
        raise MorelliError(
            f"{path} has {', '.join(parts[:3])} but no {TABLE_NAMES[1]}, which names the artists. "
            f"Get it with: morelli data download --out {path} --only {TABLE_NAMES[1]}\n{LAYOUTS}"
        )
    try:
        return folder_per_artist(path, out)
    except MorelliError as error:
        tables = sorted(path.glob("*.csv"))
        hint = f"Or did you mean the table in it: {tables[0]}\n" if tables else ""
        raise MorelliError(f"{error}\n{hint}{LAYOUTS}") from error
