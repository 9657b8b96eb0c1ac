"""One writer at a time: a lock file in the folder that is written, which says what process holds it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from morelli._files import check_writable
from morelli.errors import MorelliError, MorelliWarning

LOCK: Final = ".lock"
"""The lock file, which may stay; a killed process holds it no longer."""
WAIT: Final = 10.0
"""Seconds that a second writer waits."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a folder against others that ask for it too; one that is held is waited for, :data:`WAIT` seconds.

    Raises:
        MorelliError: another process goes on holding it; it is named.
        UnwritableError: the folder cannot be written.
    """
    path = folder / LOCK
    check_writable(path)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            warnings.warn(MorelliWarning(f"{_holder(path)} writes into {folder}; waiting for it."), stacklevel=3)
            lock.acquire(timeout=WAIT)
    except Timeout as error:
        raise MorelliError(f"{_holder(path)} writes into {folder}. Run this again when that has ended.") from error
    try:
        with suppress(OSError):  # Windows keeps a locked file to its holder
            path.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f"Process {int(path.read_text())}"
    return "Another process"
