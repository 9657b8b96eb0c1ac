"""How ``morelli data`` shows its results on a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
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
        console.print(Text(one_line(line)))
    since = {"added": summary.added, "changed": summary.changed, "removed": summary.removed}
    counts = {
        "usable paintings": summary.usable,
        "artists": summary.artists,
        "repaired": summary.repaired,
        **{f"left out: {reason}": count for reason, count in summary.left_out.items()},
        "duplicates within an artist": summary.duplicates_within_artists,
        "duplicates across artists": summary.duplicates_across_artists,
        "copies within an artist": summary.copies,
        "pictures under several artists": summary.shared_pictures,
        "files not used": summary.skipped_files,
        **{f"{what} since last time": count for what, count in since.items() if count},
    }
    _show_counts(console, counts)
    done = "was already finished; nothing to do" if summary.already_done else f"is ready after {summary.seconds:,.1f} s"
    lines = [f"{out} {done}."]
    if summary.copies or summary.shared_pictures:
        lines.append(f"What is a copy of what: {out / COPIES}")
    if summary.left_out:
        lines.append(f"Why each was left out: {out / 'left_out.csv'}")
    console.print(Text("\n".join(map(one_line, lines))), soft_wrap=True)


def show_description(description: dict[str, Any], folder: Path) -> None:
    """Print what a prepared folder holds."""
    shorter, copies = description["shorter_side"], description["copies"]
    counts: dict[str, Any] = {
        "paintings": description["paintings"],
        "artists": description["artists"],
        "artists with one painting": description["artists_with_one_painting"],
        "paintings per artist, median": f"{description['paintings_per_artist']['median']:g}",
        "shorter side, pixels": f"{shorter['min']} to {shorter['max']}, median {shorter['median']}",
    }
    for name, group in description["groups"].items():
        counts[f"group {name}"] = f"{group['paintings']:,} by {group['artists']:,} artists"
    if any(copies.values()):
        counts["copies within an artist"] = copies["of_one_artist"]
        counts["pictures under several artists"] = copies["under_several_artists"]
    for key, label in (
        ("sources", "from"),
        ("status", "status"),
        ("left_out", "left out"),
        ("largest_artists", "most"),
        ("smallest_artists", "fewest"),
    ):
        counts |= {f"{label}: {name}": count for name, count in description[key].items()}
    console = Console()
    console.print(Text(one_line(str(folder)), "bold"), soft_wrap=True)
    _show_counts(console, counts)


def _show_counts(console: Console, counts: Mapping[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in counts.items():
        table.add_row(Text(one_line(name)), value if isinstance(value, str) else f"{value:,}")
    console.print(table)
