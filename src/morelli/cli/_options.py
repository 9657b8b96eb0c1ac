"""Options and arguments that several commands share."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option
from typer.core import TyperCommand

from morelli._text import shown
from morelli.models.packaged import DEFAULT as DEFAULT

Config = Annotated[
    str, Argument(help="A recipe: a YAML file, or a built-in one by name (demo, painters_mini, competition, seed).")
]
Data = Annotated[Path | None, Option(help="A prepared folder, instead of the recipe's.")]
Overrides = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. training.epochs=10. Repeatable.")
]
Log = Annotated[
    str | None,
    Option("--log", metavar="TRACKER", help="Log each epoch there too: tensorboard, trackio, wandb, mlflow, ..."),
]
KeepCopies = Annotated[
    bool, Option("--keep-copies", help="Count copies of a painting (resized, saved again, mirrored) as paintings.")
]
Quick = Annotated[bool, Option("--quick", help="The recipe's quick variant: minutes instead of hours.")]
Runs = Annotated[list[Path] | None, Argument(help="Run folders, or folders that hold them at any depth.")]
Metrics = Annotated[list[str] | None, Option("--metric", help="Show this metric; repeatable. CSV always has all.")]
Columns = Annotated[
    list[str] | None, Option("--column", metavar="PACKAGE.MODULE:NAME", help="Add a column of your own; repeatable.")
]
Subset = Annotated[Literal["unseen", "seen", "validation"], Option("--subset", "--side", help="Which artists.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, Option("--csv", help="Print the rows as CSV.")]
Workers = Annotated[int | None, Option(help="Processes; by default one a core.")]
Model = Annotated[
    str, Option(help="A packaged network's name, a run folder, its model/ folder, or OWNER/NAME on the model hub.")
]
ModelFirst = Annotated[Path | None, Argument(hidden=True, metavar="")]
"""Takes the last argument of commands as they were, with the model first."""


class Command(TyperCommand):
    """A command that takes ``--out=~/x``, which shells leave as it is, for a place in the home folder.

    The argument of a command's former form is not shown in its usage. A command that is interrupted and says nothing
    better itself says what its user can do, and ends with 130.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            tell("Interrupted. Nothing is half written; the same command goes on, or begins again.")
            raise typer.Exit(130) from None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        ctx.params = {name: _at_home(value) for name, value in ctx.params.items()}
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece for piece in super().collect_usage_pieces(ctx) if piece != "[]"]


def _at_home(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_at_home, value))
    is_there = isinstance(value, str | Path) and str(value).startswith("~/")
    return type(value)(Path(value).expanduser()) if is_there else value


def model_first(command: str, first: Path, *others: Path) -> tuple[Any, ...]:
    """The model and the arguments of a command that was typed as before: the model first, not with --model."""
    now = shlex.join(["morelli", command, *map(str, others), "--model", str(first)])
    tell(f"Note: the model is named with --model now: {now}")
    return str(first), *others


def overrides_of(data: Path | None, overrides: list[str] | None, *, keep_copies: bool = False) -> list[str]:
    """The recipe overrides that the options --data, --keep-copies and --set stand for."""
    from morelli._yaml import write_yaml

    kept = ["split.keep_copies=true"] if keep_copies else []
    # A folder may be named 2024 or 1e3.
    return [*([f"data={write_yaml(str(data))}"] if data else []), *(overrides or []), *kept]


def tell(line: str) -> None:
    """Print a line about the work to stderr; results go to stdout."""
    typer.echo(shown(line), err=True)


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes into a pipe."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else None
