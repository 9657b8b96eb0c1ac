"""Where paintings come from: each kind of source is turned into one list of originals, before any is read."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from morelli.data.artists import artist_key, artist_keys, folded
from morelli.preparation.archives import Place

# What a table may say of a painting besides its artist; the same names as in the prepared folder.
DETAILS = ("artist_group", "in_train", "title", "style", "genre", "date", "source")

LEFT_OUT_COLUMNS = ["id", "file", "artist", "reason"]


@dataclass
class Source:
    """Everything that a source offers.

    ``paintings`` has the columns ``id, file, artist, bytes`` and :data:`DETAILS`; ``places`` and ``replacements`` tell
    where each id's picture lies, and a whole version of it in case it is truncated; ``versions`` what changes when a
    picture does; ``left_out`` lists what cannot be used already now, with the columns :data:`LEFT_OUT_COLUMNS`;
    ``understood`` says in a few lines what was guessed and what is no part of it.
    """

    kind: str
    paintings: pd.DataFrame
    places: dict[str, Place]
    versions: dict[str, str]
    left_out: pd.DataFrame
    replacements: dict[str, Place] = field(default_factory=dict)
    skipped_files: int = 0
    understood: list[str] = field(default_factory=list)

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
        paintings = paintings.loc[kept].reset_index(drop=True)
        versions = {id_: self.versions[id_] for id_ in paintings["id"]}
        return replace(self, paintings=paintings, versions=versions, left_out=left_out)


def left_out(rows: pd.DataFrame, reason: str) -> pd.DataFrame:
    """Give the rows, which have the columns ``id, file, artist``, a reason for leaving them out."""
    return rows.assign(reason=reason)[LEFT_OUT_COLUMNS]


def id_from_path(path: str) -> str:
    """Derive an id from a relative path: readable, unique, safe on every file system, the same everywhere."""
    stem = path.rpartition("/")[2].rpartition(".")[0] or path
    readable = re.sub(r"[^a-z0-9]+", "-", folded(stem)).strip("-")[:40]
    return f"{readable}-{_hash(path)[:12]}".lstrip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
