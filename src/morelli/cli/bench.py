"""``morelli bench``, ``table`` and ``compare-runs``."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from morelli.cli._options import (
    AsCsv,
    Columns,
    Config,
    Data,
    KeepCopies,
    Log,
    Metrics,
    Overrides,
    Quick,
    Runs,
    Subset,
    overrides_of,
    tell,
    terminal_width,
)

Style = Annotated[Literal["rich", "md", "csv", "latex"], Option("--format", help="How to write the table.")]


def bench(
    config: Config = "demo",
    data: Data = None,
    out: Annotated[Path, Option(help="Where run folders go.")] = Path("runs"),
    quick: Quick = False,
    overrides: Overrides = None,
    keep_copies: KeepCopies = False,
    log: Log = None,
    style: Style = "rich",
    metrics: Metrics = None,
    columns: Columns = None,
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
    from morelli.bench.columns import columns_from
    from morelli.bench.recipe import load_recipe
    from morelli.bench.runner import bench as run_bench

    recipe = load_recipe(config, overrides_of(data, overrides, keep_copies=keep_copies), quick=quick)
    columns_from(columns)  # a mistake is told before the work
    try:
        runs = run_bench(recipe, out, say=tell, log=log)
    except KeyboardInterrupt:
        tell("Interrupted. What is finished is kept; the same command goes on.")
        raise typer.Exit(130) from None
    if not is_first():
        return
    _print([run.path for run in runs], style, metrics, columns)
    if failed := [run for run in runs if run.failure]:
        tell(f"{len(failed)} of {len(runs)} runs failed; the reasons stand in their failure.txt:")
        reasons: dict[str, list[Path]] = {}
        for run in failed:
            reasons.setdefault((run.failure or "").splitlines()[0], []).append(run.path)
        for reason, paths in reasons.items():
            tell("\n".join([f"  {reason}", *(f"    {path}" for path in paths)]))
        raise typer.Exit(1)


def table(
    runs: Runs = None,
    style: Style = "rich",
    metrics: Metrics = None,
    columns: Columns = None,
    artists: Annotated[
        int | None, Option(min=1, metavar="N", help="Show the N best and N worst artists of each run instead, by name.")
    ] = None,
    subset: Subset = "unseen",
) -> None:
    """Make the table again from run folders (by default those in runs/).

    Examples:

        morelli table

        morelli table runs/painters_mini --format csv > table.csv

        morelli table --metric eer --metric brier

        morelli table runs/demo/A --artists 5
    """
    places = runs or [Path("runs")]
    if artists is None:
        _print(places, style, metrics, columns)
        return
    from morelli.bench.artist_tables import artist_table, render_artists
    from morelli.bench.run_folder import find_runs

    rows = artist_table(find_runs(places), subset, *(metrics or [])[:1])
    typer.echo(render_artists(rows, artists, style, width=terminal_width()), nl=False)


def compare_runs(
    first: Annotated[Path, Argument(help="A run folder.")],
    second: Annotated[Path, Argument(help="Another, measured on the same paintings.")],
    metrics: Annotated[list[str] | None, Option("--metric", help="Which metrics; repeatable.")] = None,
    subset: Subset = "unseen",
    as_csv: AsCsv = False,
) -> None:
    """Say how much better one run is than another, with the interval of the difference.

    Each artist is left out of both, so that what the two runs share cancels.

    Example:

        morelli compare-runs runs/demo/A runs/demo/B --metric pair_auc
    """
    from morelli.bench.compare_runs import compare_runs as run_compare
    from morelli.evaluation.metrics import METRICS

    asked = metrics or [metric.name for metric in METRICS if metric.shown_first]
    rows = run_compare(first, second, asked, subset)
    if as_csv:
        typer.echo(rows.to_csv(index=False), nl=False)
        return
    for row in rows.itertuples():
        verdict = "distinguishable from zero" if row.distinguishable else "not distinguishable from zero"
        interval = f"({row.low:+.3f} to {row.high:+.3f}): {verdict}"
        if str(row.low) == "nan":
            interval = "(no interval: too few artists, or nothing varies)"
        typer.echo(
            f"{row.metric}: {row.first:.3f} against {row.second:.3f}, a difference of {row.difference:+.3f} {interval}"
        )


COMMANDS = (bench, table, compare_runs)


def _print(places: list[Path], style: Style, metrics: list[str] | None, paths: list[str] | None) -> None:
    from morelli.bench.columns import columns_from
    from morelli.bench.run_folder import find_runs
    from morelli.bench.tables import render
    from morelli.bench.tables import table as table_of

    columns = columns_from(paths)
    rows = table_of(find_runs(places), columns)
    typer.echo(render(rows, style, metrics or (), width=terminal_width(), columns=columns), nl=False)
