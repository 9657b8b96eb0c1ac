"""How ``morelli data`` shows its results on a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from morelli._text import one_line
from morelli.data.copies import COPIES

if TYPE_CHECKING:
    from morelli.preparation.prepare import PrepareSummary


def show_summary(summary: "PrepareSummary", out: Path) -> None:
    """Print what a preparation came to."""
    console = Console()
    for line in (*summary.understood, *summary.names.lines()):
        console.print(Text(line))
    rows = [("usable paintings", summary.usable), ("artists", summary.artists), ("repaired", summary.repaired)]
    rows += [(f"left out: {reason}", count) for reason, count in summary.left_out.items()]
    rows += [
        ("duplicates within an artist", summary.duplicates_within_artists),
        ("duplicates across artists", summary.duplicates_across_artists),
        ("copies within an artist", summary.copies),
        ("pictures under several artists", summary.shared_pictures),
        ("files not used", summary.skipped_files),
    ]
    since = (("added", summary.added), ("changed", summary.changed), ("removed", summary.removed))
    rows += [(f"{what} since last time", count) for what, count in since if count]
    done = "was already finished; nothing to do" if summary.already_done else f"is ready after {summary.seconds:,.1f} s"
    console.print(_grid([(name, f"{count:,}") for name, count in rows]))
    console.print(f"{escape(str(out))} {done}.", soft_wrap=True, highlight=False)
    if summary.copies or summary.shared_pictures:
        console.print(f"What is a copy of what: {escape(str(out / COPIES))}", soft_wrap=True, highlight=False)
    if summary.left_out:
        console.print(f"Why each was left out: {escape(str(out / 'left_out.csv'))}", soft_wrap=True, highlight=False)


def show_description(description: dict[str, Any], folder: Path) -> None:
    """Print what a prepared folder holds."""
    sides = description["shorter_side"]
    rows = [
        ("paintings", f"{description['paintings']:,}"),
        ("artists", f"{description['artists']:,}"),
        ("artists with one painting", f"{description['artists_with_one_painting']:,}"),
        ("paintings per artist, median", f"{description['paintings_per_artist']['median']:g}"),
        ("shorter side, pixels", f"{sides['min']} to {sides['max']}, median {sides['median']}"),
    ]
    rows += [
        (f"group {name}", f"{group['paintings']:,} by {group['artists']:,} artists")
        for name, group in description["groups"].items()
    ]
    if any(description["copies"].values()):
        rows += [
            ("copies within an artist", f"{description['copies']['of_one_artist']:,}"),
            ("pictures under several artists", f"{description['copies']['under_several_artists']:,}"),
        ]
    for key, label in (("sources", "from"), ("status", "status"), ("left_out", "left out")):
        rows += [(f"{label}: {name}", f"{count:,}") for name, count in description[key].items()]
    for key, label in (("largest_artists", "most"), ("smallest_artists", "fewest")):
        rows += [(f"{label}: {name}", f"{count:,}") for name, count in description[key].items()]
    console = Console()
    console.print(f"[bold]{escape(str(folder))}[/bold]", soft_wrap=True, highlight=False)
    console.print(_grid(rows))


def _grid(rows: list[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(Text(one_line(name)), value)
    return table
