"""Tables of runs: one row a network, made from run folders alone."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from morelli._csv import read_csv
from morelli._text import for_spreadsheets, markdown, one_line
from morelli.bench.columns import AVERAGED, COLUMNS, Column, TableColumn, network_names, table_columns
from morelli.bench.leakage import leakage_note
from morelli.bench.run_folder import AGAIN, PER_ARTIST, SUBSETS, RunFolder, per_artist_path
from morelli.bench.text_tables import Format as Format
from morelli.bench.text_tables import as_text as as_text
from morelli.bench.text_tables import paragraph
from morelli.data.artists import artist_key
from morelli.errors import MorelliError, MorelliWarning, did_you_mean
from morelli.evaluation.intervals import mean_over_runs

_NOT_MEASURED = ("_low", "_high", "_unmeasured")
_FIRST_TABLES = 3  # on a terminal, unless metrics are asked for


def table(runs: Sequence[RunFolder], columns: Sequence[Column] = ()) -> pd.DataFrame:
    """One row a run: what it was, ``seen_<metric>`` and ``unseen_<metric>`` with their intervals, cost, failure.

    Intervals stand in ``<subset>_<metric>_low`` and ``_high``. A failed run has its reason in ``failure``. Metrics from
    outside the package are described in the table's ``attrs["metrics"]``, the recipes' captions are in
    ``attrs["captions"]``, and what :func:`morelli.bench.leakage.leakage_note` says of the runs in ``attrs["leakage"]``.

    Args:
        runs: from :func:`morelli.bench.run_folder.find_runs`.
        columns: columns beside :data:`~morelli.bench.columns.COLUMNS`. One that fails is empty for that run, with a
            warning.
    """
    found = sorted(runs, key=_place)
    every = [*COLUMNS, *columns]
    rows = pd.DataFrame([_row(run, every) for run in found])
    measured = [key for key in map(str, rows) if key.startswith(SUBSETS)]
    before = [one.key for one in every if one.group != "cost"]
    cost = [one.key for one in every if one.group == "cost"]
    rows = rows.reindex(columns=[*before, *measured, *cost, "failure", "folder"]).dropna(axis=1, how="all")
    described = {one["name"]: one for run in found if run.is_finished for one in run.metrics.get("own_metrics", ())}
    rows.attrs["metrics"] = list(described.values())
    rows.attrs["captions"] = list(filter(None, dict.fromkeys(run.config.get("caption") for run in found)))
    rows.attrs["leakage"] = leakage_note(found)
    return rows


def _place(run: RunFolder) -> tuple[Any, ...]:
    """Untrained features first, then the objectives by their places, under each backbone."""
    config = run.config
    objective = config["objective"]
    place = objective.get("place", 50 if config.get("head") else 0)  # runs of before have none
    return config["recipe"], config["backbone_label"], place, objective["name"], config["fold"], config["seed"]


def _row(run: RunFolder, columns: Sequence[Column]) -> dict[str, Any]:
    row = {one.key: _value(one, run) for one in columns if one.group == "name" or run.is_finished}
    row["folder"] = str(run.path)
    if not run.is_finished:
        return {**row, "failure": (run.failure or "not finished").splitlines()[0]}
    for subset in SUBSETS:
        row[f"{subset}_unmeasured"] = run.metrics.get("unmeasured", {}).get(subset)
        values = run.metrics.get(subset, {})
        row |= {f"{subset}_{key}": value for key, value in values.items() if key != "interval"}
        for key, (low, high) in values.get("interval", {}).items():
            row |= {f"{subset}_{key}_low": low, f"{subset}_{key}_high": high}
    return row


def _value(column: Column, run: RunFolder) -> Any:
    if column in COLUMNS:
        return column.of_run(run)
    try:
        return column.of_run(run)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"The column {column.key} is empty for {run.path}: {reason}", MorelliWarning, stacklevel=2)
        return None


def over_folds_and_seeds(rows: pd.DataFrame, columns: Sequence[Column] = ()) -> pd.DataFrame:
    """Put the runs that differ only in fold and seed into one row: means, and how many runs they are of.

    The interval of such a mean is Student's over the runs, as in Musgrave et al. 2020, as far as it lies between 0 and
    1, where every measure with an interval does; a single run keeps its own. Artists and paintings are counted once,
    however many of the runs were measured on them.
    """
    names = [one.key for one in (*COLUMNS, *columns) if one.group == "name" and one.key in rows]
    same = [key for key in names if key not in AVERAGED]
    if not rows.duplicated(same).any():
        return rows
    groups = rows.groupby(same, sort=False, dropna=False)
    means = pd.DataFrame([_mean_row(group) for _, group in groups]).reset_index(drop=True)
    means.attrs = rows.attrs
    return means


def _mean_row(runs: pd.DataFrame) -> pd.Series:
    row = runs.iloc[0].copy()
    row["runs"] = len(runs)
    for key in AVERAGED:
        row[key] = row[key] if runs[key].nunique() == 1 else "all"
    finished = runs if "failure" not in runs else runs[runs["failure"].isna()]
    for key in map(str, finished.select_dtypes("number").columns.drop(list(AVERAGED), errors="ignore")):
        values = finished[key].dropna().tolist()
        if key.endswith(_NOT_MEASURED) or not values:
            continue
        row[key], half = mean_over_runs(values)
        if f"{key}_low" in runs and half is not None:
            row[f"{key}_low"], row[f"{key}_high"] = max(row[key] - half, 0.0), min(row[key] + half, 1.0)
    for subset in SUBSETS:
        if row["fold"] == "all" and (counted := _measured_in_all(finished["folder"], subset)):
            row[f"{subset}_artists"], row[f"{subset}_paintings"] = counted
    return row


def _measured_in_all(folders: Iterable[str], subset: str) -> tuple[int, int] | None:
    """How many artists the runs were measured on together, and on how many paintings; None where none was."""
    files = [path for folder in folders if (path := per_artist_path(Path(folder), subset)).is_file()]
    if not files:
        return None
    counts = pd.concat([read_csv(path, PER_ARTIST, remedy=AGAIN) for path in files])
    by_artist = counts.groupby(counts["artist"].astype(str).map(artist_key))["paintings"].max()
    return len(by_artist), int(by_artist.sum())


def render(
    rows: pd.DataFrame,
    style: Format,
    metrics: Sequence[str] = (),
    *,
    width: int | None = None,
    columns: Sequence[Column] = (),
) -> str:
    """Return a table as text: ``rich`` for a terminal, ``md``, ``latex``, or ``csv`` with every column.

    Args:
        rows: from :func:`table`.
        style: which format.
        metrics: the metrics to show, by their names in ``metrics.json``; by default those that
            :data:`~morelli.evaluation.metrics.METRICS` shows first.
        width: columns of the terminal, for ``rich``. What does not fit stands in further tables below.
        columns: those that :func:`table` was given.

    Raises:
        MorelliError: no run has such a metric.
    """
    if style == "csv":
        return for_spreadsheets(rows)
    _check_metrics(rows, metrics)
    rows = over_folds_and_seeds(rows, columns)
    escaped = markdown if style == "md" else one_line
    captions = [escaped(one) for one in rows.attrs.get("captions", ())]
    leakage = escaped(rows.attrs.get("leakage", ""))
    title = " ".join(filter(None, [_counts(rows), copies_note(rows), leakage, *captions]))
    shown = table_columns(rows, metrics, columns)
    if style != "rich" or width is None:
        text = {f"{_subset(one)}{one.heading}": [cell.with_interval for cell in one.cells] for one in shown}
        return as_text(pd.DataFrame(text), title, style, width)
    failed = next(([cell.text for cell in one.cells] for one in shown if one.group == "failed"), [])
    failures = [
        paragraph(f"{' · '.join(name)} failed: {reason}", width) + "\n"
        for name, reason in zip(network_names(rows, columns, ["backbone"]), failed, strict=False)
        if reason
    ]
    return _on_terminal(shown, title, width, 99 if metrics else _FIRST_TABLES) + "".join(failures)


def _on_terminal(columns: Sequence[TableColumn], title: str, width: int, most: int) -> str:
    """Both subsets of a metric side by side, the first two metrics first, then size and cost."""
    made = {f"{_subset(one).strip()}\n{one.heading}".strip(): one for one in columns if one.group != "failed"}
    units: dict[str, list[str]] = {}
    for heading, one in made.items():
        if one.group != "name":
            units.setdefault(one.heading if _subset(one) else "", []).append(heading)
    sizes = units.pop("", [])
    measured = list(units.values())
    return as_text(
        pd.DataFrame({heading: [cell.with_interval for cell in one.cells] for heading, one in made.items()}),
        title,
        "rich",
        width,
        names=[heading for heading, one in made.items() if one.group == "name"],
        units=[*measured[:2], sizes, *measured[2:]],
        most=most,
        bold=lambda row, heading: heading in made and made[heading].cells[row].is_best,
    )


def _subset(column: TableColumn) -> str:
    return f"{column.group} " if column.group in SUBSETS else ""


def _check_metrics(rows: pd.DataFrame, metrics: Sequence[str]) -> None:
    measured = [key for key in map(str, rows) if key.startswith(SUBSETS) and not key.endswith(_NOT_MEASURED)]
    known = sorted({key.removeprefix("un").removeprefix("seen_") for key in measured})
    for metric in metrics if known else ():  # where every run failed, the table says why
        if metric not in known:
            raise MorelliError(
                f'No run has a metric "{metric}".{did_you_mean(metric, known)} Known: {", ".join(known)}.'
            )


def _counts(rows: pd.DataFrame) -> str:
    parts = []
    for subset in SUBSETS:
        if f"{subset}_artists" in rows:
            in_all = rows["fold"].eq("all") if "runs" in rows else pd.Series(False, index=rows.index)
            counted = rows[[f"{subset}_artists", f"{subset}_paintings"]].assign(in_all=in_all).dropna().astype(int)
            numbers = "; ".join(
                f"{artists} artists, {paintings} paintings" + (" in all folds" if folds else "")
                for artists, paintings, folds in counted.drop_duplicates().to_numpy()
            )
            parts.append(f"{subset.capitalize()}: {numbers}.")
        if f"{subset}_unmeasured" in rows:
            parts += rows[f"{subset}_unmeasured"].dropna().unique().tolist()
    return " ".join(parts)


def copies_note(rows: pd.DataFrame) -> str:
    """How many copies the measured paintings had, and whether they were counted; empty where there were none."""
    if "copies" not in rows:
        return ""
    found = []
    for subset in SUBSETS:
        if f"{subset}_copies" in rows:
            counted = rows[[f"{subset}_copies", f"{subset}_copy_pairs"]].dropna().astype(int).drop_duplicates()
            found += [f"{copies} {subset} ({pairs} pairs)" for copies, pairs in counted.to_numpy() if copies]
    return f"Copies {' or '.join(rows['copies'].dropna().unique())}: {', '.join(found)}."
