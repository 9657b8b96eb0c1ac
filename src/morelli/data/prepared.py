"""The prepared folder: the one format that every source of paintings is turned into.

``paintings.parquet`` has one row a painting, ``images/<2 hex>/<id>.jpg`` the shrunk RGB pictures, ``left_out.csv``
what could not be used and why, ``copies.csv`` what shows one picture (:mod:`morelli.data.copies`),
``spellings.csv`` how names were written. The table is written last, so a folder without it is unfinished.
"""

import hashlib
import shlex
from collections import defaultdict
from itertools import count
from pathlib import Path

import pandas as pd
import pyarrow as pa

from morelli._csv import read_csv
from morelli._files import UnreadableError
from morelli._tables import read_table, write_table
from morelli.data.artists import artist_key, one_spelling
from morelli.errors import MorelliError

FORMAT_VERSION = 2
_ABOUT_COPIES = ("hash", "copy_of")  # null until they are found
_EARLIER = {"1": _ABOUT_COPIES}  # what each earlier format lacks
TABLE = "paintings.parquet"
OPTIONS = "prepare.json"
LEFT_OUT = "left_out.csv"
SPELLINGS = "spellings.csv"
SAME_ARTIST = "the same artist"
"""What the list of spellings says of names that are one artist's."""
LEFT_OUT_COLUMNS = ["id", "file", "artist", "reason"]
_VERSION_KEY = b"morelli_prepared_format"
_NEVER_NULL = ("id", "file", "artist", "width", "height", "sha256", "status")
LEADS_OUT = r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)"
"""Matches a path that is not below its folder."""
_AGAIN = "Prepare the paintings again, into another folder: morelli data prepare SOURCE --out DIR"

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # unique; the competition's file name without its suffix
        ("file", pa.string()),  # relative to the folder, forward slashes
        ("artist", pa.string()),
        ("artist_group", pa.string()),  # train_only, train_and_test, test_only; null outside the competition
        ("in_train", pa.bool_()),  # null outside the competition
        ("title", pa.string()),
        ("style", pa.string()),
        ("genre", pa.string()),
        ("date", pa.string()),  # as written in the source, for example "c.1910"
        ("source", pa.string()),  # where the picture came from, for example "wikiart"
        ("width", pa.int32()),  # of the prepared picture, pixels
        ("height", pa.int32()),
        ("sha256", pa.string()),  # of the source file's bytes
        ("status", pa.string()),  # ok, repaired, smaller than said
        ("hash", pa.binary()),  # perceptual hashes of the picture and its mirror image, see morelli.data.hashes
        ("copy_of", pa.string()),  # the id that stands for a group of copies, its own included; null outside any
    ]
)


def picture_file(painting: str) -> str:
    """Where the picture of the painting with this id lies in the folder."""
    return f"images/{hashlib.sha256(painting.encode()).hexdigest()[:2]}/{painting}.jpg"


def write_paintings(folder: Path, paintings: pd.DataFrame) -> None:
    """Write the table of a prepared folder, which marks the folder as finished."""
    unknown = {column: None for column in _ABOUT_COPIES if column not in paintings}
    table = pa.Table.from_pandas(paintings.assign(**unknown), schema=SCHEMA, preserve_index=False)
    write_table(folder / TABLE, table, {_VERSION_KEY: str(FORMAT_VERSION).encode()})


def read_paintings(folder: str | Path) -> pd.DataFrame:
    """Read the table of a prepared folder: one row a painting, the columns of :data:`SCHEMA`.

    Artists have one spelling each, also in folders from before spellings were folded.

    Raises:
        MorelliError: the folder is missing, unfinished, empty, damaged, or of another format version.
    """
    folder = Path(folder)
    if not folder.exists():
        raise MorelliError(f"No prepared folder at {folder}. Make one with: morelli data prepare SOURCE --out {folder}")
    path = folder / TABLE
    if not path.is_file():
        command = shlex.join(["morelli", "data", "prepare", str(folder), "--out", str(_free(folder))])
        why = f"it is not a prepared folder. If your paintings are in it, prepare them first: {command}"
        if (folder / OPTIONS).is_file():
            why = f"its preparation did not finish. Run again: morelli data prepare SOURCE --out {folder}"
        raise MorelliError(f"{folder} has no {TABLE}: {why}")
    table = read_table(path, _AGAIN)
    version = (table.schema.metadata or {}).get(_VERSION_KEY, b"none").decode(errors="backslashreplace")
    lacking = _EARLIER.get(version, ())
    expected = pa.schema([column for column in SCHEMA if column.name not in lacking])
    if version not in (str(FORMAT_VERSION), *_EARLIER) or not table.schema.equals(expected):
        raise MorelliError(
            f"{path} has prepared format {version}; this morelli reads format {FORMAT_VERSION}. "
            f"Prepare the folder again: morelli data prepare SOURCE --out {folder}"
        )
    if table.num_rows == 0:
        raise MorelliError(f"{path} lists no paintings. Prepare the folder again from a source that has some.")
    paintings: pd.DataFrame = table.to_pandas()
    if empty := [column for column in _NEVER_NULL if table[column].null_count]:
        raise UnreadableError(f"{path} cannot be read (some paintings have no {empty[0]}). {_AGAIN}")
    if (twice := paintings["id"].duplicated()).any():
        raise UnreadableError(f"{path} cannot be read (it has {paintings['id'][twice].iloc[0]!r} twice). {_AGAIN}")
    if (outside := paintings["file"].str.contains(LEADS_OUT)).any():
        raise MorelliError(
            f"{path} names a file outside the folder ({paintings['file'][outside].iloc[0]!r}). Do not trust it."
        )
    return paintings.assign(**dict.fromkeys(lacking), artist=one_spelling(paintings["artist"]))


def read_left_out(folder: Path) -> pd.DataFrame:
    """What could not be used of a prepared folder's source, a row a painting; empty where there is no list.

    Raises:
        UnreadableError: the list is damaged.
    """
    path = folder / LEFT_OUT
    if not path.is_file():
        return pd.DataFrame(columns=LEFT_OUT_COLUMNS, dtype=str)
    remedy = "Prepare the folder again: morelli data prepare SOURCE --out " + str(folder)
    return read_csv(path, dict.fromkeys(LEFT_OUT_COLUMNS, str), str, remedy)


def read_spellings(folder: Path) -> pd.DataFrame:
    """``artist, written, paintings, judged``: what was made of the source's names; empty where there is no list.

    Raises:
        UnreadableError: the list is damaged.
    """
    columns = {"artist": str, "written": str, "paintings": int, "judged": str}
    path = folder / SPELLINGS
    return read_csv(path, columns, str, _AGAIN) if path.is_file() else pd.DataFrame(columns=list(columns))


def folded_names(folder: Path, paintings: pd.DataFrame) -> dict[str, list[str]]:
    """By artist of ``paintings``, the spellings of those who were written in several ways, in the folder or its source.

    Raises:
        UnreadableError: the table or the list of spellings is damaged.
    """
    listed = read_spellings(folder)
    written = {*listed["written"][listed["judged"] == SAME_ARTIST], *paintings["artist"]}
    written.update(read_table(folder / TABLE, _AGAIN)["artist"].to_pylist())
    artist_of = {artist_key(name): name for name in paintings["artist"].unique()}
    spellings = defaultdict(list)
    for name in sorted(written):
        if artist := artist_of.get(artist_key(name)):
            spellings[artist].append(name)
    return {artist: names for artist, names in sorted(spellings.items()) if len(names) > 1}


def _free(source: Path) -> Path:
    """A folder that is not there yet, for what is prepared from ``source``."""
    name = source.resolve().stem or "paintings"
    places = (Path("prepared") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(place for place in places if not place.exists())
