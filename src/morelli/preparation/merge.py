"""Merge prepared folders, to train on the paintings of several collections together."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from morelli._csv import write_csv
from morelli._files import written_whole
from morelli.data.artists import artist_key, one_spelling
from morelli.data.copies import count_copies, paintings_and_copies, with_copies, write_copies
from morelli.data.prepared import (
    FORMAT_VERSION,
    SPELLINGS,
    TABLE,
    picture_file,
    read_paintings,
    read_spellings,
    write_paintings,
)
from morelli.errors import MorelliError
from morelli.preparation.journal import claim
from morelli.preparation.naming import spellings


@dataclass(frozen=True)
class MergeSummary:
    """What a joined folder came to.

    Attributes:
        paintings, artists: how many it holds.
        shared_artists: artists who stand in several of the folders.
        same_files: paintings left out because the same file, byte for byte, came from an earlier folder.
        copies: paintings that are copies of another one, which a bench leaves out.
        sources: the number of paintings of each source.
    """

    paintings: int
    artists: int
    shared_artists: tuple[str, ...]
    same_files: int
    copies: int
    sources: dict[str, int]

    def text(self, out: Path) -> str:
        """What the command prints."""
        lines = [f"{out}: {self.paintings:,} paintings by {self.artists:,} artists."]
        lines += [f"source {name}: {count:,} paintings" for name, count in self.sources.items()]
        if self.shared_artists:
            lines.append(f"Artists in several of the folders, {len(self.shared_artists):,}:")
            lines += [f"  {name}" for name in self.shared_artists]
        if self.same_files:
            lines.append(f"The same file in several of the folders, taken once: {self.same_files:,}")
        if self.copies:
            lines.append(f"Copies of another painting, left out by a bench: {self.copies:,} ({out}/copies.csv)")
        return "\n".join(lines)


def merge(folders: Sequence[str | Path], out: str | Path) -> MergeSummary:
    """Join prepared folders into the prepared folder ``out``.

    Artists are the same person by :func:`~morelli.data.artists.artist_key`, and go by one spelling.
    Paintings that name no source get their folder's name as one, so that training can tell the collections apart. The
    competition's groups are kept; where some folder has them, the paintings of the others are for training.

    Args:
        folders: two or more prepared folders.
        out: the folder to write. Pictures are linked where the disk allows it, else copied.

    Raises:
        MorelliError: fewer than two folders, one that is not prepared, or ``out`` holds something else.
    """
    places = [Path(folder) for folder in folders]
    out = Path(out)
    if len({place.resolve() for place in places}) < 2:
        raise MorelliError("It takes two different prepared folders to join: morelli data merge ONE OTHER --out BOTH")
    joined = pd.concat([_table(*pair) for pair in zip(places, _names(places), strict=True)], ignore_index=True)
    names, joined["artist"] = joined["artist"], one_spelling(joined["artist"])
    first_of_file = ~joined.duplicated("sha256")
    kept = _with_unique_ids(joined[first_of_file].reset_index(drop=True))
    if (outside := kept["artist_group"].isna()).any() and not outside.all():  # whom the competition does not know
        kept["artist_group"] = kept["artist_group"].fillna("train_only")
        kept["in_train"] = kept["in_train"].astype(object).mask(outside, True)
    digest = hashlib.sha256(joined[["id", "artist", "source", "sha256"]].to_csv().encode()).hexdigest()
    claim(out, {"format": FORMAT_VERSION, "kind": "merge", "fingerprint": digest}, {})
    if not (out / TABLE).is_file():
        for origin, file in zip(kept["origin"], kept["file"], strict=True):
            _place(Path(origin), out / file)
        table = with_copies(out, kept.drop(columns=["folder", "origin"]))
        write_copies(out, table)
        write_csv(out / SPELLINGS, _spellings(places, names))
        write_paintings(out, table)
    folders_of = joined.groupby("artist")["folder"].nunique()
    return MergeSummary(
        paintings=len(kept),
        artists=len(folders_of),
        shared_artists=tuple(folders_of.index[folders_of > 1]),
        same_files=int((~first_of_file).sum()),
        copies=count_copies(read_paintings(out)).copies,
        sources={str(name): int(count) for name, count in kept["source"].value_counts().items()},
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of the folders above as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    by_depth = (["/".join(one[-depth:]) for one in parts] for depth in range(1, max(map(len, parts)) + 1))
    return next(names for names in by_depth if len(set(names)) == len(set(parts)))


def _table(folder: Path, name: str) -> pd.DataFrame:
    """The folder's table, with where it and each picture lie; ``name`` is the source of paintings that name none."""
    paintings = paintings_and_copies(folder)
    origin = [str(folder / file) for file in paintings["file"]]
    return paintings.assign(folder=str(folder.resolve()), origin=origin, source=paintings["source"].fillna(name))


def _spellings(folders: Sequence[Path], names: pd.Series) -> pd.DataFrame:
    """What the folders' lists say of names, and how these differ between the folders, with ``names`` in all of them."""
    artist_of = {artist_key(name): name for name in one_spelling(names)}
    listed = pd.concat([spellings(names), *map(read_spellings, folders)])
    listed["artist"] = [artist_of.get(artist_key(name), name) for name in listed["artist"]]
    return listed.drop_duplicates(["artist", "written", "judged"]).sort_values(["artist", "written"])


def _with_unique_ids(joined: pd.DataFrame) -> pd.DataFrame:
    """Number the ids that stand in several folders, and name the files anew after them."""
    turn = joined.groupby("id").cumcount()
    ids = joined["id"].where(turn == 0, joined["id"] + "-" + (turn + 1).astype(str))
    if ids.duplicated().any():  # such a number was taken already
        ids = joined["id"] + "-" + joined["sha256"].str[:8]
    return joined.assign(id=ids, file=ids.map(picture_file))


def _place(origin: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_size == origin.stat().st_size:
        return
    with written_whole(target) as temporary:
        try:
            temporary.unlink()
            os.link(origin, temporary)
        except OSError:  # another disk, or one without links
            shutil.copyfile(origin, temporary)
