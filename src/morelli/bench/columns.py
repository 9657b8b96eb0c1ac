"""The columns of tables of runs: their headings, where their values come from, and how these are written.

Text tables, CSV and the report's HTML tables read this one list. A column of your own is a :class:`Column` in any
module, named by its dotted path, as in ``morelli table --column my_package.my_module:LEARNING_RATE``::

    LEARNING_RATE = Column("learning_rate", "lr", lambda run: run.config["training"]["learning_rate"])
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from morelli._dotted import load_dotted
from morelli.bench.run_folder import SUBSETS, RunFolder
from morelli.data.known_artists import WEIGHTS
from morelli.errors import MorelliError
from morelli.evaluation.metrics import METRICS, Metric, from_descriptions, metric_of


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _whole(value: Any) -> str:
    return f"{value:.0f}"


@dataclass(frozen=True)
class Column:
    """One column of the tables of runs.

    Attributes:
        key: its name in CSV.
        heading: its name in printed tables and in the report; empty for a column of CSV alone.
        of_run: its value for one run; only ``config`` and ``path`` are there for a ``name`` of a run that failed.
        text: a value → how it is printed.
        only_if_it_varies: printed only where rows differ in it.
        group: ``name`` tells networks apart, so that runs that differ in it have rows of their own; ``about`` is what
            the network is, ``cost`` what it took on this machine. Both are averaged over folds and seeds.
        in_words: how a name is said outside a table; by default its heading and value.
    """

    key: str
    heading: str
    of_run: Callable[[RunFolder], Any]
    text: Callable[[Any], str] = _plain
    only_if_it_varies: bool = False
    group: Literal["name", "about", "cost"] = "about"
    in_words: str = ""


def _backbone(run: RunFolder) -> str:
    config = run.config["backbone"]
    tuned = f", tuned on {WEIGHTS}" if config.get("weights") == WEIGHTS else ""
    return "+".join([config["name"], *config["beside"]]) + tuned


def _pooling(run: RunFolder) -> str:
    config = run.config["backbone"]
    stages = "global" if config["pool"] == "global" else f"{config['stages']} stages, {'+'.join(config['statistics'])}"
    stages += "+VLAD" if config.get("vlad") else ""
    return stages if config["train"] == "frozen" else f"{stages}, fine-tuned"


def _pictures(run: RunFolder) -> str:
    config = run.config["backbone"]
    size = f" to {config['image_size']} px" if config["image_size"] else ""
    return f"{config['fit']}{size}" + (f", {config['views']} views" if config["views"] > 1 else "")


def _copies(run: RunFolder) -> str | None:
    if not any(run.metrics.get(subset, {}).get("copies") for subset in SUBSETS):
        return None
    return "counted" if run.config["split"].get("keep_copies") else "left out"


COLUMNS = (
    Column("recipe", "recipe", lambda run: run.config["recipe"], only_if_it_varies=True, group="name"),
    Column("backbone", "backbone", _backbone, group="name", in_words="{}"),
    Column("pooling", "pooling", _pooling, only_if_it_varies=True, group="name", in_words="{}"),
    Column("pictures", "pictures", _pictures, only_if_it_varies=True, group="name", in_words="{}"),
    Column("objective", "objective", lambda run: run.config["objective"]["name"], group="name", in_words="{}"),
    Column("fold", "fold", lambda run: run.config["fold"], only_if_it_varies=True, group="name"),
    Column("seed", "seed", lambda run: run.config["seed"], only_if_it_varies=True, group="name"),
    Column("parameters", "param.", lambda run: run.metrics["parameters"], lambda value: f"{value / 1e6:.1f} M"),
    Column("image_size", "px", lambda run: run.metrics["image_size"], _whole),
    Column("embedding_width", "width", lambda run: run.metrics["embedding_width"], _whole),
    Column("copies", "", _copies),
    Column("training_seconds", "train s", lambda run: run.environment["training_seconds"], _whole, group="cost"),
    Column("images_per_second", "img/s", lambda run: run.environment["images_per_second"], _whole, group="cost"),
)
AVERAGED = ("fold", "seed")
"""Names over which the runs of one network are averaged."""


def columns_from(paths: Iterable[str] | None) -> list[Column]:
    """Columns from outside the package, by their dotted paths ``package.module:NAME``.

    Raises:
        MorelliError: there is no such thing, it is no column, or another one has its key.
    """
    found = [load_dotted(path, Column, "a morelli.bench.columns.Column") for path in paths or ()]
    keys = [column.key for column in (*COLUMNS, *found)]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise MorelliError(f'There are two columns with the key "{twice}". Give yours another one.')
    return found


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what it says and sorts by, a metric's interval, whether it is the best, and a note."""

    text: str
    value: Any = ""
    interval: tuple[float, float] | None = None
    is_best: bool = False
    note: str = ""

    @property
    def with_interval(self) -> str:
        """``0.821 ± 0.038``; both bounds where they are uneven, as near 0 and 1."""
        if self.interval is None:
            return self.text
        low, high = self.interval
        half = (high - low) / 2
        if not 0 <= self.value - half <= self.value + half <= 1:
            return f"{self.text} ({low:.3f} to {high:.3f})"
        return f"{self.text} ± {half:.3f}"


@dataclass(frozen=True)
class TableColumn:
    """A column with its cells. ``group`` is its :class:`Column`'s, or the subset on which a metric was measured."""

    heading: str
    cells: list[Cell]
    group: str = "about"
    lower_is_better: bool = False

    @property
    def is_number(self) -> bool:
        """Aligned to the right."""
        return self.group not in ("name", "failed")


def table_columns(rows: pd.DataFrame, metrics: Sequence[str], columns: Sequence[Column] = ()) -> list[TableColumn]:
    """The columns that a table shows: names, number of runs, size, cost, metrics on seen and unseen artists, failures.

    Args:
        rows: from :func:`morelli.bench.tables.table`.
        metrics: names of metrics, by default those that are shown first.
        columns: beside :data:`COLUMNS`.
    """
    every = [column for column in (*COLUMNS, *columns) if column.heading and column.key in rows]
    every = [one for one in every if not one.only_if_it_varies or rows[one.key].nunique(dropna=False) > 1]
    shown = [TableColumn(one.heading, cells(rows[one.key], one.text), one.group) for one in every]
    names = [one for one in shown if one.group == "name"]
    runs = [TableColumn("runs", cells(rows["runs"], _whole), "runs")] if "runs" in rows else []
    about = [one for group in ("about", "cost") for one in shown if one.group == group]
    measured = [
        _metric_column(rows, subset, metric)
        for subset in SUBSETS
        for metric in shown_metrics(rows, metrics)
        if f"{subset}_{metric.name}" in rows
    ]
    failed = [TableColumn("failed", cells(rows["failure"].fillna("")), "failed")] if "failure" in rows else []
    return [*names, *runs, *about, *measured, *failed]


def shown_metrics(rows: pd.DataFrame, names: Sequence[str] = ()) -> list[Metric]:
    """The named metrics, or those that tables show first; with metrics from outside that the runs were measured by."""
    others = from_descriptions(rows.attrs.get("metrics", ()))
    return [metric_of(name, others) for name in names] or [one for one in (*METRICS, *others) if one.shown_first]


def network_names(
    rows: pd.DataFrame, columns: Sequence[Column] = (), always: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Each row's objective, and what else tells it from the others: the ``always`` named, and whatever varies."""
    names = [one for one in (*COLUMNS, *columns) if one.group == "name" and one.key in rows and one.key != "objective"]
    varying = [one for one in names if one.key in always or rows[one.key].nunique(dropna=False) > 1]
    notes = [
        " · ".join((one.in_words or f"{one.heading} {{}}").format(one.text(row[one.key])) for one in varying)
        for _, row in rows.iterrows()
    ]
    return list(zip(map(str, rows["objective"]), notes, strict=True))


def cells(values: "pd.Series[Any]", text: Callable[[Any], str] = _plain) -> list[Cell]:
    """The cells of a column whose values are written by ``text``; a dash where there is none."""
    return [Cell("-") if pd.isna(value) else Cell(text(value), value) for value in values]


def _metric_column(rows: pd.DataFrame, subset: str, metric: Metric) -> TableColumn:
    key = f"{subset}_{metric.name}"
    rounded = rows[key].astype(float).round(3)
    best = rounded.min() if metric.lower_is_better else rounded.max()
    missing = pd.Series(float("nan"), rows.index)
    lows, highs = (rows.get(f"{key}_{end}", missing) for end in ("low", "high"))
    made = [
        Cell("-")
        if pd.isna(value)
        else Cell(f"{value:.3f}", float(value), None if pd.isna(low) else (low, high), near == best and len(rows) > 1)
        for value, low, high, near in zip(rows[key], lows, highs, rounded, strict=True)
    ]
    return TableColumn(metric.heading, made, subset, metric.lower_is_better)
