"""The runs of a report: their names as a reader tells them apart, their baselines, configs and splits."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from morelli.bench.run_folder import CONFIG, RunFolder
from morelli.bench.tables import table
from morelli.data.artists import one_spelling
from morelli.data.splits import SIDES, Split
from morelli.errors import MorelliError

_NAMES: Final = {"backbone": "", "pooling": "", "pictures": "", "recipe": "recipe ", "fold": "fold ", "seed": "seed "}


@dataclass(frozen=True)
class Side:
    """The artists on one side of a split, and how many paintings they have there."""

    name: str
    artists: list[str]
    paintings: int


@dataclass(frozen=True)
class Shown:
    """A finished run as the report shows it.

    Attributes:
        run: its folder.
        title: its objective.
        subtitle: what else tells it from the other runs.
        baseline: the frozen run on the same backbone and fold, unless it is that itself.
        validation_auc: pair AUC on validation artists; −1 where it was not measured.
        config: the text of its config.
        split: its sides; None where the run has no split.json.
        split_of: the title and subtitle of an earlier run with the same split.
    """

    run: RunFolder
    title: str
    subtitle: str
    baseline: RunFolder | None
    validation_auc: float
    config: str
    environment: dict[str, Any]
    split: list[Side] | None
    split_of: str

    @property
    def name(self) -> str:
        return f"{self.title} · {self.subtitle}" if self.subtitle else self.title


def shown_runs(finished: Sequence[RunFolder]) -> list[Shown]:
    """The finished runs in the table's order.

    Raises:
        MorelliError: a file of a run is damaged.
    """
    rows = table(finished)
    varying = {key: before for key, before in _NAMES.items() if key in rows and rows[key].nunique() > 1}
    made: list[Shown] = []
    first_with: dict[str, str] = {}
    for _, row in rows.iterrows():
        run = RunFolder(Path(row["folder"]))
        config = run.config
        digest, split = _split(run)
        one = Shown(
            run=run,
            title=str(row["objective"]),
            subtitle=" · ".join(f"{before}{row[key]}" for key, before in varying.items()),
            baseline=next((other for other in finished if _is_baseline(other, run)), None),
            validation_auc=float(run.metrics.get("validation", {}).get("pair_auc", -1)),
            config=(run.path / CONFIG).read_text(encoding="utf-8"),
            environment=run.environment,
            split=split,
            split_of=first_with.get(digest, ""),
        )
        if split is not None:
            first_with.setdefault(digest, f"{one.name} ({config['recipe']})" if "recipe" in varying else one.name)
        made.append(one)
    return made


def _is_baseline(other: RunFolder, run: RunFolder) -> bool:
    mine, its = run.config, other.config
    same = all(mine.get(key) == its.get(key) for key in ("data", "recipe", "backbone_label", "fold"))
    return bool(same and mine.get("head") and not its.get("head"))


def _split(run: RunFolder) -> tuple[str, list[Side] | None]:
    path = run.path / "split.json"
    if not path.is_file():
        return "", None
    split = Split.load(path)
    content = path.read_bytes()
    artists = json.loads(content).get("artists", {})
    if not isinstance(artists, dict):
        raise MorelliError(f"{path} names no artists. Delete {run.path} and run it again.")
    names = {side: pd.Series(artists.get(side, []), dtype=str) for side in SIDES}
    sides = [Side(side, list(one_spelling(names[side]).unique()), len(getattr(split, side))) for side in SIDES]
    return hashlib.sha256(content).hexdigest(), sides
