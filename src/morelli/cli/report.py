"""``morelli report``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Compare networks")(report)


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders that hold them at any depth.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    data: Annotated[
        Path | None,
        typer.Option(help="The prepared folder of the runs, for the map and the galleries.", show_default=False),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Whose map, galleries and artists to show; by default the best on validation artists."),
    ] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave out every picture of a painting.")] = False,
) -> None:
    """Show runs (by default those in runs/) in one HTML file that opens anywhere, without a network.

    It holds the table, ROC, reliability and learning curves, histograms of scores, a map of the unseen artists'
    paintings, galleries of nearest paintings, every artist, and the config and split of every run.

    Examples:

        morelli report runs/demo --out demo.html

        morelli report runs/mine --data prepared/mine --no-images
    """
    from morelli.report.report import report as write_report

    summary = write_report(
        runs or [Path("runs")],
        out,
        data=data,
        run=run,
        images=not no_images,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(
        f"{summary.path}: {summary.runs} runs, {summary.paintings:,} pictures of paintings, "
        f"{summary.megabytes:.1f} MB, made in {summary.seconds:.0f} s. Map, galleries and artists: {summary.chosen}."
    )
