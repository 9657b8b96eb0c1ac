"""The part of a report that shows paintings: the map, the galleries, and the tiny pictures that both share."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from PIL import Image

from morelli.bench._report_neighbours import Neighbours, in_scorers_geometry, neighbours, plane_map
from morelli.bench.run_folder import RunFolder
from morelli.data.artists import artist_key
from morelli.data.dataset import PaintersByNumbers
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.models.network import Network, embed_with

Array = np.ndarray

ON_MAP: Final = 2000
"""Paintings on the map at most; more would be a smear, and their pictures too heavy."""
_THUMBNAIL: Final = 144  # pixels, the longer side
_QUALITY: Final = 55
_GROUPS: Final = (("Worst", 12), ("In the middle", 4), ("Best", 4))
_MARKED: Final = 3


@dataclass(frozen=True)
class Neighbour:
    """A painting found near a query: its row, whether it is by the same hand, and at which place it came."""

    row: int
    is_right: bool
    place: int


@dataclass(frozen=True)
class Query:
    """One gallery: a painting, what was found nearest to it, and the first by the same hand if that came later."""

    row: int
    rank: int
    found: list[Neighbour]
    later: Neighbour | None


@dataclass(frozen=True)
class UnseenPaintings:
    """What the template needs to show the unseen paintings.

    Attributes:
        texts: a row's title and date, as shown.
        artists: a row's artist.
        galleries: heading and queries, worst first.
        data: for the script: artists' names, paintings and their pictures.
        marked: artists coloured on the map at first: those told apart best, then worst.
        method: how the map was made.
        total: unseen paintings of the run; not all are on the map where there are more than :data:`ON_MAP`.
        mistaken: artist → the artist whose paintings are most often nearest in error.
    """

    texts: list[str]
    artists: list[str]
    galleries: list[tuple[str, list[Query]]]
    data: dict[str, Any]
    points: list[tuple[int, float, float]]
    marked: dict[str, int]
    method: str
    total: int
    mistaken: dict[str, str]


def unseen_paintings(run: RunFolder, data: Path, *, images: bool) -> UnseenPaintings:
    """Embed the unseen paintings of a run and lay them out.

    Args:
        run: a finished run.
        data: the prepared folder that it was made with.
        images: whether to read the pictures for show, too.

    Raises:
        MorelliError: the model, the split or a picture cannot be read.
    """
    network = Network.load(run.path)
    dataset = PaintersByNumbers(data, transform=network.backbone.transform())
    rows = Split.load(run.path / "split.json").rows(dataset.paintings, "unseen")
    if len(rows) < 2:
        raise MorelliError(f"{data} has {len(rows)} of the unseen paintings of {run.path}; it takes two.")
    embeddings = embed_with(network, dataset.only(list(rows["id"])), Accelerator().device)
    placed = in_scorers_geometry(embeddings, network.scorer)
    names = _one_spelling(rows["artist"])
    around = neighbours(placed, names)
    on_map = np.sort(np.random.default_rng(0).permutation(len(rows))[:ON_MAP])
    layout, method = plane_map(placed[torch.from_numpy(on_map)])
    galleries = _galleries(around, names)
    shown = sorted({*on_map.tolist(), *_rows_in(galleries)})
    return UnseenPaintings(
        texts=[_text(title, date) for title, date in zip(rows["title"], rows["date"], strict=True)],
        artists=list(names),
        galleries=galleries,
        data=_script_data(rows, names, around, shown, data if images else None),
        points=[(int(row), float(x), float(y)) for row, (x, y) in zip(on_map, layout, strict=True)],
        marked=_marked(around, names),
        method=method,
        total=len(rows),
        mistaken=_mistaken(around, names),
    )


def _one_spelling(artists: pd.Series) -> pd.Series:
    keys = artists.map(artist_key)
    return keys.map(dict(zip(keys[::-1], artists[::-1], strict=True)))


def _galleries(around: Neighbours, names: pd.Series) -> list[tuple[str, list[Query]]]:
    """The worst query of each artist, worst first; then queries from the middle and from the other end."""
    right = (names.to_numpy()[around.nearest] == names.to_numpy()[:, None]).sum(1)
    ranked = np.flatnonzero(around.rank > 0)
    order = ranked[np.lexsort((right[ranked], -around.rank[ranked]))]  # of equals, the one with fewer right ones
    (worst, most), (middle, some), (best, few) = _GROUPS
    parts = [(worst, _one_of_each(order, names)[:most])]
    rest = order[~np.isin(order, parts[0][1])]
    if len(rest) >= 2 * (some + few):
        start = (len(rest) - some) // 2
        parts += [(middle, rest[start : start + some]), (best, _one_of_each(rest[::-1], names)[:few])]
    return [(heading, [_query(int(row), around, names) for row in rows]) for heading, rows in parts if len(rows)]


def _one_of_each(rows: Array, names: pd.Series) -> Array:
    """The first row of each artist, in order."""
    kept: Array = rows[np.sort(np.unique(names.to_numpy()[rows], return_index=True)[1])]
    return kept


def _query(row: int, around: Neighbours, names: pd.Series) -> Query:
    own = names.iloc[row]
    nearest = enumerate(around.nearest[row].tolist(), 1)
    found = [Neighbour(other, bool(names.iloc[other] == own), place) for place, other in nearest]
    rank, right = int(around.rank[row]), int(around.right[row])
    later = None if any(one.is_right for one in found) else Neighbour(right, True, rank)
    return Query(row, rank, found, later)


def _rows_in(galleries: Sequence[tuple[str, Sequence[Query]]]) -> set[int]:
    queries = [query for _, part in galleries for query in part]
    found = {one.row for query in queries for one in [*query.found, *([query.later] if query.later else [])]}
    return found | {query.row for query in queries}


def _marked(around: Neighbours, names: pd.Series) -> dict[str, int]:
    """Artists with the highest and the lowest share of paintings whose nearest is right, and their colours' numbers."""
    has_other = around.rank > 0
    first = pd.Series(around.rank[has_other] == 1).groupby(names[has_other].to_numpy()).agg(["mean", "size"])
    enough = first[first["size"] >= min(5, first["size"].max())] if len(first) else first
    order = list(enough.sort_values(["mean", "size"], ascending=[False, False], kind="stable").index)
    if len(order) < 2 * _MARKED:
        return {name: number for number, name in enumerate(order)}
    return {name: number for number, name in enumerate([*order[:_MARKED], *order[-_MARKED:]])}


def _mistaken(around: Neighbours, names: pd.Series) -> dict[str, str]:
    """By artist: whose painting is most often the nearest, when it is not the artist's own."""
    frame = pd.DataFrame({"artist": names.to_numpy(), "nearest": names.to_numpy()[around.nearest[:, 0]]})
    wrong = frame[frame["artist"] != frame["nearest"]]
    if wrong.empty:
        return {}
    return {str(artist): str(other) for artist, other in wrong.groupby("artist")["nearest"].agg(_most).items()}


def _most(names: "pd.Series[str]") -> str:
    return str(names.value_counts(sort=False).sort_index().idxmax())


def _script_data(
    rows: pd.DataFrame, names: pd.Series, around: Neighbours, shown: Sequence[int], root: Path | None
) -> dict[str, Any]:
    artists = sorted(names.unique())
    number = {name: place for place, name in enumerate(artists)}
    pictures = {} if root is None else {row: _thumbnail(root / rows["file"].iloc[row]) for row in shown}
    visible = set(shown)
    paintings = {
        row: [
            number[names.iloc[row]],
            _text(rows["title"].iloc[row], rows["date"].iloc[row]),
            int(around.rank[row]),
            [other for other in around.nearest[row].tolist() if other in visible],
        ]
        for row in shown
    }
    return {"artists": artists, "paintings": paintings, "pictures": pictures}


def _text(title: Any, date: Any) -> str:
    words = ["Untitled" if pd.isna(title) or not str(title).strip() else str(title).strip()]
    if not pd.isna(date) and str(date).strip():
        words.append(str(date).strip().removesuffix(".0"))
    return ", ".join(words)


def _thumbnail(path: Path) -> str:
    """A tiny WebP, in base 64."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
            small = picture.convert("RGB")
    except OSError as error:
        raise MorelliError(f"The picture {path} cannot be read ({error}). Prepare the folder again.") from error
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
