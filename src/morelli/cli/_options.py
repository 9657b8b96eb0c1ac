"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    str, typer.Argument(help="A recipe: a YAML file, or a built-in one by name (demo, painters_mini, painters, seed).")
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
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="Show this metric; repeatable. CSV always has all.")
]


def overrides_of(data: Path | None, overrides: list[str] | None, *, keep_copies: bool = False) -> list[str]:
    """The recipe overrides that the options --data, --keep-copies and --set stand for."""
    from morelli._yaml import write_yaml

    kept = ["split.keep_copies=true"] if keep_copies else []
    # A folder may be named 2024 or 1e3.
    return [*([f"data={write_yaml(str(data))}"] if data else []), *(overrides or []), *kept]
