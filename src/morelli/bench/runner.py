"""The bench: every run of a recipe's grid, one run folder each; or one run alone."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from morelli._csv import write_csv
from morelli._files import UnwritableError, cache_folder, write_text_whole
from morelli._locks import only_writer
from morelli._processes import first_goes_first, is_first, on_main_process, processes
from morelli.bench.concatenated import concatenate, concatenated_config, fold_groups
from morelli.bench.environment import environment
from morelli.bench.experiment import Experiment
from morelli.bench.grid import GridPoint, check_objective, fit_grid, grid
from morelli.bench.model_card import write_model_card
from morelli.bench.recipe import Recipe
from morelli.bench.run_folder import ENVIRONMENT, FAILURE, METRICS, RunFolder, data_digest, refuse_prepared_folder
from morelli.data.copies import paintings_and_copies
from morelli.errors import MorelliError, did_you_mean
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.checkpoint import CHECKPOINT
from morelli.training.fit import check_tracker

Say = Callable[[str], None]


def bench(
    recipe: Recipe, out: Path, *, say: Say = lambda _: None, resume: bool = True, log: str | None = None
) -> list[RunFolder]:
    """Make every run of the grid that is not finished; one that fails is recorded and the others go on.

    With several processes a failed run stops the bench instead, since not all of them may have failed at one place.

    Args:
        recipe: what to run.
        out: run folders are made in ``out/<recipe name>/``.
        say: told what happens, a line each.
        resume: go on with half-trained runs instead of training them again.
        log: where to log training too, in every run's folder.

    Returns:
        The run folders, finished or failed, in the grid's order; then, for a split ``rotation``, those of the folds'
        embeddings end to end.
    """
    check_tracker(log)
    points = grid(recipe)
    data, paintings = _paintings(recipe)
    points, notes = fit_grid(points, paintings)
    told: set[str] = set()
    if not is_first():
        say = told.add  # the first process speaks for all

    def run_once(
        run: RunFolder,
        title: str,
        config: Callable[[], dict[str, Any]],
        work: Callable[..., None],
        *about: Any,
        **how: Any,
    ) -> None:
        on_main_process(lambda: run.start(config()))
        if on_main_process(lambda: _is_finished(run)):
            say(f"{title}: finished before")
            return
        _record(run, title, say, told, partial(work, *about, **how))
        tell(_notes(run))

    def tell(lines: list[str]) -> None:
        for line in lines:
            if line not in told:
                say(line)
                told.add(line)

    tell(notes)
    digest = data_digest(paintings)
    runs = [RunFolder(out / recipe.name / point.folder_name) for point in points]
    with _only_one(out / recipe.name):
        for number, (point, run) in enumerate(zip(points, runs, strict=True), 1):
            title, config = f"[{number}/{len(points)}] {point.folder_name}", partial(point.resolved, digest)
            run_once(run, title, config, run_experiment, point, data, paintings, run, resume=resume, log=log)
        for run, of_folds in fold_groups(points, runs):
            runs.append(run)
            config = partial(concatenated_config, of_folds)
            run_once(run, run.path.name, config, concatenate, of_folds, data, paintings, run)
    return runs


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold a folder, which may not be a prepared one, against another bench or training; the first process does it."""
    refuse_prepared_folder(folder)
    with ExitStack() as held:
        on_main_process(lambda: held.enter_context(only_writer(folder)))
        yield


def _record(run: RunFolder, title: str, say: Say, told: set[str], work: Callable[[], None]) -> None:
    """Do a run's work; leave its failure, if it fails, in its folder: one failure must not lose the table.

    What was said of a run before, as of weights that several lack, is not said again.
    """
    started = time.perf_counter()
    try:
        work()
    except UnwritableError:
        raise  # neither the failure nor the runs after it could be written
    except Exception as error:
        cause, details = str(error), ""
        if not isinstance(error, MorelliError):
            cause, details = f"{type(error).__name__}: {error}", f"\n{traceback.format_exc()}"
        if is_first():
            write_text_whole(run.path / FAILURE, f"{cause}\n{details}")
        if processes().num_processes > 1:
            raise
        reason = cause.splitlines()[0]
        say(f"{title}: FAILED" + (", as said above" if reason in told else f": {reason}"))
        told.add(reason)
    else:
        say(f"{title}: {time.perf_counter() - started:.0f} s")


def train(
    recipe: Recipe,
    out: Path,
    *,
    objective: str | None = None,
    backbone: str | None = None,
    resume: bool = False,
    log: str | None = None,
    say: Say = lambda _: None,
) -> RunFolder:
    """Train and measure one network of a recipe: by default its first backbone with its first trained objective.

    ``say`` is told what was fitted to the paintings, a line each.

    Raises:
        MorelliError: the recipe has no such objective or backbone, ``out`` holds another or a finished run, or what
            ``log`` needs is not installed.
        KeyboardInterrupt: passed on, after the best network so far was saved.
    """
    check_tracker(log)
    objectives = {one.name: one for one in recipe.objectives}
    backbones = {one.label: one for one in recipe.backbones} | {one.name: one for one in reversed(recipe.backbones)}
    first_trained = next((one for one in recipe.objectives if one.trains), recipe.objectives[0])
    point = GridPoint(
        recipe,
        _chosen(backbones, backbone, "backbone") or recipe.backbones[0],
        _chosen(objectives, objective, "objective") or first_trained,
        0,
        recipe.seeds[0],
    )
    check_objective(point)
    run = RunFolder(out)
    if on_main_process(lambda: _is_finished_before(run, resume)):
        return run
    data, paintings = _paintings(recipe)
    (point,), notes = fit_grid([point], paintings)
    for note in notes if is_first() else ():
        say(note)
    with _only_one(out):
        on_main_process(lambda: _is_finished_before(run, resume))  # by one that was waited for
        on_main_process(lambda: run.start(point.resolved(data_digest(paintings))))
        run_experiment(point, data, paintings, run, resume=resume, log=log)
    for note in _notes(run):
        say(note)
    return run


def run_experiment(
    point: GridPoint,
    data: Path,
    paintings: pd.DataFrame,
    run: RunFolder,
    *,
    resume: bool = True,
    log: str | None = None,
) -> None:
    """Train and measure one network and write its run folder; ``run.start`` must have been called.

    An interrupted training leaves the best network so far, once it was measured on the validation artists. All
    processes work, the first one writes.

    Raises:
        MorelliError: the split, the backbone, the objective or the training cannot be had as asked.
    """
    experiment = Experiment(point, data, paintings, run.path, resume=resume, log=log)
    history, seconds = experiment.train()
    metrics = experiment.measure()
    if not is_first():
        return
    write_csv(run.path / "history.csv", history)
    run.write(ENVIRONMENT, environment(seconds, experiment.network(), experiment.engines, experiment.device))
    write_model_card(run, experiment.network().card, metrics)
    run.write(METRICS, metrics)
    (run.path / CHECKPOINT).unlink(missing_ok=True)


def _is_finished(run: RunFolder) -> bool:
    if run.is_finished:
        (run.path / CHECKPOINT).unlink(missing_ok=True)  # of a process that was killed just after it finished the run
    return run.is_finished


def _paintings(recipe: Recipe) -> tuple[Path, pd.DataFrame]:
    """The recipe's prepared folder and its table; without one, synthetic painters, painted on the first call."""
    folder = recipe.data
    if folder is None:
        settings = recipe.synthetic.model_dump()
        name = "synthetic-{artists}x{paintings_per_artist}-{size}px-seed{seed}".format(**settings)
        folder = cache_folder() / name
        with first_goes_first():
            SyntheticPainters(**settings).write(folder)
    with first_goes_first():
        return folder, paintings_and_copies(folder)


def _chosen(known: dict[str, Any], wanted: str | None, what: str) -> Any:
    if wanted is not None and wanted not in known:
        raise MorelliError(
            f'The recipe has no {what} "{wanted}".{did_you_mean(wanted, known)} It has: {", ".join(known)}.'
        )
    return known[wanted] if wanted else None


def _notes(run: RunFolder) -> list[str]:
    """What the run could not measure or learn of too few artists, for the first process to say."""
    metrics = run.metrics if is_first() and run.is_finished else {}
    return [*metrics.get("unmeasured", {}).values(), *metrics.get("notes", [])]


def _is_finished_before(run: RunFolder, resume: bool) -> bool:
    """Whether only the end of a finished run was cut off, which is made good; refuse a folder that is not free."""
    is_begun = (run.path / CHECKPOINT).is_file()
    if run.is_finished and not (is_begun and resume):
        raise MorelliError(f"{run.path} holds a finished run. Choose another --out.")
    if is_begun and not resume:
        raise MorelliError(f"{run.path} holds an interrupted training. Go on with --resume, or choose another --out.")
    return _is_finished(run)
