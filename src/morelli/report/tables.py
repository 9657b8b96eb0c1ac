"""The tables of a report: networks and their measures, the same as a picture, and the artists one by one."""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import pandas as pd

from morelli.bench.run_folder import RunFolder
from morelli.bench.tables import FIRST_METRICS, LOWER_IS_BETTER, heading, over_folds_and_seeds, table
from morelli.report.charts import read_csv
from morelli.report.svg import Tick, padded, ticks

_SIDES: Final = ("seen", "unseen")
_KEYS: Final = ("backbone", "pooling", "recipe", "fold", "seed")
_ABOUT: Final = ("parameters", "image_size", "embedding_width")
_COST: Final = ("training_seconds", "images_per_second")
_PER_ARTIST: Final = ("paintings", "pair_auc", "precision_at_1", "r_precision", "mean_average_precision_at_r")


@dataclass(frozen=True)
class Cell:
    """One cell: what it says, a smaller note beneath, what it sorts by, and whether it is the best of its column."""

    text: str
    note: str = ""
    value: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Column:
    """One column; ``group`` is the heading that it shares with its neighbours, ``lower`` says that less is better."""

    heading: str
    cells: list[Cell]
    group: str = ""
    is_number: bool = True
    lower: bool = False


@dataclass(frozen=True)
class Table:
    """Columns of equal length; the first one names the rows."""

    columns: list[Column]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Each group's heading and how many columns it spans; empty where nothing is grouped."""
        spans = [(name, len(list(members))) for name, members in groupby(self.columns, key=lambda c: c.group)]
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


def network_rows(runs: list[RunFolder]) -> pd.DataFrame:
    """One row a network: runs that differ in fold and seed alone are one."""
    return over_folds_and_seeds(table(runs))


def network_names(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Each row's objective, and what else tells it from the others: the backbone, and whatever varies."""
    before = {"fold": "fold ", "seed": "seed "}
    varying = [key for key in _KEYS if key in rows and (key == "backbone" or rows[key].nunique() > 1)]
    notes = [", ".join(f"{before.get(key, '')}{row[key]}" for key in varying) for _, row in rows.iterrows()]
    return list(zip(map(str, rows["objective"]), notes, strict=True))


def ablation(rows: pd.DataFrame) -> Table:
    """The ablation table: the networks, their first measures on each side with intervals, size and cost."""
    names = [Cell(title, note, f"{title} {note}") for title, note in network_names(rows)]
    columns = [Column("network", names, is_number=False)]
    if "runs" in rows:
        columns.append(Column("runs", [_plain("runs", value) for value in rows["runs"]]))
    for side in _SIDES:
        for metric in FIRST_METRICS:
            if f"{side}_{metric}" in rows:
                lower = metric in LOWER_IS_BETTER
                cells = _measured(rows, f"{side}_{metric}", lower)
                columns.append(Column(_spoken(metric), cells, f"{side} artists", lower=lower))
    for key in (*_ABOUT, *_COST):
        if key in rows:
            columns.append(Column(heading(key), [_plain(key, value) for value in rows[key]], "size and cost"))
    if "failure" in rows:
        reasons = [Cell(str(value), value=str(value)) for value in rows["failure"].fillna("")]
        columns.append(Column("failed", reasons, is_number=False))
    return Table(columns)


def _spoken(metric: str) -> str:
    return heading(metric).upper() if metric == "eer" else heading(metric)


def _measured(rows: pd.DataFrame, column: str, lower: bool) -> list[Cell]:
    shown = rows[column].astype(float).round(3)
    best = shown.min() if lower else shown.max()
    lows, highs = (rows.get(f"{column}_{end}", pd.Series(float("nan"), rows.index)) for end in ("low", "high"))
    cells = []
    for value, low, high, rounded in zip(rows[column], lows, highs, shown, strict=True):
        if pd.isna(value):
            cells.append(Cell("–"))
        else:
            interval = "" if pd.isna(low) else f"{low:.3f}–{high:.3f}"
            cells.append(Cell(f"{value:.3f}", interval, repr(float(value)), bool(rounded == best) and len(rows) > 1))
    return cells


def _plain(key: str, value: Any) -> Cell:
    if pd.isna(value):
        return Cell("–")
    text = f"{value / 1e6:.1f} M" if key == "parameters" else f"{value:.0f}"
    return Cell(text, value=repr(float(value)))


def forest(rows: pd.DataFrame, metric: str) -> Forest | None:
    """One measure of every network with its interval, seen and unseen; None where no network has it."""
    keys = [f"{side}_{metric}" for side in _SIDES if f"{side}_{metric}" in rows]
    ends = [column for key in keys for column in (key, f"{key}_low", f"{key}_high") if column in rows]
    values = rows[ends].to_numpy(float).ravel().tolist() if keys else []
    if not any(value == value for value in values):
        return None
    low, high = padded(values)

    def across(value: Any) -> float | None:
        return None if value is None or pd.isna(value) else round(100 * (float(value) - low) / (high - low), 2)

    made = Forest(heading(metric), ticks=[Tick(across(v) or 0.0, text) for v, text in ticks(low, high, about=7)])
    for (_, row), (title, note) in zip(rows.iterrows(), network_names(rows), strict=True):
        whiskers = []
        for side in _SIDES:
            at = across(row.get(f"{side}_{metric}"))
            if at is not None:
                bounds = (across(row.get(f"{side}_{metric}_{end}")) for end in ("low", "high"))
                whiskers.append(Whisker(side, at, *bounds))
        if whiskers:
            made.rows.append((title, note, whiskers))
    return made


def per_artist(run: RunFolder, side: str, mistaken: dict[str, str]) -> Table | None:
    """The run's artists of one side, the best told apart first; None where the run has no such file.

    ``mistaken`` says with whom each artist is most often confused.
    """
    frame = read_csv(run.path / f"per_artist_{side}.csv", ("artist", "paintings"))
    if frame is None:
        return None
    if "pair_auc" in frame:
        frame = frame.sort_values("pair_auc", ascending=False, kind="stable", na_position="last")
    columns = [Column("artist", [Cell(str(name), value=str(name)) for name in frame["artist"]], is_number=False)]
    for key in _PER_ARTIST:
        if key in frame:
            cells = [_artist_cell(key, value) for value in frame[key]]
            columns.append(Column(heading(key), cells))
    if mistaken:
        others = [mistaken.get(str(name), "") for name in frame["artist"]]
        cells = [Cell(other or "–", value=other) for other in others]
        columns.append(Column("most often taken for", cells, is_number=False))
    return Table(columns)


def _artist_cell(key: str, value: float) -> Cell:
    if pd.isna(value):
        return Cell("–")
    return Cell(str(int(value)) if key == "paintings" else f"{value:.3f}", value=repr(float(value)))
