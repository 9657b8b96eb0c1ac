"""Describe a prepared folder in numbers: artists, paintings, sizes, copies, what was left out."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from morelli.data.copies import count_copies, paintings_and_copies
from morelli.data.prepared import read_left_out

_SHOWN = 5


def count_reasons(folder: Path) -> dict[str, int]:
    """Count why paintings were left out of a prepared folder, most frequent first; details in brackets are dropped."""
    reasons = read_left_out(folder)["reason"]
    return dict(Counter(reason.partition(" (")[0] for reason in reasons).most_common())


def describe(folder: Path) -> dict[str, Any]:
    """Describe a prepared folder in plain values, ready for JSON."""
    paintings = paintings_and_copies(folder)
    copies = count_copies(paintings)
    per_artist = paintings["artist"].value_counts(sort=False).sort_index().sort_values(kind="stable", ascending=False)
    shorter = paintings[["width", "height"]].min(axis=1)
    groups = paintings.groupby("artist_group")["artist"].agg(artists="nunique", paintings="size")
    return {
        "artists": len(per_artist),
        "paintings": len(paintings),
        "artists_with_one_painting": int((per_artist == 1).sum()),
        "paintings_per_artist": {"median": float(per_artist.median()), "mean": round(float(per_artist.mean()), 1)},
        "groups": {name: _whole(row) for name, row in groups.iterrows()},
        "sources": _whole(paintings["source"].value_counts()),
        "shorter_side": _whole(shorter.agg(["min", "median", "max"])),
        "status": _whole(paintings["status"].value_counts()),
        "copies": {"of_one_artist": copies.copies, "under_several_artists": copies.shared},
        "left_out": count_reasons(folder),
        "largest_artists": _whole(per_artist.head(_SHOWN)),
        "smallest_artists": _whole(per_artist.tail(_SHOWN)),
    }


def _whole(numbers: pd.Series) -> dict[str, int]:
    return {str(name): int(number) for name, number in numbers.items()}
