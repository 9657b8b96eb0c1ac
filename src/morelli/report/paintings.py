"""The paintings of a report: the map, the galleries, and the tiny pictures that both share."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from PIL import Image

from morelli.data.dataset import PaintersByNumbers
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.evaluation.plane_map import plane_map
from morelli.models.network import Network, embed_with
from morelli.report.galleries import Query, galleries_of
from morelli.report.neighbours import Neighbours, in_scorers_geometry, neighbours

ON_MAP: Final = 2000
"""Paintings on the map at most; more would be a smear, and their pictures too heavy."""
_THUMBNAIL: Final = (144, 144)  # pixels at most
_QUALITY: Final = 55
_MARKED: Final = 3


@dataclass(frozen=True)
class UnseenPaintings:
    """What the template needs to show the unseen paintings.

    Attributes:
        texts: a row's title and date, as shown.
        artists: a row's artist.
        galleries: heading and queries, worst first.
        data: for the script: artists' names, paintings and their pictures.
        points: row, x and y of the paintings on the map; not all are on it where there are more than :data:`ON_MAP`.
        marked: artists coloured on the map at first: those told apart best, then worst.
        method: how the map was made.
        total: unseen paintings of the run.
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


def unseen_paintings(run: Path, data: Path, *, images: bool) -> UnseenPaintings:
    """Embed the unseen paintings of a run and lay them out.

    Args:
        run: the folder of a finished run.
        data: the prepared folder that it was made with.
        images: whether to read the pictures for show, too.

    Raises:
        MorelliError: the model, the split or a picture cannot be read.
    """
    network = Network.load(run)
    dataset = PaintersByNumbers(data, transform=network.backbone.transform())
    rows = Split.load(run / "split.json").rows(dataset.paintings, "unseen")
    if len(rows) < 2:
        raise MorelliError(f"{data} has {len(rows)} of the unseen paintings of {run}; it takes two.")
    embeddings = embed_with(network, dataset.only(list(rows["id"])), Accelerator().device)
    placed = in_scorers_geometry(embeddings, network.scorer)
    names = rows["artist"]
    around = neighbours(placed, names)
    on_map = np.sort(np.random.default_rng(0).permutation(len(rows))[:ON_MAP])
    layout, method = plane_map(placed[torch.from_numpy(on_map)])
    galleries = galleries_of(around, names)
    shown = {*on_map.tolist(), *(row for _, queries in galleries for query in queries for row in query.rows)}
    texts = [_text(title, date) for title, date in zip(rows["title"], rows["date"], strict=True)]
    return UnseenPaintings(
        texts=texts,
        artists=list(names),
        galleries=galleries,
        data=_script_data(names, texts, around, shown)
        | {"pictures": {row: _thumbnail(data / rows["file"].iloc[row]) for row in sorted(shown)} if images else {}},
        points=[(int(row), float(x), float(y)) for row, (x, y) in zip(on_map, layout, strict=True)],
        marked=_marked(around, names),
        method=method,
        total=len(rows),
        mistaken=_mistaken(around, names),
    )


def _marked(around: Neighbours, names: pd.Series) -> dict[str, int]:
    """Artists with the highest and the lowest share of paintings whose nearest is right, and their colours' numbers."""
    has_other = around.rank > 0
    first = pd.Series(around.rank[has_other] == 1).groupby(names[has_other].to_numpy()).agg(["mean", "size"])
    enough = first[first["size"] >= min(5, first["size"].max())] if len(first) else first
    order = list(enough.sort_values(["mean", "size"], ascending=[False, False], kind="stable").index)
    if len(order) > 2 * _MARKED:
        order = [*order[:_MARKED], *order[-_MARKED:]]
    return {name: number for number, name in enumerate(order)}


def _mistaken(around: Neighbours, names: pd.Series) -> dict[str, str]:
    """By artist: whose painting is most often the nearest, when it is not the artist's own."""
    nearest = pd.Series(names.to_numpy()[around.nearest[:, 0]], names.index)
    is_wrong = nearest != names
    by_artist = nearest[is_wrong].groupby(names[is_wrong])
    return {str(artist): str(others.mode().iloc[0]) for artist, others in by_artist}  # of equals, the first by name


def _script_data(names: pd.Series, texts: list[str], around: Neighbours, shown: Iterable[int]) -> dict[str, Any]:
    number = {name: place for place, name in enumerate(sorted(names.unique()))}
    named = sorted({*shown, *around.nearest[sorted(shown)].ravel().tolist()})  # neighbours may be off the map
    paintings = {
        row: [number[names.iloc[row]], texts[row], int(around.rank[row]), around.nearest[row].tolist()] for row in named
    }
    return {"artists": list(number), "paintings": paintings}


def _text(title: Any, date: Any) -> str:
    words = ["Untitled" if pd.isna(title) or not str(title).strip() else str(title).strip()]
    if not pd.isna(date) and str(date).strip():
        words.append(str(date).strip().removesuffix(".0"))
    return ", ".join(words)


def _thumbnail(path: Path) -> str:
    """A tiny WebP, in base 64."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", _THUMBNAIL)
            small = picture.convert("RGB")
    except OSError as error:
        raise MorelliError(f"The picture {path} cannot be read ({error}). Prepare the folder again.") from error
    small.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
