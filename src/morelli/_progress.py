"""Progress of long work, on stderr: a bar on a terminal, elsewhere (a log file, a notebook) a line every 30 seconds."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

EVERY: Final = 30.0
"""Seconds between two lines; work that ends earlier prints none."""


def progress_bar(
    *after: ProgressColumn, lasting: bool = False, hidden: bool = False, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """Progress for ``with``: ``add_task`` and ``advance``, or ``track``. A bar within another one is not shown.

    Args:
        after: columns after the description; by default how many of how many.
        lasting: the last state stays when the job is done, elsewhere than on a terminal too.
        hidden: show nothing, as for short jobs and in all processes but the first.
        clock: of the lines, in seconds.
    """
    console, between = Console(stderr=True), after or (MofNCompleteColumn(),)
    if console.is_terminal and not console.is_jupyter:  # a notebook would warn of missing widgets
        columns = (TextColumn("{task.description}"), BarColumn(), *between, TimeRemainingColumn())
        return _Bar(*columns, console=console, transient=not lasting, disable=hidden)
    return _Lines(between, lasting and not hidden, sys.maxsize if hidden else EVERY, clock)


class _Bar(Progress):
    """The only bar on the terminal: those of work within it are not shown."""

    _shown: ClassVar[Progress | None] = None

    def start(self) -> None:
        if _Bar._shown is None:
            _Bar._shown = self
            super().start()

    def stop(self) -> None:
        if _Bar._shown is self:
            _Bar._shown = None
            super().stop()


class _Lines(Progress):
    """What is done, how many of how many, and how long still: ``Preparing: 1200/8167, 0:04:10 left``."""

    def __init__(
        self, between: tuple[ProgressColumn, ...], lasting: bool, every: float, clock: Callable[[], float]
    ) -> None:
        super().__init__(auto_refresh=False, disable=True, get_time=clock, speed_estimate_period=3600)
        self._between, self._lasting, self._every, self._said = between, lasting, every, clock()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._say_at_times(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._say_at_times(task_id)

    def start(self) -> None:
        self._said = self.get_time()

    def stop(self) -> None:
        for task in self.tasks if self._lasting else ():
            self._say(task)

    def _say_at_times(self, task_id: TaskID) -> None:
        now, task = self.get_time(), self._tasks[task_id]
        if now - self._said >= self._every and not task.finished:
            self._said = now
            self._say(task)

    def _say(self, task: Task) -> None:
        seconds = None if task.finished else task.time_remaining
        left = "" if seconds is None else f", {timedelta(seconds=int(seconds))} left"
        numbers = " ".join(str(column(task)) for column in self._between)
        print(f"{task.description}: {numbers}{left}", file=sys.stderr, flush=True)
