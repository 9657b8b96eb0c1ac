"""The runs of a report: their names as a reader tells them apart, their baselines, configs and splits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from morelli._files import read_text, reading
from morelli._json import read_json
from morelli.bench.columns import Column, network_names
from morelli.bench.run_folder import AGAIN, CONFIG, RunFolder
from morelli.bench.tables import table
from morelli.data.artists import one_spelling
from morelli.data.splits import SIDES, SplitFile


class Subset(NamedTuple):
    """The artists of one subset of a split, and how many paintings they have there."""

    name: str
    artists: list[str]
    paintings: int


@dataclass(frozen=True)
class Shown:
    """A finished run as the report shows it.

    Attributes:
        run: what its folder says.
        title: its objective.
        subtitle: what else tells it from the other runs.
        baseline: the frozen run on the same backbone and fold, unless it is that itself.
        config: the text of its config.
        split: its subsets; None where the run has no split.json.
        split_of: the name of an earlier run with the same split.
    """

    run: RunFolder
    title: str
    subtitle: str
    baseline: RunFolder | None
    config: str
    split: list[Subset] | None
    split_of: str

    @property
    def name(self) -> str:
        return f"{self.title} · {self.subtitle}" if self.subtitle else self.title

    @property
    def validation_auc(self) -> float:
        """Pair AUC on validation artists; −1 where it was not measured."""
        return float(self.run.metrics.get("validation", {}).get("pair_auc", -1))


def shown_runs(finished: Sequence[RunFolder], columns: Sequence[Column] = ()) -> list[Shown]:
    """The finished runs in the table's order.

    Raises:
        MorelliError: a file of a run is damaged.
    """
    rows = table(finished, columns)
    runs = [RunFolder(Path(folder)) for folder in rows["folder"]]
    made: list[Shown] = []
    first_with: dict[str, str] = {}
    for run, name in zip(runs, network_names(rows, columns), strict=True):
        digest, split = _split(run.path)
        baseline = next((other for other in runs if _is_baseline(other, run)), None)
        with reading(run.path / CONFIG, AGAIN):
            config = read_text(run.path / CONFIG)
        one = Shown(run, *name, baseline, config, split, first_with.get(digest, ""))
        if split is not None:
            first_with.setdefault(digest, one.name)
        made.append(one)
    return made


def _is_baseline(other: RunFolder, run: RunFolder) -> bool:
    mine, its = run.config, other.config
    same = all(mine.get(key) == its.get(key) for key in ("data", "recipe", "backbone_label", "fold"))
    return bool(same and mine.get("head") and not its.get("head"))


def _split(folder: Path) -> tuple[str, list[Subset] | None]:
    """A digest of a run's split, and its subsets."""
    path = folder / "split.json"
    if not path.is_file():
        return "", None
    split = read_json(path, SplitFile, AGAIN)
    names = {name: one_spelling(pd.Series(split.artists.get(name, []), dtype=str)).unique() for name in SIDES}
    subsets = [Subset(name, list(names[name]), len(split.paintings[name])) for name in SIDES]
    return hashlib.sha256(repr(split).encode()).hexdigest(), subsets
