"""Progress bars of long jobs: on stderr, never in a notebook."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


def progress_bar(*after: ProgressColumn, lasting: bool = False, hidden: bool = False) -> Progress:
    """A progress bar for ``with``: ``add_task`` and ``advance``, or ``track``.

    Args:
        after: columns between the bar and the remaining time; by default how many of how many.
        lasting: stay when the job is done, in a redirected stderr too; others show on a terminal only.
        hidden: show nothing, as for short jobs and in all processes but the first.
    """
    console = Console(stderr=True)
    shown = not console.is_jupyter and (lasting or console.is_terminal)  # a notebook would warn of missing widgets
    between = after or (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *between, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=not lasting, disable=hidden or not shown)
