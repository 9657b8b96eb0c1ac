"""Fill the tables of docs/results.md and README.md from run folders, and keep each table as CSV.

Run it with:  python benchmarks/results.py docs/results.md [README.md …] [--csv results]

Every comment `<!-- morelli … -->` is run as it stands; what it prints takes the place of the lines up to
`<!-- end -->`. So no number on those pages is typed in, and the command that made it stands above it. Where the runs of
a command are not here, what stands there stays, and the command is named. With --csv, each table's runs are written to
that folder, one row a run with every measure and interval, and its README.md tells by which command.
"""

import argparse
import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from morelli.cli import app

_FILLED = re.compile(r"(<!-- morelli (.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_LISTED = re.compile(r"^\| \[(.+)\]\(.+\) \| `(.+)` \|$", re.MULTILINE)
_HEAD = """# Results as CSV

Each file holds the runs of one table of [docs/results.md](../docs/results.md) or [README.md](../README.md): one row a
run, `seen_` and `unseen_` measures with `_low` and `_high`, the ends of their 95 % intervals over artists. Written by
`python benchmarks/results.py docs/results.md README.md --csv results`, in the same pass as the tables.

| file | made by |
|:--|:--|
"""


def fill(page: Path, csv: Path | None) -> None:
    """Run a page's commands, put in what they print, and write the tables' CSV files."""

    def filled(found: re.Match[str]) -> str:
        command = shlex.split(found[2])
        done = CliRunner().invoke(app, command)
        if done.exit_code:
            print(f"kept: morelli {found[2]}\n  {done.stderr.strip() or done.exception}")
            return found[0]
        printed = done.stdout.strip()
        is_table = any(line.startswith("|") for line in printed.splitlines())
        if csv and is_table:
            runs = [Path(one) for one in command[1 : command.index("--format")]]
            _write_csv(
                csv, "+".join(one.name for one in runs), shlex.join(["table", *map(str, runs), "--format", "csv"])
            )
        shown = printed if is_table else f"```text\n{printed}\n```"
        return f"{found[1]}\n`morelli {found[2]}`\n\n{shown}\n\n{found[4]}"

    page.write_text(_FILLED.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{page}: filled")


def _write_csv(folder: Path, name: str, command: str) -> None:
    folder.mkdir(exist_ok=True)
    text = CliRunner().invoke(app, shlex.split(command)).stdout
    rounded = re.sub(r"\d+\.\d{9,}", lambda number: f"{float(number[0]):.8f}", text)
    (folder / f"{name}.csv").write_text(rounded, encoding="utf-8")
    readme = folder / "README.md"
    listed = dict(_LISTED.findall(readme.read_text(encoding="utf-8"))) if readme.is_file() else {}
    listed[f"{name}.csv"] = f"morelli {command}"
    rows = [f"| [{file}]({file}) | `{made_by}` |\n" for file, made_by in sorted(listed.items())]
    readme.write_text(_HEAD + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--csv", type=Path, help="the folder for the tables as CSV")
    options = parser.parse_args()
    for one in options.pages:
        fill(one, options.csv)
