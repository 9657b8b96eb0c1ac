"""Shrink many originals over all cores. The workers import Pillow, but no pandas and no torch."""

import errno
import hashlib
import logging
import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from morelli._workers import process_pool
from morelli.errors import MorelliError
from morelli.preparation.archives import DamagedEntryError, File, Originals
from morelli.preparation.picture_files import HEAD_BYTES, UnusableError, may_be_read_later, refuse_large, stand_in
from morelli.preparation.pictures import shrink

SMALLER: Final = "smaller than said"
"""The status of a picture that the source said to have more pixels."""
_LARGEST_CHUNK = 8
_OWN_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # not the original's


@dataclass(frozen=True, slots=True)
class Task:
    """One original to shrink, and where a whole version of it lies in case it is damaged."""

    id: str
    file: File
    replacement: File | None
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one original: a picture in the folder (``jpeg_bytes`` long), or a reason for leaving it out.

    It holds for the original's ``version``; without one, the original is tried again by the next run.
    """

    id: str
    status: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    jpeg_bytes: int = 0
    left_out: str = ""
    version: str = ""


class _UnreadableError(UnusableError):
    """The bytes cannot be had now; another time they may."""


def shrink_all(tasks: Sequence[Task], spool_folder: Path, workers: int) -> Generator[tuple[Record, bytes]]:
    """Yield the record and the JPEG of every task, in any order. With one worker no other process is started."""
    if workers == 1:
        with Originals(spool_folder) as originals:
            for task in tasks:
                yield _attempt(task, originals, nullcontext())
        return
    per_chunk = max(1, min(_LARGEST_CHUNK, len(tasks) // (workers * 8)))
    chunks = (tasks[start : start + per_chunk] for start in range(0, len(tasks), per_chunk))
    executor = process_pool(workers, _start_worker, spool_folder, multiprocessing.get_context("spawn").Lock())
    try:
        under_way = {executor.submit(_attempt_chunk, chunk) for chunk in islice(chunks, 3 * workers)}
        while under_way:  # only a few chunks, so that memory does not grow with the number of tasks
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            under_way |= {executor.submit(_attempt_chunk, chunk) for chunk in islice(chunks, len(done))}
            for future in done:
                yield from future.result()
    except BrokenProcessPool as error:
        raise MorelliError(
            "A worker process ended too early: killed because memory ran out, or unable to start because a script "
            "calls prepare() outside \"if __name__ == '__main__':\". Run again with fewer workers; with 1 no other "
            "process is started. Finished paintings are kept."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


_originals: Originals
_heavy_lock: AbstractContextManager[object]


def _start_worker(spool_folder: Path, heavy_lock: AbstractContextManager[object]) -> None:
    global _originals, _heavy_lock
    _originals, _heavy_lock = Originals(spool_folder), heavy_lock
    logging.disable()  # Pillow's remarks on odd files would break the progress bar


def _attempt_chunk(tasks: Sequence[Task]) -> list[tuple[Record, bytes]]:
    return [_attempt(task, _originals, _heavy_lock) for task in tasks]


def _attempt(task: Task, originals: Originals, turns: AbstractContextManager[object]) -> tuple[Record, bytes]:
    reasons: list[UnusableError] = []
    for file, status in ((task.file, "ok"), (task.replacement, "repaired")):
        if file:
            try:
                return _shrunk(task, file, status, originals, turns)
            except UnusableError as error:
                reasons.append(error)
    is_for_now = any(isinstance(error, _UnreadableError) or may_be_read_later(str(error)) for error in reasons)
    why = "; its replacement: ".join(map(str, reasons))
    return Record(task.id, left_out=why, version="" if is_for_now else task.file.version), b""


def _shrunk(
    task: Task, file: File, status: str, originals: Originals, turns: AbstractContextManager[object]
) -> tuple[Record, bytes]:
    refuse_large(file.bytes)
    try:
        with originals.open(file) as original:
            if instead := stand_in(original.read(HEAD_BYTES)):
                raise UnusableError(instead)
            original.seek(0)
            sha256 = hashlib.file_digest(original, "sha256").hexdigest()  # type: ignore[arg-type]
            original.seek(0)
            small = shrink(original, task.size, turns)
    except DamagedEntryError as error:
        raise UnusableError(f"damaged in the archive ({error})") from error
    except OSError as error:
        if error.errno in _OWN_TROUBLE:
            raise
        raise _UnreadableError(f"cannot be read ({error.strerror or error})") from error
    size = (small.width, small.height)
    if min(size) < min(task.size, file.side) - 1:  # the last pixel is a matter of rounding
        status = SMALLER
    return Record(task.id, status, *size, sha256, len(small.jpeg), version=task.file.version), small.jpeg
