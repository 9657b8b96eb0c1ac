"""Shrinking many originals over all cores. The workers import Pillow, but no pandas and no torch."""

import errno
import hashlib
import logging
import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from morelli._workers import process_pool
from morelli.errors import MorelliError
from morelli.preparation.archives import DamagedEntryError, Originals, Place
from morelli.preparation.picture_files import may_be_read_later
from morelli.preparation.pictures import UnusableError, shrink
from morelli.preparation.pointers import HEAD_BYTES, stand_in

_LARGEST_CHUNK = 8
_OWN_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # not the original's


@dataclass(frozen=True, slots=True)
class Task:
    """One original to shrink, and where a whole version of it lies in case it is damaged."""

    id: str
    place: Place
    replacement: Place | None
    size: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one original: a small JPEG, or the reason for leaving it out."""

    id: str
    status: str = ""
    jpeg: bytes = b""
    width: int = 0
    height: int = 0
    sha256: str = ""
    left_out: str = ""
    version: str = ""


class _UnreadableError(UnusableError):
    """The bytes cannot be had now; another time they may."""


def shrink_all(tasks: Sequence[Task], spool_folder: Path, workers: int) -> Generator[Outcome]:
    """Yield the outcome of every task, in any order. With one worker no other process is started.

    Raises:
        MorelliError: a worker was killed, which mostly means that memory ran out.
        OSError: the disk is full, or this process may open no more files.
        MemoryError: a picture is too large for this machine's memory.
    """
    if workers == 1:
        with Originals(spool_folder) as originals:
            for task in tasks:
                yield _attempt(task, originals, nullcontext())
        return
    per_chunk = max(1, min(_LARGEST_CHUNK, len(tasks) // (workers * 8)))
    chunks = (tasks[start : start + per_chunk] for start in range(0, len(tasks), per_chunk))
    executor = process_pool(workers, _start_worker, spool_folder, multiprocessing.get_context("spawn").Lock())
    try:
        yield from _as_they_finish(lambda chunk: executor.submit(_attempt_chunk, chunk), chunks, ahead=3 * workers)
    except BrokenProcessPool as error:
        raise MorelliError(
            "A worker process ended too early: killed because memory ran out, or unable to start because a script "
            "calls prepare() outside \"if __name__ == '__main__':\". Run again with fewer workers; with 1 no other "
            "process is started. Finished paintings are kept."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _as_they_finish(
    submit: Callable[[Sequence[Task]], "Future[list[Outcome]]"], chunks: Iterable[Sequence[Task]], ahead: int
) -> Iterator[Outcome]:
    """Keep a few chunks under way, so that memory does not grow with the number of tasks."""
    under_way: set[Future[list[Outcome]]] = set()
    for chunk in chunks:
        under_way.add(submit(chunk))
        if len(under_way) >= ahead:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    while under_way:
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            yield from future.result()


_originals: Originals
_heavy_lock: AbstractContextManager[object]


def _start_worker(spool_folder: Path, heavy_lock: AbstractContextManager[object]) -> None:
    global _originals, _heavy_lock
    _originals, _heavy_lock = Originals(spool_folder), heavy_lock
    logging.disable()  # Pillow's remarks on odd files would break the progress bar


def _attempt_chunk(tasks: Sequence[Task]) -> list[Outcome]:
    return [_attempt(task, _originals, _heavy_lock) for task in tasks]


def _attempt(task: Task, originals: Originals, one_at_a_time: AbstractContextManager[object]) -> Outcome:
    try:
        return _outcome(task, task.place, "ok", originals, one_at_a_time)
    except UnusableError as error:
        reasons = [error]
    if task.replacement is not None:
        try:
            return _outcome(task, task.replacement, "repaired", originals, one_at_a_time)
        except UnusableError as error:
            reasons.append(error)
    is_for_now = any(isinstance(error, _UnreadableError) or may_be_read_later(str(error)) for error in reasons)
    left_out = "; its replacement: ".join(map(str, reasons))
    return Outcome(task.id, left_out=left_out, version="" if is_for_now else task.version)


def _outcome(
    task: Task, place: Place, status: str, originals: Originals, one_at_a_time: AbstractContextManager[object]
) -> Outcome:
    try:
        with originals.open(place) as original:
            instead = stand_in(original.read(HEAD_BYTES))
            if instead:
                raise UnusableError(instead)
            original.seek(0)
            sha256 = hashlib.file_digest(original, "sha256").hexdigest()
            original.seek(0)
            small = shrink(original, task.size, one_at_a_time)
    except DamagedEntryError as error:
        raise UnusableError(f"damaged in the archive ({error})") from error
    except OSError as error:
        if error.errno in _OWN_TROUBLE:
            raise
        raise _UnreadableError(f"cannot be read ({error.strerror or error})") from error
    return Outcome(task.id, status, small.jpeg, small.width, small.height, sha256, version=task.version)
