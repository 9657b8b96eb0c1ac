"""The bench: every cell of a recipe's grid, one run folder each."""

import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from morelli._files import UnwritableError, cache_folder, write_text_whole, written_whole
from morelli._processes import first_goes_first, is_first, once, processes
from morelli.bench.concatenated import concatenate, concatenated_config, fold_groups
from morelli.bench.environment import environment
from morelli.bench.experiment import Job
from morelli.bench.grid import Cell, check_objective, fit_cells, grid
from morelli.bench.model_card import write_model_card
from morelli.bench.recipe import Recipe
from morelli.bench.run_folder import ENVIRONMENT, FAILURE, METRICS, RunFolder, data_digest
from morelli.data.copies import paintings_and_copies
from morelli.data.splits import split_paintings
from morelli.errors import MorelliError, did_you_mean
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.checkpoint import CHECKPOINT
from morelli.training.fit import Tracker, check_tracker


def prepared_folder(recipe: Recipe) -> Path:
    """The recipe's prepared folder; where it names none, the synthetic painters, painted on the first call."""
    if recipe.data is not None:
        return recipe.data
    painters = recipe.synthetic
    folder = cache_folder() / "synthetic-{artists}x{paintings_per_artist}-{size}px-seed{seed}".format(
        **painters.model_dump()
    )
    with first_goes_first():
        SyntheticPainters(**painters.model_dump()).write(folder)
    return folder


def bench(
    recipe: Recipe,
    out: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
    resume: bool = True,
    log: Tracker | None = None,
) -> list[RunFolder]:
    """Run every cell that is not finished; a cell that fails is recorded and the others go on.

    With several processes a failed cell stops the bench instead, since not all of them may have failed at one place.

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
    cells = grid(recipe)
    data = prepared_folder(recipe)
    with first_goes_first():
        paintings = paintings_and_copies(data)
    cells, notes = fit_cells(cells, paintings)
    runs = []
    told: set[str] = set()
    if not is_first():
        say = _nobody
    for note in notes:
        say(note)
    for number, cell in enumerate(cells, 1):
        run = RunFolder(out / recipe.name / cell.folder_name)
        runs.append(run)
        title = f"[{number}/{len(cells)}] {cell.folder_name}"
        once(partial(run.start, cell.resolved(data_digest(paintings))))
        if once(partial(getattr, run, "is_finished")):
            say(f"{title}: finished before")
            continue
        _record(run, title, say, told, partial(run_cell, cell, data, paintings, run, resume=resume, log=log))
        for note in _notes(run):
            if note not in notes:
                say(note)
                notes.append(note)
    for run, of_folds in fold_groups(cells, runs):
        runs.append(run)
        once(partial(_start_concatenated, run, of_folds))
        if once(partial(getattr, run, "is_finished")):
            say(f"{run.path.name}: finished before")
        else:
            _record(run, run.path.name, say, told, partial(concatenate, of_folds, data, paintings, run))
    return runs


def _record(run: RunFolder, title: str, say: Callable[[str], None], told: set[str], work: Callable[[], None]) -> None:
    """Do a run's work; leave its failure, if it fails, in its folder: one failure must not lose the table.

    What was said of a run before, as of weights that several lack, is not said again.
    """
    started = time.perf_counter()
    try:
        work()
    except UnwritableError:
        raise  # neither the failure nor the runs after it could be written
    except Exception as error:
        cause = str(error) if isinstance(error, MorelliError) else f"{type(error).__name__}: {error}"
        details = "" if isinstance(error, MorelliError) else f"\n{traceback.format_exc()}"
        if is_first():
            write_text_whole(run.path / FAILURE, f"{cause}\n{details}")
        if processes().num_processes > 1:
            raise
        reason = cause.splitlines()[0]
        say(f"{title}: FAILED" + (", as said above" if reason in told else f": {reason}"))
        told.add(reason)
    else:
        say(f"{title}: {time.perf_counter() - started:.0f} s")


def _start_concatenated(run: RunFolder, of_folds: Sequence[RunFolder]) -> None:
    run.start(concatenated_config(of_folds))


def train(
    recipe: Recipe,
    out: Path,
    *,
    objective: str | None = None,
    backbone: str | None = None,
    resume: bool = False,
    log: Tracker | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> RunFolder:
    """Train and measure one network of a recipe: by default its first backbone with its first trained objective.

    ``say`` is told what was fitted to the paintings, a line each.

    Raises:
        MorelliError: the recipe has no such objective or backbone, ``out`` holds another or a finished run, or what
            ``log`` needs is not installed.
        KeyboardInterrupt: passed on, after the best network so far was saved.
    """
    check_tracker(log)
    objectives = {o.name: o for o in recipe.objectives}
    backbones = {b.label: b for b in recipe.backbones} | {b.name: b for b in reversed(recipe.backbones)}
    first_trained = next((o.name for o in recipe.objectives if o.trains), recipe.objectives[0].name)
    for wanted, known, what in ((objective, objectives, "objective"), (backbone, backbones, "backbone")):
        if wanted is not None and wanted not in known:
            raise MorelliError(
                f'The recipe has no {what} "{wanted}".{did_you_mean(wanted, known)} It has: {", ".join(known)}.'
            )
    chosen = objectives[objective or first_trained]
    cell = Cell(recipe, backbones[backbone] if backbone else recipe.backbones[0], chosen, 0, recipe.seeds[0])
    check_objective(cell)
    run = RunFolder(out)
    once(lambda: _check_free(run, resume))
    data = prepared_folder(recipe)
    with first_goes_first():
        paintings = paintings_and_copies(data)
    (cell,), notes = fit_cells([cell], paintings)
    for note in notes if is_first() else ():
        say(note)
    once(lambda: run.start(cell.resolved(data_digest(paintings))))
    run_cell(cell, data, paintings, run, resume=resume, log=log)
    for note in _notes(run):
        say(note)
    return run


def _notes(run: RunFolder) -> list[str]:
    """What the run could not measure or learn of too few artists, for the first process to say."""
    metrics = run.metrics if is_first() and run.is_finished else {}
    return [*metrics.get("unmeasured", {}).values(), *metrics.get("notes", [])]


def _check_free(run: RunFolder, resume: bool) -> None:
    if run.is_finished:
        raise MorelliError(f"{run.path} holds a finished run. Choose another --out, or delete it to train again.")
    if (run.path / CHECKPOINT).is_file() and not resume:
        raise MorelliError(f"{run.path} holds an interrupted training. Go on with --resume, or choose another --out.")


def run_cell(
    cell: Cell,
    data: Path,
    paintings: pd.DataFrame,
    run: RunFolder,
    *,
    resume: bool = True,
    log: Tracker | None = None,
) -> None:
    """Train and measure one network and write its run folder; ``run.start`` must have been called.

    An interrupted training leaves the best network so far, once it was looked at on the validation artists. All
    processes work, the first one writes.

    Raises:
        MorelliError: the split, the backbone, the objective or the training cannot be had as asked.
    """
    split = split_paintings(paintings, cell.recipe.split, cell.fold)
    once(lambda: split.save(run.path / "split.json", paintings))
    job = Job(cell, data, paintings, split, run, resume, log)
    history, seconds = job.train()
    metrics = job.measure()
    if not is_first():
        return
    with written_whole(run.path / "history.csv") as temporary:
        history.to_csv(temporary, index=False)
    run.write(ENVIRONMENT, environment(seconds, job.network(), job.device))
    write_model_card(run, job.network().card, metrics)
    run.write(METRICS, metrics)
    (run.path / CHECKPOINT).unlink(missing_ok=True)


def _nobody(_: str) -> None:
    """Where the processes after the first speak to."""
