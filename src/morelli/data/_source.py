"""Where paintings come from: each kind of source is turned into one list of originals, before any is read."""

import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from morelli.data._archives import Place, is_clutter
from morelli.data.artists import artist_key, artist_keys, folded
from morelli.errors import MorelliError

# What a table may say of a painting besides its artist; the same names as in the prepared folder.
DETAILS = ("artist_group", "in_train", "title", "style", "genre", "date", "source")
_KNOWN_BY = ("paintings.parquet", "prepare.json")


LEFT_OUT_COLUMNS = ["id", "file", "artist", "reason"]


@dataclass
class Source:
    """Everything that a source offers.

    ``paintings`` has the columns ``id, file, artist, bytes`` and :data:`DETAILS`; ``places`` and ``replacements`` tell
    where each id's picture lies, and a whole version of it in case it is truncated; ``left_out`` lists what cannot be
    used already now, with the columns :data:`LEFT_OUT_COLUMNS`.
    """

    kind: str
    paintings: pd.DataFrame
    places: dict[str, Place]
    left_out: pd.DataFrame
    replacements: dict[str, Place] = field(default_factory=dict)
    skipped_files: int = 0

    def fingerprint(self) -> str:
        """Hash of all that is offered: the tables' contents, the files' names and sizes; not where the source lies."""
        digest = hashlib.sha256(repr(sorted(self.replacements)).encode())
        for table in (self.paintings, self.left_out):
            digest.update(table.to_csv(index=False).encode())
        return digest.hexdigest()

    def choose(self, only_artists: Sequence[str], max_per_artist: int | None, limit: int | None) -> "Source":
        """Keep some artists, some paintings of each, some paintings in all: always the same ones.

        Which paintings of an artist are kept follows from a hash of their ids; ``limit`` goes artist by artist, in
        alphabetical order, so that a small sample still has several paintings by one hand.
        """
        wanted = {artist_key(name) for name in only_artists}
        paintings, left_out = self.paintings, self.left_out
        if wanted:
            paintings = paintings[paintings["artist"].map(artist_key).isin(wanted)]
            left_out = left_out[left_out["artist"].map(artist_key).isin(wanted)]
        order = pd.DataFrame({"key": artist_keys(paintings["artist"]), "rank": paintings["id"].map(_hash)})
        order = order.sort_values(["key", "rank"])
        if max_per_artist is not None:
            order = order.groupby("key").head(max_per_artist)
        kept = order.index[:limit].sort_values()
        return replace(self, paintings=paintings.loc[kept].reset_index(drop=True), left_out=left_out)


def left_out(rows: pd.DataFrame, reason: str) -> pd.DataFrame:
    """Give the rows, which have the columns ``id, file, artist``, a reason for leaving them out."""
    return rows.assign(reason=reason)[LEFT_OUT_COLUMNS]


def read_rows(path: Path, content: bytes) -> pd.DataFrame:
    """Read the bytes of the CSV at ``path``: every cell as text, without spaces around it, and empty where none is.

    Raises:
        MorelliError: empty, not UTF-8, or rows that do not fit the header.
    """
    try:
        rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError as error:
        raise MorelliError(f"{path} is empty. It needs a header and one row a painting.") from error
    except UnicodeDecodeError as error:
        raise MorelliError(f"{path} is not encoded in UTF-8 ({error}). Save it as CSV UTF-8.") from error
    except ValueError as error:
        raise MorelliError(f"{path} cannot be read as a CSV ({error}). Quote cells that hold a comma.") from error
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes a first cell too many for the row's name
        raise MorelliError(
            f"{path} has rows with more cells than its header has columns ({', '.join(rows.columns)}), "
            f"such as line 2. Quote cells that hold a comma."
        )
    return rows.rename(columns=str.strip).map(str.strip)


def walk(folder: Path, ignored: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield (path relative to ``folder``, entry) of every file that is not clutter, in a fixed order.

    ``ignored`` (the folder being written) and prepared folders are not entered; links to folders are not followed.
    """
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        with os.scandir(folder / inner) as scanned:
            found = sorted(scanned, key=lambda entry: entry.name)
        folders = []
        for entry in found:
            name = f"{inner}/{entry.name}" if inner else entry.name
            if is_clutter(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if Path(entry.path).resolve() != ignored and not _is_prepared(entry.path):
                    folders.append(name)
            elif entry.is_file():
                yield name, entry
        waiting.extend(reversed(folders))


def _is_prepared(folder: str) -> bool:
    return any(Path(folder, name).exists() for name in _KNOWN_BY)


def id_from_path(path: str) -> str:
    """Derive an id from a relative path: readable, unique, safe on every file system, the same everywhere."""
    stem = path.rpartition("/")[2].rpartition(".")[0] or path
    readable = re.sub(r"[^a-z0-9]+", "-", folded(stem)).strip("-")[:40]
    return f"{readable}-{_hash(path)[:12]}".lstrip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
