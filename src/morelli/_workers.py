"""Worker processes: started clean, without numpy in them, deaf to Ctrl-C, and gone when their parent is."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from typing import Any


def process_pool(workers: int, prepare: Callable[..., object] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool of ``workers`` processes, each of which first calls ``prepare(*arguments)``."""
    # Never plain fork: a copy of a process with torch's threads in it can hang.
    clean = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(clean)
    return ProcessPoolExecutor(workers, context, initializer=_start, initargs=(prepare, arguments))


def _start(prepare: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare:
        prepare(*arguments)


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and they would wait for ever."""
    if parent := multiprocessing.parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)
