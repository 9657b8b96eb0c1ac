"""Options that several commands share."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from morelli.models.packaged import DEFAULT as DEFAULT

Config = Annotated[
    str,
    typer.Argument(help="A recipe: a YAML file, or a built-in one by name (demo, painters_mini, competition, seed)."),
]
Data = Annotated[Path | None, typer.Option(help="A prepared folder, instead of the recipe's.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. training.epochs=10. Repeatable."),
]


class Tracker(StrEnum):
    """Where training is logged."""

    tensorboard = "tensorboard"


Log = Annotated[
    Tracker | None, typer.Option("--log", help="Log each epoch there too, in the run folder.", show_default=False)
]
KeepCopies = Annotated[
    bool,
    typer.Option("--keep-copies", help="Count copies of a painting (resized, saved again, mirrored) as paintings."),
]
Quick = Annotated[bool, typer.Option("--quick", help="The recipe's quick variant: minutes instead of hours.")]
Model = Annotated[
    str,
    typer.Option(help="A packaged network's name, a run folder, its model/ folder, or OWNER/NAME on the model hub."),
]
ModelFirst = Annotated[Path | None, typer.Argument(hidden=True, metavar="")]
"""Takes the last argument of commands as they were, with the model first."""
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="Show this metric; repeatable. CSV always has all.")
]


class ModelLastCommand(TyperCommand):
    """A command that does not show the argument of its former form in its usage."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece for piece in super().collect_usage_pieces(ctx) if piece != "[]"]


def model_first(command: str, first: Path, *others: Path) -> tuple[Any, ...]:
    """The model and the arguments of a command that was typed as before: the model first, not with --model."""
    now = shlex.join(["morelli", command, *map(str, others), "--model", str(first)])
    typer.echo(f"Note: the model is named with --model now: {now}", err=True)
    return str(first), *others


def overrides_of(data: Path | None, overrides: list[str] | None, *, keep_copies: bool = False) -> list[str]:
    """The recipe overrides that the options --data, --keep-copies and --set stand for."""
    from morelli._yaml import write_yaml

    kept = ["split.keep_copies=true"] if keep_copies else []
    # A folder may be named 2024 or 1e3.
    return [*([f"data={write_yaml(str(data))}"] if data else []), *(overrides or []), *kept]
