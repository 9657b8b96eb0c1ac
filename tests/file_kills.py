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
    scenario: Path, tmp_path: Path, name: str = "", *, fewest: int = 1, step: int = 1
) -> list[str]:
    """What went wrong, one line a kill; ``fewest`` are the events at least, and each ``step``-th is tried."""
    events, wrong = _answer(scenario, tmp_path, "kill", name, str(step))
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


def _every_kill(module: ModuleType | type, base: Path, step: int) -> tuple[int, list[str]]:
    wrong, wanted = [], None
    for number in chain([0], count(1, step)):  # the 0th is not killed
        place = base / f"kill-{number:03d}"
        place.mkdir()
        _child(module.start, place)
        status, said = _child(module.work, place, kill_at=number)
        if number and status != -signal.SIGKILL:
            return number - step, wrong if status == 0 else [*wrong, f"event {number}: ended with {status}: {said}"]
        if number:
            status, said = _child(module.work, place)
        there = json.loads(json.dumps(module.found(place))) if status == 0 else f"ended with {status}: {said}"
        wanted = there if wanted is None else wanted
        if there != wanted or (not number and status):
            wrong.append(f"event {number}: {_event(place)}: {there} instead of {wanted}")
    raise AssertionError


def _child(work: Callable[[Path], Any], place: Path, kill_at: int = 0) -> tuple[int, str]:
    """Run a function in a child; → its status and the end of its traceback."""
    said = place.with_suffix(".txt")
    status = os.waitstatus_to_exitcode(os.waitpid(_forked(work, place, said, kill_at), 0)[1])
    return status, said.read_text()[-600:] if status > 0 else ""


def _forked(work: Callable[[Path], Any], place: Path, said: Path, kill_at: int = 0) -> int:
    """Begin a function in a child, whose traceback goes into ``said``; → the child."""
    if child := os.fork():
        return child
    try:
        if kill_at:
            sys.addaudithook(_killer(place, kill_at))
        work(place)
        os._exit(0)
    except BaseException:
        said.write_text(traceback.format_exc())
        os._exit(1)


def _killer(place: Path, kill_at: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills this process just before its event of this number."""
    numbers, log, kept = count(1), os.open(_log(place), os.O_CREAT | os.O_WRONLY), str(place)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in _EVENTS or (event == "open" and len(arguments) > 2 and (arguments[2] or 0) & _WRITING)
        if writes and any(kept in name for name in _names(arguments)) and next(numbers) == kill_at:
            os.write(log, f"{event} {' '.join(_names(arguments))}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

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
        print(json.dumps(_every_kill(one, Path(where), int(rest[1]))))
    else:
        found: dict[str, list[str]] = {}
        for turn, pair in product(range(int(rest[0])), rest[1:]):
            parts = [getattr(scenario_module, part) for part in pair.split()]
            found.setdefault(pair, []).extend(_at_once(*parts, Path(where, f"{turn} {pair}".replace(" ", "-"))))
        print(json.dumps(found))
