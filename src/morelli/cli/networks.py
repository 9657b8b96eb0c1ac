"""``morelli train``, ``evaluate``, ``calibrate``, ``models`` and ``backbones``."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from morelli.cli._options import (
    DEFAULT,
    AsJson,
    Config,
    Data,
    KeepCopies,
    Log,
    Model,
    ModelFirst,
    Overrides,
    Quick,
    model_first,
    overrides_of,
    tell,
    terminal_width,
)


def train(
    config: Config = "demo",
    data: Data = None,
    out: Annotated[Path, Option(help="The run folder to write.")] = Path("runs/train"),
    objective: Annotated[
        str | None, Option(help="Which of the recipe's objectives; by default the first trained.")
    ] = None,
    backbone: Annotated[str | None, Option(help="Which of the recipe's backbones; by default the first.")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with an interrupted training.")] = False,
    quick: Quick = False,
    overrides: Overrides = None,
    keep_copies: KeepCopies = False,
    log: Log = None,
) -> None:
    """Train one network and measure it on seen and unseen artists.

    Ctrl-C leaves the best network so far in OUT/model; `--resume` goes on from there.

    Examples:

        morelli train painters_mini --data prepared/painters-mini --objective triplet --out runs/mine

        morelli train --set training.epochs=5 --out runs/quick
    """
    from morelli._processes import is_first
    from morelli.bench.recipe import load_recipe
    from morelli.bench.runner import train as run_train

    recipe = load_recipe(config, overrides_of(data, overrides, keep_copies=keep_copies), quick=quick)
    try:
        run = run_train(recipe, out, objective=objective, backbone=backbone, resume=resume, log=log, say=tell)
    except KeyboardInterrupt:
        kept = f"The best network so far is in {out / 'model'}"
        if not (out / "model").is_dir():
            kept = "It was not yet measured on the validation artists, so no network was kept"
        tell(f"Interrupted. {kept}; the same command with --resume goes on.")
        raise typer.Exit(130) from None
    if not is_first():
        return
    from morelli.bench.tables import render, table

    typer.echo(render(table([run]), "rich"), nl=False)
    tell(f"Model: {run.path / 'model'}")


def evaluate(
    data: Annotated[Path, Option(help="The prepared folder to measure on.")],
    first: ModelFirst = None,
    model: Model = DEFAULT,
    as_json: AsJson = False,
    keep_copies: KeepCopies = False,
    own_metrics: Annotated[
        list[str] | None,
        Option("--with-metric", metavar="PACKAGE.MODULE:NAME", help="Measure this metric, too; repeatable."),
    ] = None,
    cohort: Annotated[
        Path | None,
        Option(help="Pictures like these, a folder or index: normalise scores by them. By default the data's own."),
    ] = None,
    never_seen: Annotated[
        bool, Option("--never-seen", help="Only artists that it was neither trained nor validated on.")
    ] = False,
    shift: Annotated[
        bool,
        Option("--shift", help="Measure again as JPEGs of quality 30, half size, recaptured, grey and cropped."),
    ] = False,
    own_conditions: Annotated[
        list[str] | None,
        Option("--with-condition", metavar="PACKAGE.MODULE:NAME", help="Add a condition to --shift; repeatable."),
    ] = None,
    resamples: Annotated[int | None, Option(min=0, hidden=True)] = None,
    out: Annotated[
        Path | None, Option(help="A folder to keep the metrics in, with what reports and comparisons read.")
    ] = None,
) -> None:
    """Measure a finished network on any prepared folder.

    Artists whose name is in the network's training list are reported as seen, all others as unseen.

    Examples:

        morelli evaluate --data prepared/mine

        morelli evaluate --data prepared/other --model runs/mine --out measured/mine --json

        morelli evaluate --data prepared/other --never-seen --shift
    """
    from morelli._json import json_text
    from morelli.bench.measure import evaluate_network, render_evaluation
    from morelli.bench.recipe import NO_RESAMPLES
    from morelli.evaluation.shift import load_conditions
    from morelli.gallery.scoring import cohort_embeddings

    if first:
        (model,) = model_first("evaluate", first)
    if resamples is not None:
        tell(f"Note: {NO_RESAMPLES}")
    pictures = partial(cohort_embeddings, cohort) if cohort else None
    measured = evaluate_network(
        model,
        data,
        metrics=own_metrics or (),
        out=out,
        keep_copies=keep_copies,
        never_seen=never_seen,
        cohort=pictures,
        conditions=load_conditions(own_conditions or ()) if shift or own_conditions else (),
    )
    if as_json:
        typer.echo(json_text(measured))
    else:
        typer.echo(render_evaluation(measured, width=terminal_width()), nl=False)


def calibrate(
    data: Annotated[Path, Option(help="A prepared folder with artists that the network was not trained on.")],
    out: Annotated[Path, Option(help="The folder for the network with what it learned.")],
    first: ModelFirst = None,
    model: Model = DEFAULT,
    method: Annotated[Literal["platt", "temperature"], Option(help="How scores become probabilities.")] = "platt",
) -> None:
    """Learn a network's threshold, likelihood ratios and identification anew.

    For pictures of another kind than it was validated on, or a network of an earlier version. Its embeddings stay as
    they are, so indexes made with it go on to fit. It learns on its own validation artists where the folder has them,
    else on all that it was not trained on.

    Example:

        morelli calibrate --data prepared/mine --out painters-for-mine
    """
    from morelli.bench.calibrate import calibrate_network

    if first:
        (model,) = model_first("calibrate", first)
    typer.echo(calibrate_network(model, data, out, method=method).text())


def models() -> None:
    """List the networks that come with the package, with their figures on artists never seen in training.

    Example:

        morelli models
    """
    from morelli.gallery.catalogue import packaged_networks

    for network in packaged_networks():
        typer.echo(network.text())
    typer.echo(
        "Each is named with --model, as in: morelli compare a.jpg b.jpg --model painters\n"
        "A network on the model hub is named by its owner too: --model OWNER/NAME"
    )


def backbones(
    pattern: Annotated[str, Argument(help="Names to list, with * as wildcard.")] = "*",
    pretrained: Annotated[bool, Option("--pretrained", help="Only those timm has weights for.")] = False,
) -> None:
    """List the backbones: every timm model, and whether its weights need a network.

    Example:

        morelli backbones '*lite*'
    """
    import timm

    from morelli.errors import MorelliError, did_you_mean
    from morelli.models.weights import weights_at_hand

    names = timm.list_models(pattern, pretrained=pretrained)
    if not names:
        near = did_you_mean(pattern.strip("*"), timm.list_models())
        raise MorelliError(
            f"timm has no backbone that matches \"{pattern}\".{near} Try: morelli backbones '*efficientnet*'"
        )
    for name in names:
        typer.echo(f"{name}\t{weights_at_hand(name)}")


COMMANDS = (train, evaluate, calibrate, models, backbones)
