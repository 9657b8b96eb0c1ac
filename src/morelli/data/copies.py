"""Copies in a prepared folder: one picture saved again, smaller, mirrored, cropped or recoloured a little.

A copy says nothing of the hand: where copies count, whoever recognises pictures seems to recognise painters. So each
painting's hash (:mod:`morelli.data.hashes`) is kept in the table, close hashes are followed up in the pictures, and
``copy_of`` names the group that a painting belongs to.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from morelli._csv import write_csv
from morelli._files import UnwritableError
from morelli._progress import progress_bar
from morelli.data.artists import artist_key
from morelli.data.hashes import BITS, both_dhashes, close_pairs, signs_of
from morelli.data.prepared import read_paintings, write_paintings
from morelli.errors import MorelliError

Array = np.ndarray

COPIES: Final = "copies.csv"
_CANDIDATE: Final = 56
"""Pictures whose hashes differ in at most so many bits are compared: over 99 % of copies that were cropped by 2 % at
each side or saved at a third of their size, and one in 70,000 pairs of different paintings."""
_ALIKE: Final = 0.7  # correlation of 16 × 16 thumbnails from which a closer look is taken: most candidates have less
_COARSE: Final = 16
_NOISE: Final = 8.0  # length of a coarse thumbnail, centred: half a level in every pixel
_PAIRS_AT_ONCE: Final = 1 << 16
_LONG_ENOUGH: Final = 2048  # pictures from which the work shows a progress bar
_KEPT_THUMBNAILS: Final = 8192  # 100 MB


@dataclass(frozen=True)
class CopyCounts:
    """What copies come to among some paintings.

    Attributes:
        copies: paintings that show what another one by the same artist shows.
        pairs: pairs of such paintings: what a copy would add to the same-artist pairs.
        shared: pictures that stand under several artists.
    """

    copies: int
    pairs: int
    shared: int

    def of_side(self) -> dict[str, int]:
        """What stands beside the measures of one side's paintings."""
        return {"copies": self.copies, "copy_pairs": self.pairs}


def paintings_and_copies(folder: str | Path) -> pd.DataFrame:
    """Read a prepared folder's table with its copies known; one of an older format gets them found, and kept, now."""
    paintings = read_paintings(folder)
    if paintings["hash"].notna().all():
        return paintings
    paintings = with_copies(Path(folder), paintings)
    with suppress(UnwritableError):  # a folder that cannot be written is as good, only found again the next time
        write_copies(Path(folder), paintings)
        write_paintings(Path(folder), paintings)
    return paintings


def with_copies(folder: Path, paintings: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns ``hash`` and ``copy_of``; hashes that are there already are kept."""
    paths = [folder / file for file in paintings["file"]]
    hashes = list(paintings["hash"]) if "hash" in paintings else _hashes_of_before(folder, paintings)
    missing = [place for place, one in enumerate(hashes) if not isinstance(one, bytes)]
    with progress_bar(hidden=len(missing) < _LONG_ENOUGH) as progress:
        for place in progress.track(missing, description="Hashing"):
            hashes[place] = both_dhashes(_opened(paths[place]))
    table = paintings.assign(hash=pd.Series(hashes, paintings.index, dtype=object))
    groups = _groups(table, paths)
    preferred = _preferred(table)
    first = preferred["id"].groupby(groups.loc[preferred.index]).transform("first").reindex(table.index)
    return table.assign(copy_of=first.astype(object).where(groups.duplicated(keep=False), None))


def _hashes_of_before(folder: Path, paintings: pd.DataFrame) -> list[bytes | None]:
    """Those that the folder's table had before pictures were added; None for others."""
    known: dict[tuple[str, str], bytes] = {}
    with suppress(MorelliError):  # a new folder has none
        before = read_paintings(folder)
        known = dict(zip(zip(before["id"], before["sha256"], strict=True), before["hash"], strict=True))
    return [known.get(file) for file in zip(paintings["id"], paintings["sha256"], strict=True)]


def write_copies(folder: Path, paintings: pd.DataFrame) -> None:
    """List the paintings that are copies of one another, group by group, in ``copies.csv``."""
    listed = paintings[paintings["copy_of"].notna()].sort_values(["copy_of", "id"])[["copy_of", "id", "artist"]]
    write_csv(folder / COPIES, listed)


def pictures_of(paintings: pd.DataFrame) -> pd.Series:
    """What each painting shows: the same value for copies of one another, and for files with the same bytes."""
    shown = paintings["id"].copy()
    for column in ("sha256", "copy_of"):
        if column in paintings:
            shown = paintings[column].where(paintings[column].notna(), shown)
    return shown


def without_copies(paintings: pd.DataFrame) -> pd.DataFrame:
    """One painting of each picture and artist, in the table's order and with its index.

    The largest stays, of equals the one with the shortest id; of the competition's, a test picture before a training
    picture.
    """
    rows = _preferred(paintings)
    seen = pd.DataFrame({"picture": pictures_of(rows), "artist": rows["artist"].map(artist_key)})
    return paintings[~seen.duplicated().reindex(paintings.index)]


def is_shared(paintings: pd.DataFrame) -> pd.Series:
    """Which paintings show a picture that stands under several artists: it can speak for none of them."""
    keys = paintings["artist"].map(artist_key)
    return keys.groupby(pictures_of(paintings)).transform("nunique") > 1


def count_copies(paintings: pd.DataFrame, used: pd.Series | None = None) -> CopyCounts:
    """Count the copies among ``paintings``, or those that paintings with the ids ``used`` have among them."""
    pictures = pictures_of(paintings)
    groups = pd.DataFrame({"picture": pictures, "artist": paintings["artist"].map(artist_key)})
    shared = int((groups.groupby("picture")["artist"].nunique() > 1).sum())
    if used is not None:
        groups = groups.merge(groups[paintings["id"].isin(used)].drop_duplicates())
    sizes = groups.value_counts()
    return CopyCounts(int((sizes - 1).sum()), int((sizes * (sizes - 1) // 2).sum()), shared)


def _preferred(paintings: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order in which they would stand for their copies."""
    order = pd.DataFrame({"id": paintings["id"], "length": paintings["id"].astype(str).str.len()})
    order["trained"] = paintings["in_train"].eq(True) if "in_train" in paintings else False
    has_size = {"width", "height"} <= set(paintings)
    order["pixels"] = -(paintings["width"] * paintings["height"]) if has_size else 0
    return paintings.loc[order.sort_values(["trained", "pixels", "length", "id"]).index]


def _groups(paintings: pd.DataFrame, paths: list[Path]) -> pd.Series:
    """A number for each painting, the same for copies of one another."""
    from scipy.cluster.hierarchy import DisjointSet  # with the next hundreds of modules, which only this needs

    from morelli.data.same_picture import same_picture, thumbnail

    files = pd.Series(pd.factorize(paintings["sha256"].fillna(paintings["id"]))[0], paintings.index)
    first = np.flatnonzero(~files.duplicated())
    same = DisjointSet(range(len(first)))
    shorter = paintings[["width", "height"]].min(axis=1).iloc[first].tolist()
    paths = [paths[place] for place in first]
    thumbnails = lru_cache(_KEPT_THUMBNAILS)(lambda place: thumbnail(_opened(paths[place])))
    for a, b, is_mirrored in _alike(signs_of(list(paintings["hash"].iloc[first])), paths):
        if not same.connected(a, b):
            other = thumbnails(b)[:, ::-1] if is_mirrored else thumbnails(b)
            if same_picture(thumbnails(a), other, min(shorter[a], shorter[b])):
                same.merge(a, b)
    roots = np.array([same[place] for place in range(len(first))])
    return pd.Series(roots[files], paintings.index)


def _alike(signs: Array, paths: list[Path]) -> list[tuple[int, int, bool]]:
    """Pairs of places whose hashes are close and whose coarse thumbnails agree, the most alike first."""
    values = np.full((len(paths), _COARSE, _COARSE), np.nan, np.float16)  # read when first asked for
    upright, mirrored = signs[:, :BITS], signs[:, BITS:]
    found: list[tuple[float, int, int, bool]] = []
    with progress_bar(hidden=len(paths) < _LONG_ENOUGH) as progress:
        for side, is_mirrored in ((upright, False), (mirrored, True)):
            for pairs in progress.track(close_pairs(side, upright, _CANDIDATE), description="Comparing"):
                for start in range(0, len(pairs), _PAIRS_AT_ONCE):
                    block = pairs[start : start + _PAIRS_AT_ONCE]
                    for place in (wanted := np.unique(block))[np.isnan(values[wanted, 0, 0])]:
                        values[place] = _coarse(_opened(paths[place]))
                    a, b = values[block[:, 0]], values[block[:, 1]]
                    likeness = np.einsum("nyx,nyx->n", a, b[:, :, ::-1] if is_mirrored else b, dtype=np.float32)
                    alike = likeness >= _ALIKE
                    close = zip(likeness[alike].tolist(), *block[alike].T.tolist(), strict=True)
                    found += [(-one, a, b, is_mirrored) for one, a, b in close]
    return [(a, b, is_mirrored) for _, a, b, is_mirrored in sorted(found)]


def _coarse(image: Image.Image) -> Array:
    """A thumbnail (16, 16), centred and of length 1; that of a flat picture is 0."""
    pixels = np.asarray(image.convert("L").resize((_COARSE, _COARSE), Image.Resampling.BOX), np.float32)
    pixels = pixels - pixels.mean()
    length = float(np.sqrt(np.square(pixels).sum()))
    coarse: Array = pixels / length if length > _NOISE else np.zeros_like(pixels)
    return coarse


def _opened(path: Path) -> Image.Image:
    """The picture, or as much of it as a thumbnail needs: a JPEG is decoded at a fraction of its size."""
    from morelli.data.same_picture import SIDE

    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            image.load()
            return image
    except OSError as error:
        raise MorelliError(
            f"The picture {path} cannot be read ({error}). Prepare its folder again: morelli data prepare SOURCE"
        ) from error
