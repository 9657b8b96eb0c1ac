"""A run that was cut, in any way, goes on to the same bytes as one that was not; nothing is lost or done twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli import _locks
from morelli.errors import MorelliError, MorelliWarning
from morelli.preparation.prepare import prepare

PICTURES = 90


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures large enough that a run can be caught in the middle; every tenth is truncated, two are the same."""
    folder = tmp_path_factory.mktemp("gallery")
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    for index in range(PICTURES):
        path = folder / f"Artist {index % 4}" / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(noise, 0 if index == 1 else index, axis=1)).save(path)
        if index % 10 == 9:
            path.write_bytes(path.read_bytes()[:-5000])
    return folder


@pytest.fixture(scope="module")
def uninterrupted(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    prepare(gallery, out, size=200)
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def start(source: Path, out: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    command = (
        # A shell that starts the tests in the background has its children ignore Ctrl-C.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from morelli.preparation.prepare import prepare; "
        f"prepare({str(source)!r}, {str(out)!r}, size=200, workers={workers})"
    )
    return subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL, start_new_session=True)


def finished_pictures(out: Path) -> dict[Path, tuple[int, int]]:
    """Every finished picture with its inode and time, which tell whether it was written again."""
    states = ((path, path.stat()) for path in out.glob("images/*/[!.]*.jpg"))
    return {path: (state.st_ino, state.st_mtime_ns) for path, state in states}


def wait_until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_killed_again_and_again_goes_on(
    workers: int, gallery: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for more in (1, 9, 30):
        before = finished_pictures(out)
        process = start(gallery, out, workers)
        enough = len(before) + more
        wait_until(lambda enough=enough: len(finished_pictures(out)) >= enough)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = finished_pictures(out)
        assert before.items() <= after.items()
        assert len(after) < PICTURES * 0.9
        assert not (out / "paintings.parquet").exists()

    summary = prepare(gallery, out, size=200)

    assert after.items() <= finished_pictures(out).items()
    assert summary.left_out == {"truncated": 9}
    assert summary.duplicates_across_artists == 1
    assert contents(out) == uninterrupted


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the processes where Linux lists them")
def test_the_workers_of_a_killed_run_end_by_themselves(gallery: Path, tmp_path: Path) -> None:
    process = start(gallery, tmp_path / "out")
    wait_until(lambda: finished_pictures(tmp_path / "out"))
    workers = list(descendants(process.pid))
    assert len(workers) >= 2

    process.send_signal(signal.SIGKILL)
    process.wait()

    wait_until(lambda: not any(is_alive(pid) for pid in workers))


def descendants(pid: int) -> Iterator[int]:
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        yield child
        yield from descendants(child)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_stops_a_run_which_then_goes_on(gallery: Path, uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(gallery, out)
    wait_until(lambda: len(finished_pictures(out)) >= 10)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    before = finished_pictures(out)
    assert len(before) < PICTURES * 0.9

    prepare(gallery, out, size=200)

    assert before.items() <= finished_pictures(out).items()
    assert contents(out) == uninterrupted


@pytest.fixture
def half_done(gallery: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    process = start(gallery, out)
    wait_until(lambda: len(finished_pictures(out)) >= 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return out


def test_what_a_kill_or_a_crash_may_leave_behind_is_mended(
    half_done: Path, gallery: Path, uninterrupted: dict[str, bytes]
) -> None:
    journal = half_done / "progress.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines) + lines[0][:17])
    lost, cut, *_ = finished_pictures(half_done)
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    (cut.parent / ".0123456789ab.partial.jpg").write_bytes(b"half")
    (half_done / ".0123456789ab.partial.parquet").write_bytes(b"half")

    prepare(gallery, half_done, size=200)

    assert contents(half_done) == uninterrupted


def test_a_lost_journal_costs_time_but_changes_nothing(
    half_done: Path, gallery: Path, uninterrupted: dict[str, bytes]
) -> None:
    (half_done / "progress.jsonl").unlink()

    prepare(gallery, half_done, size=200)

    assert contents(half_done) == uninterrupted


def test_an_unfinished_folder_is_refused_to_other_options(half_done: Path, gallery: Path) -> None:
    before = contents(half_done)

    with pytest.raises(MorelliError, match="size: 200 then, 100 now"):
        prepare(gallery, half_done, size=100)

    assert contents(half_done) == before


def test_a_run_killed_after_its_last_step_is_finished(
    gallery: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    for name, data in uninterrupted.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(data)
    (tmp_path / "out" / "progress.jsonl").write_text("{}\n")

    assert prepare(gallery, tmp_path / "out", size=200).already_done
    assert contents(tmp_path / "out") == uninterrupted


@pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no process")
def test_two_runs_do_not_write_one_folder(gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_locks, "WAIT", 0.1)
    process = start(gallery, tmp_path / "out")
    try:
        wait_until(lambda: finished_pictures(tmp_path / "out"))
        os.kill(process.pid, signal.SIGSTOP)
        with (
            pytest.warns(MorelliWarning, match="waiting for it"),
            pytest.raises(MorelliError, match=f"Process {process.pid} writes into"),
        ):
            prepare(gallery, tmp_path / "out", size=200)
    finally:
        process.kill()
        process.wait()


def test_the_number_of_workers_changes_nothing(gallery: Path, uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    prepare(gallery, tmp_path / "out", size=200, workers=1)

    assert contents(tmp_path / "out") == uninterrupted


def test_workers_load_neither_torch_nor_pandas() -> None:
    check = """
import sys, morelli.preparation.pool, morelli.preparation.iiif_images
print({'torch', 'pandas', 'numpy'} & set(sys.modules))
import morelli.preparation.parquet_pictures
print({'torch', 'pandas'} & set(sys.modules))
"""
    answer = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)

    assert answer.stdout.split("\n") == ["set()", "set()", ""]


def test_a_script_without_a_main_guard_is_told_so(gallery: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    call = f"prepare({str(gallery)!r}, {str(tmp_path / 'out')!r}, workers=2)"
    script.write_text(f"from morelli.preparation.prepare import prepare\n{call}\n")
    answer = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)

    assert answer.returncode != 0
    assert "if __name__ == '__main__'" in answer.stderr.splitlines()[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB of its own, where the machine lets us mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tmp_path / "disk")]
    (tmp_path / "disk").mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_full_disk_loses_nothing(gallery: Path, uninterrupted: dict[str, bytes], small_disk: Path) -> None:
    out = small_disk / "out"
    for _ in range(2):
        with pytest.raises(MorelliError, match=r"The disk is full(.|\n)*run the same command again"):
            prepare(gallery, out, size=200)
        assert not (out / "paintings.parquet").exists()
        assert not list(out.rglob(".*.partial*"))
    before = finished_pictures(out)
    assert len(before) > 5

    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    prepare(gallery, out, size=200)

    assert before.items() <= finished_pictures(out).items()
    assert contents(out) == uninterrupted
