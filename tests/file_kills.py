"""SIGKILL at every file event, and two commands at once: a helper for each that writes (index, prepare, train, …).

A *scenario* is a Python file with three functions, each given one folder:

    def start(place): ...    # what is there before the command
    def work(place): ...     # the command itself, as one calls it from Python
    def found(place): ...    # what must be there after it, as plain JSON: files, contents, no times

A file may hold several scenarios, as classes with these three as static methods. A test asserts that
``killed_at_every_event(file, tmp_path, "Class")`` is empty. For n = 1, 2, …, a fresh place is started
and ``work`` is killed just before its n-th file event under the place (opening to write, making, renaming, linking or
removing); then ``work`` runs again and ``found`` must equal that of a run nobody killed. One process imports everything
and forks a child for each run, because imports take longer than work; so ``start`` must not leave threads behind.

:func:`wrong_at_once` lets the ``work`` of two scenarios run in one place at the same time: both must come to their end,
or the second is told who writes there, and then ``found`` must equal that of one after the other.
"""

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import chain, count, product
from pathlib import Path
from types import ModuleType
from typing import Any

_EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def killed_at_every_event(
    scenario: Path, tmp_path: Path, name: str = "", *, fault: str = "SIGKILL", fewest: int = 1, step: int = 1
) -> list[str]:
    """What went wrong, one line a kill; ``fewest`` are the events at least, and each ``step``-th is tried.

    Other faults than SIGKILL are for scenarios that call ``main``. SIGINT and SIGTERM must end with 130 and 143, and a
    disk that is full (ENOSPC) or can only be read (EROFS) from that event on with 2 and one sentence; except on the
    latter no temporary file may be left.
    """
    events, wrong = _answer(scenario, tmp_path, "kill", name, str(step), fault)
    assert events >= fewest, f"only {events} file events: is the command's place another one?"
    return wrong


def wrong_at_once(scenario: Path, tmp_path: Path, *pairs: str, rounds: int = 1) -> dict[str, list[str]]:
    """What went wrong when the two classes that each of ``pairs`` names, such as ``"Index Enroll"``, worked at once."""
    return _answer(scenario, tmp_path, "both", str(rounds), *pairs)


def _answer(scenario: Path, tmp_path: Path, *what: str) -> Any:
    done = subprocess.run(
        [sys.executable, __file__, scenario, tmp_path, *what], capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _at_once(first: type, second: type, base: Path) -> list[str]:
    """What went wrong; the two start within a millisecond."""
    one_by_one, together = base / "one-by-one", base / "together"
    for place in (one_by_one, together):
        place.mkdir(parents=True)
        _child(first.start, place)
    for part in (first, second):
        _child(part.work, one_by_one)  # the second may be refused because all is done
    texts = [base / f"{number}.txt" for number in range(2)]
    children = [_forked(part.work, together, text) for part, text in zip((first, second), texts, strict=True)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    wrong = []
    for part, status, text in zip((first, second), statuses, texts, strict=True):
        said = text.read_text() if text.exists() else ""
        is_told = any(f"Process {child} writes into" in said for child in children) or " a finished run" in said
        if status and not is_told:
            wrong.append(f"{part.__name__} ended with {status}: {said[-600:]}")
        elif status:
            _child(part.work, together)
    there, wanted = first.found(together), first.found(one_by_one)
    return wrong if there == wanted else [*wrong, f"{there} instead of {wanted}"]


def _every_kill(module: ModuleType | type, base: Path, step: int, fault: str) -> tuple[int, list[str]]:
    wrong, wanted = [], None
    for number in chain([0], count(1, step)):  # the 0th is not killed
        place = base / f"kill-{number:03d}"
        place.mkdir()
        _child(module.start, place)
        status, said = _child(module.work, place, number, fault)
        if number and not _log(place).exists():  # it has fewer events
            return number - step, wrong if status == 0 else [*wrong, f"event {number}: ended with {status}: {said}"]
        if number and (trouble := _trouble(status, said, place, fault)):
            wrong.append(f"event {number}: {_event(place)}: {trouble}")
        if number:
            status, said = _child(module.work, place)
        there = json.loads(json.dumps(module.found(place))) if status == 0 else f"ended with {status}: {said}"
        wanted = there if wanted is None else wanted
        if there != wanted or (not number and status):
            wrong.append(f"event {number}: {_event(place)}: {there} instead of {wanted}")
    raise AssertionError


_ENDS = {"SIGKILL": -signal.SIGKILL, "SIGINT": 130, "SIGTERM": 143, "ENOSPC": 2, "EROFS": 2}


def _trouble(status: int, said: str, place: Path, fault: str) -> str:
    """What is not as it should be after a fault; "" if nothing is. The last write may be one that is not needed."""
    if fault == "SIGKILL":
        return "" if status == _ENDS[fault] else f"ended with {status}: {said}"
    last = said.strip().splitlines()[-1:] or [""]
    is_said = last[0].startswith("Error: " if _ENDS[fault] == 2 else "Interrupted")
    if status and (status != _ENDS[fault] or not is_said or "Traceback" in said):
        return f"ended with {status}: {said}"
    left = [path.name for path in place.rglob(".*.partial*")]
    return f"{left} are left" if left and fault != "EROFS" else ""


def _child(work: Callable[[Path], Any], place: Path, at: int = 0, fault: str = "SIGKILL") -> tuple[int, str]:
    """Run a function in a child; → its status and the end of its traceback."""
    said = place.with_suffix(".txt")
    status = os.waitstatus_to_exitcode(os.waitpid(_forked(work, place, said, at, fault), 0)[1])
    return status, said.read_text()[-900:] if status > 0 else ""


def _forked(work: Callable[[Path], Any], place: Path, said: Path, at: int = 0, fault: str = "SIGKILL") -> int:
    """Begin a function in a child, whose errors go into ``said``; → the child."""
    if child := os.fork():
        return child
    try:
        os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has children ignore it
        if at:
            sys.addaudithook(_fault(place, at, fault))
        work(place)
        os._exit(0)
    except SystemExit as ended:
        sys.stderr.flush()
        os._exit(int(ended.code or 0))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _fault(place: Path, at: int, fault: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills this process just before its event of this number, or fails all from that on."""
    numbers, log, kept = (
        count(1),
        os.open(_log(place).with_suffix(".log"), os.O_CREAT | os.O_WRONLY),
        f"{place}{os.sep}",
    )

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in _EVENTS or (event == "open" and len(arguments) > 2 and (arguments[2] or 0) & _WRITING)
        if not writes or not (names := [name for name in _names(arguments) if kept in name]):
            return
        number = next(numbers)
        if number == at:
            os.write(log, f"{event} {' '.join(_names(arguments))}".encode())
            os.link(_log(place).with_suffix(".log"), _log(place))
        if fault.startswith("SIG"):
            if number == at:
                os.kill(os.getpid(), getattr(signal, fault))
        elif number >= at and (fault == "EROFS" or event in ("open", "os.mkdir")):
            code = getattr(errno, fault)
            raise OSError(code, os.strerror(code), names[0])

    return hook


def _names(arguments: tuple[Any, ...]) -> Iterator[str]:
    return (os.fsdecode(one) for one in arguments if isinstance(one, str | bytes | os.PathLike))


def _log(place: Path) -> Path:
    return place.with_suffix(".event")


def _event(place: Path) -> str:
    return _log(place).read_text().replace(str(place), "…") if _log(place).exists() else "none"


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("scenario", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    scenario_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenario_module)
    where, what, *rest = sys.argv[2:]
    if what == "kill":
        one = getattr(scenario_module, rest[0]) if rest[0] else scenario_module
        print(json.dumps(_every_kill(one, Path(where), int(rest[1]), rest[2])))
    else:
        found: dict[str, list[str]] = {}
        for turn, pair in product(range(int(rest[0])), rest[1:]):
            parts = [getattr(scenario_module, part) for part in pair.split()]
            found.setdefault(pair, []).extend(_at_once(*parts, Path(where, f"{turn} {pair}".replace(" ", "-"))))
        print(json.dumps(found))
