"""Several processes as one: which is the main one, what it does alone, and how rows are sharded and gathered.

With one process, all of this costs nothing. Processes are started by ``accelerate launch`` or ``torchrun``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate.state import PartialState
from accelerate.utils import broadcast_object_list, gather, parse_flag_from_env, reduce
from torch import Tensor

from morelli.errors import MorelliError

_LONGEST_WAIT = timedelta(hours=2)
"""How long the others wait for what the main process does alone, such as evaluation. A process that dies is noticed at
once, by the connection that it drops or by the launcher."""
_T = TypeVar("_T")


def processes() -> Any:
    """Accelerate's state of this group of processes; the first call joins the group."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=_LONGEST_WAIT)


def is_first(*, of_machine: bool = False) -> bool:
    """Whether this process writes and speaks for all, or for all on its machine."""
    state = processes()
    return bool(state.is_local_main_process if of_machine else state.is_main_process)


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Let the main process of each machine through the block before its others, which then find its work done."""
    with processes().local_main_process_first():
        yield


def on_main_process(work: Callable[[], _T]) -> _T:
    """Do ``work`` in the main process only, and give its result to all; every process must call this.

    Raises:
        MorelliError: what ``work`` raised, in every process.
    """
    if processes().num_processes == 1:
        return work()
    outcome: list[Any] = [None, None]
    if is_first():
        try:
            outcome[0] = work()
        except MorelliError as error:
            outcome[1] = str(error)
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise MorelliError(outcome[1])
    return outcome[0]  # type: ignore[no-any-return]


def shard(count: int) -> list[int]:
    """The places, of 0 to ``count`` − 1, that fall to this process: an equal number to each, in order.

    Where they do not divide, the last processes begin again at 0, so that all do the same number of steps.
    """
    state = processes()
    each = -(-count // state.num_processes)
    return [place % count for place in range(each * state.process_index, each * (state.process_index + 1))]


def gathered(rows: Tensor, count: int) -> Tensor:
    """The rows that every process computed for its :func:`shard`, in order, (count, …), in every process."""
    if processes().num_processes == 1:
        return rows
    whole: Tensor = gather(rows.to(processes().device))
    return whole[:count].to(rows.device)


def on_any_process(marks: np.ndarray) -> np.ndarray:
    """What is marked (N,) in any process, in every process."""
    state = processes()
    if state.num_processes == 1:
        return marks
    counts: Tensor = reduce(torch.from_numpy(marks.astype(np.int64)).to(state.device), "sum")
    return counts.cpu().numpy() > 0
