"""Fill the tables of docs/results.md and README.md from run folders.

Run it with:  python benchmarks/results.py docs/results.md [README.md …]

Every comment `<!-- morelli … -->` is run as it stands; what it prints takes the place of the lines up to
`<!-- end -->`. So no number on those pages is typed in, and the command that made it stands above it. Where the runs of
a command are not here, what stands there stays, and the command is named.
"""

import re
import shlex
import sys
from pathlib import Path

from typer.testing import CliRunner

from morelli.cli import app

_FILLED = re.compile(r"(<!-- morelli (.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def _fill(found: re.Match[str]) -> str:
    done = CliRunner().invoke(app, shlex.split(found[2]))
    if done.exit_code:
        print(f"kept: morelli {found[2]}\n  {done.stderr.strip() or done.exception}")
        return found[0]
    printed = done.stdout.strip()
    is_table = any(line.startswith("|") for line in printed.splitlines())
    shown = printed if is_table else f"```text\n{printed}\n```"
    return f"{found[1]}\n`morelli {found[2]}`\n\n{shown}\n\n{found[4]}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(_FILLED.sub(_fill, path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{path}: filled")
