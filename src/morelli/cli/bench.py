"""``morelli bench`` and ``morelli table``."""

import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from morelli.cli._options import Config, Data, KeepCopies, Log, Metrics, Overrides, Quick, overrides_of


class TableFormat(StrEnum):
    """How a table is written."""

    rich = "rich"
    md = "md"
    csv = "csv"
    latex = "latex"


class Side(StrEnum):
    """Whose paintings a run was measured on."""

    unseen = "unseen"
    seen = "seen"
    validation = "validation"


_Format = Annotated[TableFormat, typer.Option("--format", help="How to write the table.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel="Compare networks")(bench)
    app.command(rich_help_panel="Compare networks")(table)
    app.command("compare-runs", rich_help_panel="Compare networks")(compare_runs)


def bench(
    config: Config = "demo",
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
    quick: Quick = False,
    overrides: Overrides = None,
    keep_copies: KeepCopies = False,
    log: Log = None,
    style: _Format = TableFormat.rich,
    metrics: Metrics = None,
) -> None:
    """Train and measure every network of a recipe, then print the table.

    The grid is objectives × backbones × folds × seeds, one run folder each. Finished runs are skipped, so the same
    command goes on after an interruption. If a run fails the others go on, the table says so, and the exit code is 1.

    Examples:

        morelli bench

        morelli bench configs/painters_mini.yaml --data prepared/painters-mini --quick

        morelli bench --set seeds=[0,1,2] --format md > table.md
    """
    from morelli._processes import is_first
    from morelli.bench.recipe import load_recipe
    from morelli.bench.runner import bench as run_bench

    recipe = load_recipe(config, overrides_of(data, overrides, keep_copies=keep_copies), quick=quick)
    try:
        runs = run_bench(recipe, out, say=lambda line: typer.echo(line, err=True), log=log.value if log else None)
    except KeyboardInterrupt:
        typer.echo("Interrupted. What is finished is kept; the same command goes on.", err=True)
        raise typer.Exit(130) from None
    if not is_first():
        return
    _print([run.path for run in runs], style, metrics)
    if failed := [run for run in runs if run.failure]:
        typer.echo(f"{len(failed)} of {len(runs)} runs failed; the reasons stand in their failure.txt:", err=True)
        reasons: dict[str, list[Path]] = {}
        for run in failed:
            reasons.setdefault((run.failure or "").splitlines()[0], []).append(run.path)
        for reason, paths in reasons.items():
            typer.echo("\n".join([f"  {reason}", *(f"    {path}" for path in paths)]), err=True)
        raise typer.Exit(1)


def table(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders that hold them at any depth.")
    ] = None,
    style: _Format = TableFormat.rich,
    metrics: Metrics = None,
    artists: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show the N best and N worst artists of each run instead, by name."),
    ] = None,
    side: Annotated[Side, typer.Option(help="Whose artists, with --artists.")] = Side.unseen,
) -> None:
    """Make the table again from run folders (by default those in runs/).

    Examples:

        morelli table

        morelli table runs/painters_mini --format csv > table.csv

        morelli table --metric eer --metric brier

        morelli table runs/demo/A --artists 5
    """
    if artists is None:
        _print(runs or [Path("runs")], style, metrics)
        return
    from morelli.bench.artist_tables import artist_table, render_artists
    from morelli.bench.run_folder import find_runs

    rows = artist_table(find_runs(runs or [Path("runs")]), side.value, *(metrics or [])[:1])
    typer.echo(render_artists(rows, artists, style.value, width=_terminal_width()), nl=False)


def compare_runs(
    first: Annotated[Path, typer.Argument(help="A run folder.")],
    second: Annotated[Path, typer.Argument(help="Another, measured on the same paintings.")],
    metrics: Annotated[list[str] | None, typer.Option("--metric", help="Which metrics; repeatable.")] = None,
    side: Annotated[Side, typer.Option(help="Which artists.")] = Side.unseen,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
) -> None:
    """Say how much better one run is than another, with the interval of the difference.

    Each artist is left out of both, so that what the two runs share cancels.

    Example:

        morelli compare-runs runs/demo/A runs/demo/B --metric pair_auc
    """
    from morelli.bench.compare_runs import compare_runs as run_compare
    from morelli.bench.tables import FIRST_METRICS

    rows = run_compare(first, second, metrics or FIRST_METRICS, side.value)
    if as_csv:
        typer.echo(rows.to_csv(index=False), nl=False)
        return
    for row in rows.itertuples():
        verdict = "distinguishable from zero" if row.distinguishable else "not distinguishable from zero"
        interval = f"({row.low:+.3f} to {row.high:+.3f}): {verdict}"
        if isinstance(row.low, float) and math.isnan(row.low):
            interval = "(no interval: too few artists, or nothing varies)"
        typer.echo(
            f"{row.metric}: {row.first:.3f} against {row.second:.3f}, a difference of {row.difference:+.3f} {interval}"
        )


def _print(places: list[Path], style: TableFormat, metrics: list[str] | None) -> None:
    from morelli.bench.run_folder import find_runs
    from morelli.bench.tables import render
    from morelli.bench.tables import table as table_of

    text = render(table_of(find_runs(places)), style.value, metrics or (), width=_terminal_width())
    typer.echo(text, nl=False)


def _terminal_width() -> int | None:
    """Columns of the terminal; None where the table goes into a pipe."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console().width
