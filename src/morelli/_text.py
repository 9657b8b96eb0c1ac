"""Escaping of names for terminals, Markdown, LaTeX and spreadsheets, in which no name is a command."""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

# Control characters, marks that turn the direction of writing, and bytes of file names that are no UTF-8.
UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What GitHub's Markdown understands inside a cell; brackets alone and underscores inside words mean nothing to it.
_MARKDOWN: Final = re.compile(r"[\\|`*<]|(?<!\w)_|_(?!\w)|(?<=\])[(]|~(?=~)|&(?=#?\w+;)|(?<=~)~")
_LATEX: Final = str.maketrans({"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"})
_OPTION: Final = re.compile(r"^(?=[\[*])", re.MULTILINE)  # which LaTeX would read as an option of the line break
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula, after OWASP's *CSV Injection*."""


def one_line(text: str) -> str:
    r"""Put text on one line, and show what would move a terminal's cursor: ``\x1b``."""
    return UNSHOWABLE.sub(_escape, " ".join(text.split()))


def shown(text: str) -> str:
    """As :func:`one_line`, but lines and spaces stay."""
    return "\n".join(UNSHOWABLE.sub(_escape, line) for line in text.split("\n"))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def markdown(text: str) -> str:
    """Escape what a table cell of Markdown would not show as it is."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def latex(table: "pd.DataFrame") -> str:
    """A table in LaTeX, escaped."""
    text: str = table.to_latex(index=False, escape=True).translate(_LATEX)
    return _OPTION.sub("{}", text)


def for_spreadsheets(table: "pd.DataFrame") -> str:
    """CSV in which no text is a formula: an apostrophe stands before one, as spreadsheets themselves have it."""
    return table.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell).to_csv(
        index=False
    )
