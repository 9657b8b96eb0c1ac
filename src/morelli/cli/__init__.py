"""The ``morelli`` command. Each command calls one importable function; heavy modules are imported inside it."""

import atexit
import gc
import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated, TextIO

import typer
from typer import Option

from morelli._files import sentence_of
from morelli._text import shown
from morelli.cli import bench, competition, data, gallery, networks, report
from morelli.cli._options import Command
from morelli.cli._output import prepare_output
from morelli.errors import MorelliError, MorelliWarning

app = typer.Typer(
    name="morelli",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", rich_help_panel="Paintings")
for _module, _panel in (
    (gallery, "Your own pictures"),
    (bench, "Compare networks"),
    (report, "Compare networks"),
    (networks, "One network"),
    (competition, "The competition"),
):
    for _command in _module.COMMANDS:
        app.command(cls=Command, rich_help_panel=_panel)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("morelli"))
        raise typer.Exit()


@app.callback()
def about(
    _version: Annotated[bool, Option("--version", callback=_print_version, is_eager=True)] = False,
    imports: Annotated[
        list[str] | None,
        Option("--import", metavar="MODULE", help="Import this first, as a module with a scorer of your own."),
    ] = None,
) -> None:
    """Tell painters apart: are two paintings by the same hand, also when that hand was never seen in training?

    With two pictures: `morelli compare ONE OTHER`; a trained network comes with the package. To compare losses and
    backbones: `morelli bench` paints synthetic paintings, trains on them and prints how well each network tells
    painters apart; then on your own, `morelli data prepare FOLDER --out DIR` and `morelli bench --data DIR`.
    """
    from morelli._dotted import load_dotted  # it loads pandas

    for name in imports or ():
        load_dotted(f"{name}:__name__", str, "a module")


def main() -> None:
    """Run the command line; a user's mistake is printed without a traceback and exits with status 2."""
    # Importing torch and timm makes a million objects that stay: looking for garbage among them, and again at the end,
    # takes a third of a short command.
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)
    prepare_output()
    warnings.simplefilter("always", MorelliWarning)
    warnings.showwarning = _show_warning
    terminated: list[int] = []

    def terminate(number: int, _: object) -> None:
        terminated.append(number)
        raise KeyboardInterrupt  # so that a batch system's end costs no more than Ctrl-C

    with suppress(ValueError):  # in a thread of somebody's own
        signal.signal(signal.SIGTERM, terminate)
    try:
        app()
    except SystemExit as ended:
        if terminated and ended.code == 130:
            sys.exit(143)
        raise
    except MorelliError as error:
        _fail(str(error))
    except OSError as error:
        _fail(sentence_of(error))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(f"Note: {shown(str(message))}\n" if issubclass(category, MorelliWarning) else text)


def _fail(message: str) -> None:
    sys.stderr.write(f"Error: {shown(message)}\n")
    sys.exit(2)
