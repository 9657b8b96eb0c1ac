"""Leakage: near-copies across the split's sides, and what became of artists' names; recorded in each run's metrics."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from morelli.bench.run_folder import METRICS, RunFolder
from morelli.data.copies import pictures_of
from morelli.data.known_artists import is_known_to
from morelli.data.prepared import folded_names
from morelli.data.splits import SIDES, Split
from morelli.preparation.attributions import unattributed

_SHOWN: Final = 4


def leakage(folder: Path, paintings: pd.DataFrame, split: Split, weights: str | None = None) -> dict[str, Any]:
    """What ``metrics.json`` keeps of a split of a prepared folder, so that whoever reads a table need not trust it.

    Returns:
        ``copies_across_sides``: for each picture that stands on several sides, be it saved again, smaller or mirrored,
        the side of each painting by its id. ``names_folded``: by artist, the spellings of those who were written in
        several ways. ``unattributed``: names of the split's artists that are no one artist's. ``known_to_weights``:
        artists who validate or are unseen, and whom the backbone's ``weights`` were trained on.
    """
    side_of = {painting: side for side in SIDES for painting in getattr(split, side)}
    used = paintings[paintings["id"].isin(side_of)]
    sides = used["id"].map(side_of)
    across = sides.groupby(pictures_of(used)).transform("nunique") > 1
    judged = used["artist"][sides.isin(["validation", "unseen"])].unique()
    groups = used[across].assign(side=sides).groupby(pictures_of(used[across]))
    return {
        "copies_across_sides": [dict(zip(rows["id"], rows["side"], strict=True)) for _, rows in groups],
        "names_folded": folded_names(folder, used),
        "unattributed": sorted(filter(unattributed, used["artist"].unique())),
        "known_to_weights": sorted(name for name in judged if is_known_to(weights, name)),
    }


def leakage_note(runs: Iterable[RunFolder]) -> str:
    """What tables and reports say of the finished runs' records; empty where none has one, as of earlier versions."""
    records = [run.metrics["leakage"] for run in runs if run.is_finished and "leakage" in run.metrics]
    if not records:
        return ""
    copies = {tuple(sorted(one)): one for record in records for one in record["copies_across_sides"]}
    folded = {artist: names for record in records for artist, names in record["names_folded"].items()}
    kept = dict.fromkeys(name for record in records for name in record["unattributed"])
    known = dict.fromkeys(name for record in records for name in record.get("known_to_weights", ()))
    found = {
        "near-copies across the split's sides": [
            " and ".join(f"{painting} in {side}" for painting, side in one.items()) for one in copies.values()
        ],
        "artists' names folded": [
            f"{artist} from {', '.join(name for name in names if name != artist)}" for artist, names in folded.items()
        ],
        "names of no one artist": list(kept),
    }
    if known:
        found["artists not trained on whom the backbone's weights were trained on"] = list(known)
    none = "; ".join(f"{what}: 0" for what, some in found.items() if not some)
    warnings = [f"Warning: {what}: {len(some)} ({_listed(some)})." for what, some in found.items() if some]
    return " ".join([*([f"{none[0].upper()}{none[1:]}."] if none else []), *warnings])


def _listed(some: Sequence[str]) -> str:
    more = [f"{len(some) - _SHOWN} more in {METRICS}"] if len(some) > _SHOWN else []
    return "; ".join([*some[:_SHOWN], *more])
