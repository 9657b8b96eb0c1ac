"""SIGKILL at every file event: a reusable helper for each command that writes (index, enroll, prepare, train, …).

A *scenario* is a Python file with three functions, each given one folder:

    def start(place): ...    # what is there before the command
    def work(place): ...     # the command itself, as one calls it from Python
    def found(place): ...    # what must be there after it, as plain JSON: files, contents, no times

A file may hold several scenarios, as classes with these three as static methods. A test asserts that
``killed_at_every_event(file, tmp_path, "Class")`` is empty. For n = 1, 2, …, a fresh place is started
and ``work`` is killed just before its n-th file event under the place (opening to write, making, renaming, linking or
removing); then ``work`` runs again and ``found`` must equal that of a run nobody killed. One process imports everything
and forks a child for each run, because imports take longer than work; so ``start`` must not leave threads behind.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from types import ModuleType
from typing import Any

_EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def killed_at_every_event(
    scenario: Path, tmp_path: Path, name: str = "", *, fewest: int = 1, step: int = 1
) -> list[str]:
    """What went wrong, one line a kill; ``fewest`` are the events at least, and each ``step``-th is tried."""
    done = subprocess.run(
        [sys.executable, __file__, scenario, tmp_path, name, str(step)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events, wrong = json.loads(done.stdout.splitlines()[-1])
    assert events >= fewest, f"only {events} file events: is the command's place another one?"
    return wrong


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
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, said.read_text()[-600:] if status > 0 else ""
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
    one = getattr(scenario_module, sys.argv[3]) if sys.argv[3] else scenario_module
    print(json.dumps(_every_kill(one, Path(sys.argv[2]), int(sys.argv[4]))))
