"""Tables as text: for a terminal of any width, as Markdown, or as LaTeX."""

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from morelli._text import latex, markdown, one_line

Format = Literal["rich", "md", "csv", "latex"]
_UNBOUNDED = 500  # columns of a pipe


def as_text(
    shown: pd.DataFrame,
    title: str,
    style: Format,
    width: int | None,
    *,
    names: Sequence[str] = (),
    units: Sequence[Sequence[str]] = (),
    most: int = 99,
    bold: Callable[[int, str], bool] = lambda _row, _column: False,
) -> str:
    """Write a table whose cells are what is to be read: ``md`` and ``rich`` with a title above, or ``latex``.

    Args:
        shown: cells as text, a column under each heading.
        title: a paragraph above the table; may be empty.
        style: which format.
        width: of the terminal, for ``rich``; None for a pipe. What does not fit stands in further tables below.
        names: the columns that name a row; they begin each table of a terminal, or a number does if they are too wide.
        units: columns of a terminal by their importance; those of one unit stay side by side where they fit.
        most: how many tables a terminal gets; a line says what is left out.
        bold: whether a cell, by its row's number and its column, is bold on a terminal.
    """
    if style == "md":
        return (
            f"{title}\n\n" if title else ""
        ) + f"{_as(markdown, shown).to_markdown(index=False, disable_numparse=True)}\n"
    if style == "latex":
        return (f"% {title}\n" if title else "") + latex(_as(one_line, shown))
    shown = _as(one_line, shown)
    paragraphs = [paragraph(title, width)] if title else []
    if width is None:
        return "".join([*(f"{one}\n" for one in paragraphs), _rich(shown, names, None, bold)])
    shown.insert(0, "#", list(map(str, range(1, len(shown) + 1))))
    widths = {name: max(map(cell_len, [*name.split("\n"), *shown[name]])) for name in map(str, shown)}
    rest = [list(unit) for unit in units] or [[name] for name in map(str, shown) if name not in ("#", *names)]
    keys = list(names)
    if rest and _wide(widths, [*keys, *rest[0]]) > width:  # then names have tables of their own, and rows have numbers
        keys, rest, most = ["#"], [*([name] for name in names), *rest], most + 1
    tables, left_out = _packed(widths, keys, rest, width, most)
    paragraphs += [_rich(shown[[*keys, *table]], [*keys, *names], width, bold).rstrip("\n") for table in tables or [[]]]
    if left_out:
        names_left = ", ".join(dict.fromkeys(name.split("\n")[-1] for name in left_out))
        shown_by = "A wider terminal, --metric or --format csv shows them."
        paragraphs.append(paragraph(f"Left out, for want of width: {names_left}. {shown_by}", width))
    return "\n".join(paragraphs) + "\n"


def paragraph(text: str, width: int | None) -> str:
    """Text in lines of so many columns, broken between words only."""
    return textwrap.fill(text, width or _UNBOUNDED, break_long_words=False, break_on_hyphens=False)


def with_interval(metrics: Mapping[str, Any], name: str) -> str:
    """A metric of one subset in ``metrics.json`` as ``0.821 (0.783 to 0.859)``; a dash where there is none."""
    value, interval = metrics.get(name), metrics["interval"].get(name)
    if value is None:
        return "-"
    text = f"{value}" if isinstance(value, int) else f"{value:.3f}"
    return text + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _as(written: Callable[[str], str], table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda cell: written(cell) if isinstance(cell, str) else str(cell))


def _wide(widths: dict[str, int], columns: Sequence[str]) -> int:
    return 1 + sum(widths[name] + 3 for name in columns)


def _packed(
    widths: dict[str, int], keys: Sequence[str], units: Sequence[Sequence[str]], width: int, most: int
) -> tuple[list[list[str]], list[str]]:
    """Put each unit into the first table with room for it; return the tables' columns and those left out."""
    tables: list[list[str]] = []
    left_out: list[str] = []
    for unit in units:
        fits = _wide(widths, [*keys, *unit]) <= width
        for part in [unit] if fits else [[name] for name in unit]:
            place = next((one for one in tables if _wide(widths, [*keys, *one, *part]) <= width), None)
            if place is not None:
                place += part
            elif len(tables) < most:
                tables.append(list(part))
            else:
                left_out += part
    return tables, left_out


def _rich(shown: pd.DataFrame, names: Sequence[str], width: int | None, bold: Callable[[int, str], bool]) -> str:
    grid = Table(header_style="bold")
    for name in map(str, shown):
        grid.add_column(Text(name), justify="left" if name in names else "right", no_wrap=True)
    for place, row in enumerate(shown.itertuples(index=False)):
        cells = zip(shown.columns, row, strict=True)
        grid.add_row(*(Text(cell, "bold" if bold(place, name) else "") for name, cell in cells))
    text = io.StringIO()
    console = Console(file=text, width=_UNBOUNDED, force_terminal=width is not None)
    console.print(grid)
    return text.getvalue()
