"""Tables: one row a network, made from run folders alone."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from morelli._text import for_spreadsheets, latex, markdown, one_line
from morelli.bench.run_folder import RunFolder
from morelli.bench.side_files import per_artist_path
from morelli.data.artists import artist_key
from morelli.errors import MorelliError, did_you_mean
from morelli.evaluation.intervals import mean_over_runs

Format = Literal["rich", "md", "csv", "latex"]
FIRST_METRICS = ("pair_auc", "precision_at_1", "mean_average_precision_at_r", "eer", "triplet_accuracy")
"""What a printed table shows for seen and unseen artists unless it is asked for other metrics; CSV has them all."""
_SHORT = {
    "precision_at_1": "P@1",
    "r_precision": "R-prec",
    "mean_average_precision_at_r": "MAP@R",
    "mean_average_precision": "MAP",
    "mean_reciprocal_rank": "MRR",
    "pair_auc": "pair AUC",
    "triplet_accuracy": "triplet acc",
    "balanced_accuracy": "balanced acc",
    "classifier_accuracy": "classifier acc",
    "embedding_width": "width",
    "parameters": "param.",
    "image_size": "px",
    "training_seconds": "train s",
    "images_per_second": "img/s",
}
_WIDE, _UNBOUNDED = 220, 500  # columns of a terminal that holds all first metrics; no limit, for pipes
LOWER_IS_BETTER = ("eer", "brier", "ece")
_KEYS = ["recipe", "backbone", "pooling", "pictures", "objective", "fold", "seed"]
_ABOUT = ["parameters", "image_size", "embedding_width"]
_COST = ["training_seconds", "images_per_second"]
_SIDES = ("seen", "unseen")
_NO_MEASURE = ("_low", "_high", "_unmeasured")


def table(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row a run: what it was, ``seen_<metric>`` and ``unseen_<metric>`` with their intervals, cost, failure.

    Intervals stand in ``<side>_<metric>_low`` and ``_high``. A failed run has its reason in ``failure``.
    """
    rows = pd.DataFrame([_row(run) for run in sorted(runs, key=_place)])
    measured = [column for column in map(str, rows) if column.startswith(_SIDES)]
    order = [*_KEYS, *_ABOUT, "copies", *measured, *_COST, "failure", "folder"]
    return rows.reindex(columns=order).dropna(axis=1, how="all")


def over_folds_and_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Put the runs that differ only in fold and seed into one row: means, and how many runs they are of.

    The interval of such a mean is Student's over the runs, as in Musgrave et al. 2020, as far as it lies between 0 and
    1, where every measure with an interval does; a single run keeps its own. Artists and paintings are counted once,
    however many of the runs were measured on them.
    """
    same = [key for key in _KEYS if key not in ("fold", "seed")]
    if not rows.duplicated(same).any():
        return rows
    groups = rows.groupby(same, sort=False, dropna=False)
    return pd.DataFrame([_mean_row(group) for _, group in groups]).reset_index(drop=True)


def heading(key: str) -> str:
    """What a column or metric is called in tables: ``P@1`` for ``precision_at_1``."""
    return _SHORT.get(key, key.replace("_", " "))


def _mean_row(runs: pd.DataFrame) -> pd.Series:
    row = runs.iloc[0].copy()
    row["runs"] = len(runs)
    for key in ("fold", "seed"):
        row[key] = row[key] if runs[key].nunique() == 1 else "all"
    finished = runs if "failure" not in runs else runs[runs["failure"].isna()]
    for column in map(str, runs):
        if column in _COST or (column.startswith(_SIDES) and not column.endswith(_NO_MEASURE)):
            values = finished[column].dropna().astype(float).tolist()
            mean, half = mean_over_runs(values) if values else (float("nan"), None)
            row[column] = mean
            if f"{column}_low" in runs and half is not None:
                row[f"{column}_low"], row[f"{column}_high"] = max(mean - half, 0.0), min(mean + half, 1.0)
    for side in _SIDES:
        if row["fold"] == "all" and (measured := _measured_in_all(finished["folder"], side)):
            row[f"{side}_artists"], row[f"{side}_paintings"] = measured
    return row


def _measured_in_all(folders: Iterable[str], side: str) -> tuple[int, int] | None:
    """How many artists the runs were measured on together, and on how many paintings; None where none was."""
    files = [path for folder in folders if (path := per_artist_path(Path(folder), side)).is_file()]
    if not files:
        return None
    counts = pd.concat([pd.read_csv(path, usecols=["artist", "paintings"]) for path in files])
    by_artist = counts.groupby(counts["artist"].astype(str).map(artist_key))["paintings"].max()
    return len(by_artist), int(by_artist.sum())


def _place(run: RunFolder) -> tuple[Any, ...]:
    """Baseline first, then the objectives by their places, under each backbone."""
    config = run.config
    objective = config["objective"]
    place = objective.get("place", 50 if config.get("head") else 0)  # runs of before have none
    return config["recipe"], config["backbone_label"], place, objective["name"], config["fold"], config["seed"]


def _row(run: RunFolder) -> dict[str, Any]:
    config = run.config
    row: dict[str, Any] = {
        "recipe": config["recipe"],
        "backbone": "+".join([config["backbone"]["name"], *config["backbone"]["beside"]]),
        "pooling": _pooling(config["backbone"]),
        "pictures": _pictures(config["backbone"]),
        "objective": config["objective"]["name"],
        "fold": config["fold"],
        "seed": config["seed"],
        "folder": str(run.path),
    }
    if not run.is_finished:
        return {**row, "failure": (run.failure or "not finished").splitlines()[0]}
    metrics, environment = run.metrics, run.environment
    row |= {key: metrics[key] for key in _ABOUT} | {key: environment[key] for key in _COST}
    if any(metrics.get(side, {}).get("copies") for side in _SIDES):
        row["copies"] = "counted" if config["split"].get("keep_copies") else "left out"
    for side in _SIDES:
        if reason := metrics.get("unmeasured", {}).get(side):
            row[f"{side}_unmeasured"] = reason
        values = dict(metrics.get(side, {}))
        intervals = values.pop("interval", {})
        for key, value in values.items():
            row[f"{side}_{key}"] = value
            if key in intervals:
                row[f"{side}_{key}_low"], row[f"{side}_{key}_high"] = intervals[key]
    return row


def _pooling(backbone: dict[str, Any]) -> str:
    how = (
        "global" if backbone["pool"] == "global" else f"{backbone['stages']} stages, {'+'.join(backbone['statistics'])}"
    )
    return how if backbone["train"] == "frozen" else f"{how}, fine-tuned"


def _pictures(backbone: dict[str, Any]) -> str:
    size = f" to {backbone['image_size']} px" if backbone["image_size"] else ""
    views = backbone["views"]
    return f"{backbone['fit']}{size}" + (f", {views} views" if views > 1 else "")


def render(rows: pd.DataFrame, style: Format, metrics: Sequence[str] = (), *, width: int | None = None) -> str:
    """Return a table as text: ``rich`` for a terminal, ``md``, ``latex``, or ``csv`` with every column.

    Args:
        rows: from :func:`table`.
        style: which format.
        metrics: the metrics to show, by their names in ``metrics.json``; by default :data:`FIRST_METRICS`.
        width: columns of the terminal, for ``rich``; a narrow one gets the first two metrics only.

    Raises:
        MorelliError: no run has such a metric.
    """
    if style == "csv":
        return for_spreadsheets(rows)
    rows = over_folds_and_seeds(rows)
    fitting = FIRST_METRICS if style != "rich" or width is None or width >= _WIDE else FIRST_METRICS[:2]
    shown = _shown(rows, metrics or fitting, check=bool(metrics))
    return as_text(shown, " ".join(filter(None, [_counts(rows), copies_note(rows)])), style, width)


def as_text(shown: pd.DataFrame, title: str, style: Format, width: int | None) -> str:
    """Write a table whose cells are what is to be read: ``md`` and ``rich`` with a title above, or ``latex``."""
    if style == "md":
        heading = f"{title}\n\n" if title else ""
        return f"{heading}{_as(markdown, shown).to_markdown(index=False, disable_numparse=True)}\n"
    if style == "latex":
        about = f"% {title}\n" if title else ""
        return about + latex(_as(one_line, shown))
    return _rich(shown, title, width)


def _as(written: Callable[[str], str], table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda cell: written(cell) if isinstance(cell, str) else cell)


def _shown(rows: pd.DataFrame, metrics: Sequence[str], *, check: bool) -> pd.DataFrame:
    measured = [column for column in map(str, rows) if column.startswith(_SIDES) and not column.endswith(_NO_MEASURE)]
    known = sorted({column.removeprefix("un").removeprefix("seen_") for column in measured})
    for metric in metrics if check and known else ():  # where every run failed, the table says why
        if metric not in known:
            raise MorelliError(
                f'No run has a metric "{metric}".{did_you_mean(metric, known)} Known: {", ".join(known)}.'
            )
    keys = [key for key in _KEYS if key in ("backbone", "objective") or rows[key].nunique() > 1]
    shown = rows[keys].copy()
    if "runs" in rows:
        shown["runs"] = rows["runs"]
    for key in _ABOUT + _COST:
        if key in rows:
            shown[_SHORT[key]] = [_number(key, value) for value in rows[key]]
    for side in _SIDES:
        for metric in metrics:
            if f"{side}_{metric}" in rows:
                column = f"{side} {heading(metric)}"
                shown[column] = [_with_interval(row, f"{side}_{metric}") for _, row in rows.iterrows()]
    if "failure" in rows:
        shown["failed"] = rows["failure"].fillna("")
    return shown


def _number(key: str, value: float) -> str:
    if pd.isna(value):
        return "-"
    return f"{value / 1e6:.1f} M" if key == "parameters" else f"{value:.0f}"


def _with_interval(row: pd.Series, column: str) -> str:
    if pd.isna(row[column]):
        return "-"
    if f"{column}_low" not in row or pd.isna(row[f"{column}_low"]):
        return f"{row[column]:.3f}"
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    half = (high - low) / 2
    if row[column] - half < 0 or row[column] + half > 1:  # an interval near an end, or a wide one, is not even
        return f"{row[column]:.3f} ({low:.3f} to {high:.3f})"
    return f"{row[column]:.3f} ± {half:.3f}"


def _counts(rows: pd.DataFrame) -> str:
    parts = []
    for side in _SIDES:
        if f"{side}_artists" in rows:
            in_all = rows["fold"].eq("all") if "runs" in rows else pd.Series(False, index=rows.index)
            counted = rows[[f"{side}_artists", f"{side}_paintings"]].assign(in_all=in_all).dropna().astype(int)
            numbers = "; ".join(
                f"{artists} artists, {paintings} paintings" + (" in all folds" if folds else "")
                for artists, paintings, folds in counted.drop_duplicates().to_numpy()
            )
            parts.append(f"{side.capitalize()}: {numbers}.")
        if f"{side}_unmeasured" in rows:
            parts += rows[f"{side}_unmeasured"].dropna().unique().tolist()
    return " ".join(parts)


def copies_note(rows: pd.DataFrame) -> str:
    """How many copies the measured paintings had, and what was made of them; empty where there were none."""
    if "copies" not in rows:
        return ""
    found = []
    for side in _SIDES:
        if f"{side}_copies" in rows:
            counted = rows[[f"{side}_copies", f"{side}_copy_pairs"]].dropna().astype(int).drop_duplicates()
            found += [f"{copies} {side} ({pairs} pairs)" for copies, pairs in counted.to_numpy() if copies]
    return f"Copies {' or '.join(rows['copies'].dropna().unique())}: {', '.join(found)}."


def _rich(shown: pd.DataFrame, counts: str, width: int | None) -> str:
    grid = Table(title=counts, title_justify="left", header_style="bold")
    columns = {}
    for name in map(str, shown):
        is_text = name in (*_KEYS, "artist", "run", "failed")
        grid.add_column(name, justify="left" if is_text else "right", no_wrap=name in _KEYS)
        values = [one_line(str(value)) for value in shown[name]]
        best = _best_row(values, name) if name.startswith(_SIDES) else None
        columns[name] = [Text.assemble((value, "bold" if row == best else "")) for row, value in enumerate(values)]
    for row in zip(*columns.values(), strict=True):
        grid.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=width or _UNBOUNDED, force_terminal=width is not None).print(grid)
    return text.getvalue()


def _best_row(values: Sequence[str], column: str) -> int | None:
    numbers = {row: float(value.split()[0]) for row, value in enumerate(values) if value != "-"}
    lower = any(column.endswith(_SHORT.get(name, name)) for name in LOWER_IS_BETTER)
    return (min if lower else max)(numbers, key=lambda row: numbers[row], default=None)
