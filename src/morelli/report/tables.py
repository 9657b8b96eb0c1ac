"""The tables of a report: networks and their metrics, the same as a forest plot, and the artists one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pandas as pd

from morelli.bench.columns import Cell, Column, TableColumn, cells, network_names, table_columns
from morelli.bench.run_folder import SUBSETS, RunFolder, per_artist_path
from morelli.evaluation.metrics import from_descriptions, metric_of
from morelli.report.charts import read_csv
from morelli.report.svg import Tick, padded, ticks

_GROUPS = {**{subset: f"{subset} artists" for subset in SUBSETS}, "about": "size and cost", "cost": "size and cost"}
_ORDER = ("runs", *_GROUPS, "failed")


@dataclass(frozen=True)
class Table:
    """Columns of equal length; the first one names the rows."""

    columns: list[TableColumn]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each group's heading and how many columns it spans; empty where nothing is grouped."""
        names = (_GROUPS.get(column.group, "") for column in self.columns)
        spans = [(name, len(list(members))) for name, members in groupby(names)]
        return spans if len(spans) > 1 else []


@dataclass(frozen=True)
class Whisker:
    """A value and its interval, in per cent of the picture's width."""

    css: str
    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forest:
    """One measure of all networks side by side, with intervals: a row is a network's name, a note and its whiskers."""

    heading: str
    rows: list[tuple[str, str, list[Whisker]]] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)


def ablation(rows: pd.DataFrame, columns: Sequence[Column] = ()) -> Table:
    """The ablation table: the networks, their first metrics on each subset with intervals, size and cost."""
    shown = [one for one in table_columns(rows, (), columns) if one.group != "name"]
    names = network_names(rows, columns, ["backbone"])
    first = TableColumn("network", [Cell(title, f"{title} {note}", note=note) for title, note in names], "name")
    return Table([first, *sorted(shown, key=lambda one: _ORDER.index(one.group))])


def forest(rows: pd.DataFrame, metric: str, columns: Sequence[Column] = ()) -> Forest | None:
    """One metric of every network with its interval, seen and unseen; None where no network has it."""
    keys = [f"{subset}_{metric}{end}" for subset in SUBSETS for end in ("", "_low", "_high")]
    values = rows.reindex(columns=keys).astype(float)
    if values.isna().all(axis=None):
        return None
    low, high = padded(values.to_numpy().ravel().tolist())

    def across(value: float) -> float | None:
        return None if pd.isna(value) else round(100 * (value - low) / (high - low), 2)

    made = Forest(metric_of(metric).heading)
    made.ticks.extend(Tick(across(value) or 0.0, text) for value, text in ticks(low, high, about=7))
    for (_, row), name in zip(values.iterrows(), network_names(rows, columns, ["backbone"]), strict=True):
        whiskers = []
        for subset in SUBSETS:
            at, start, end = (across(row[f"{subset}_{metric}{which}"]) for which in ("", "_low", "_high"))
            if at is not None:
                whiskers.append(Whisker(subset, at, start, end))
        if whiskers:
            made.rows.append((*name, whiskers))
    return made


def per_artist(run: RunFolder, subset: str, mistaken: dict[str, str]) -> Table | None:
    """The run's artists of one subset, the best told apart first; None where the run has no such file.

    ``mistaken`` says with whom each artist is most often confused.
    """
    frame = read_csv(per_artist_path(run.path, subset), ("artist", "paintings"))
    if frame is None:
        return None
    if "pair_auc" in frame:
        frame = frame.sort_values("pair_auc", ascending=False, kind="stable", na_position="last")
    own = from_descriptions(run.metrics.get("own_metrics", ()))
    shown: dict[str, Callable[[object], str]] = {
        "artist": str,
        "paintings": str,
        **{key: "{:.3f}".format for key in map(str, frame) if metric_of(key, own).per_artist},
    }
    columns = [
        TableColumn(metric_of(key, own).heading, cells(frame[key], text), "name" if key == "artist" else "")
        for key, text in shown.items()
    ]
    if mistaken:
        others = [mistaken.get(str(name), "") for name in frame["artist"]]
        columns.append(TableColumn("most often taken for", [Cell(one or "-", one) for one in others], "name"))
    return Table(columns)
