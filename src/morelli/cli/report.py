"""``morelli report``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from morelli.cli._options import Columns, Runs, tell


def report(
    runs: Runs = None,
    out: Annotated[Path, Option(help="The HTML file to write.")] = Path("report.html"),
    data: Annotated[Path | None, Option(help="The prepared folder of the runs, for the map and the galleries.")] = None,
    run: Annotated[
        str | None, Option(help="Whose map, galleries and artists to show; by default the best on validation artists.")
    ] = None,
    no_images: Annotated[bool, Option("--no-images", help="Leave out every picture of a painting.")] = False,
    columns: Columns = None,
) -> None:
    """Show runs (by default those in runs/) in one HTML file that opens anywhere, without a network.

    It holds the table, ROC, reliability and learning curves, histograms of scores, a map of the unseen artists'
    paintings, galleries of nearest paintings, every artist, and the config and split of every run.

    Examples:

        morelli report runs/demo --out demo.html

        morelli report runs/mine --data prepared/mine --no-images
    """
    from morelli.bench.columns import columns_from
    from morelli.report.report import report as write_report

    mine = columns_from(columns)
    made = write_report(runs or [Path("runs")], out, data=data, run=run, images=not no_images, columns=mine, say=tell)
    typer.echo(
        f"{made.path}: {made.runs} runs, {made.paintings:,} pictures of paintings, {made.megabytes:.1f} MB, "
        f"made in {made.seconds:.0f} s. Map, galleries and artists: {made.chosen}."
    )


COMMANDS = (report,)
