"""What an artist's name holds is text in every kind of table."""

import csv
import html
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from morelli.bench.artist_tables import artist_table, render_artists
from morelli.bench.run_folder import RunFolder

NAMES = [
    "Ann | Lee",
    "=SUM(A1)",
    "+1",
    "-1+1",
    "@x",
    "[bold]Ray[/]",
    "[/]",
    "A_B % C & D",
    "<script>alert(1)</script>",
    "_x_ *y* `z` ~~q~~",
    "[a](http://x)",
    ":smile:",
    "back\\slash|",
    "\\textbf{x} $5 #1 ^",
    "&lt; AT&T",
    "*",
    "NA",
    "007",
    "葛飾 北斎",
]
UNSHOWABLE = "two\nlines \x1b[31mred \u202eback"
SHOWN = "two lines \\x1b[31mred \\u202eback"


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    names = [*NAMES, UNSHOWABLE]
    measures = [1 - place / 100 for place in range(len(names))]
    table = pd.DataFrame({"artist": names, "paintings": 5, "pair_auc": measures})
    table.to_csv(tmp_path / "per_artist_unseen.csv", index=False)
    return artist_table([RunFolder(tmp_path)])


def test_names_are_read_back_as_written(rows: pd.DataFrame) -> None:
    assert rows["artist"].tolist() == [*NAMES, UNSHOWABLE]


def test_markdown_shows_names_as_they_are(rows: pd.DataFrame) -> None:
    page = MarkdownIt("gfm-like", {"linkify": False}).render(render_artists(rows, 99, "md"))
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in page.split("<tr>")[2:]]

    assert {len(row) for row in cells} == {4}
    assert [html.unescape(row[1]) for row in cells] == [*NAMES, SHOWN]


def test_latex_escapes_names(rows: pd.DataFrame) -> None:
    lines = render_artists(rows, 99, "latex").split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()

    assert len(lines) == len(rows)
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == 3
        assert not re.search(r"(?<!\\)[%#$_]|[|<>]|\\textbf\{", line)
    assert "A\\_B \\% C \\& D" in lines[7]


def test_a_line_of_latex_begins_with_no_option() -> None:
    from morelli.bench.tables import as_text

    lines = as_text(pd.DataFrame({"artist": ["[1cm]", "*"]}), "", "latex", None).splitlines()
    assert [line for line in lines if "1cm" in line or "*" in line] == ["{}[1cm] \\\\", "{}* \\\\"]


def test_the_terminal_gets_no_markup_and_no_commands(rows: pd.DataFrame) -> None:
    for width in (None, 100):
        text = re.sub(r"\x1b\[\d*m", "", render_artists(rows, 99, "rich", width=width))
        assert "\x1b" not in text
        assert [line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│")] == [*NAMES, SHOWN]


def test_no_spreadsheet_runs_a_name(rows: pd.DataFrame) -> None:
    cells = [row["artist"] for row in csv.DictReader(io.StringIO(render_artists(rows, 1, "csv"), newline=""))]

    assert cells[1:5] == ["'=SUM(A1)", "'+1", "'-1+1", "'@x"]
    assert [cell.removeprefix("'") for cell in cells] == [*NAMES, UNSHOWABLE]
