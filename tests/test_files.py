"""Files appear whole or not at all, and a place that cannot be written is one sentence."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from morelli._files import UnwritableError, cache_folder, check_writable, sentence_of, write_text_whole, written_whole


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    write_text_whole(path, "é")

    def half() -> None:
        with written_whole(path) as temporary:
            assert temporary.suffix == ".csv"
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()

    assert path.read_bytes() == "é".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/out.txt", "file/deep/out.txt", "folder", f"{'x' * 300}.txt"])
def test_a_place_that_cannot_be_written_is_named_with_the_reason(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / place
    with pytest.raises(UnwritableError) as error:
        write_text_whole(path, "text")

    assert str(error.value).startswith(f"{path} cannot be written (")
    assert "Choose another place" in str(error.value)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "folder"]


def test_the_block_is_not_entered_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    for folder, remedy in ((tmp_path, "make this one writable"), (cache_folder() / "features", "set MORELLI_CACHE")):
        with pytest.raises(UnwritableError, match=remedy), written_whole(folder / "a.bin"):
            pytest.fail("the work has begun")


def test_long_work_can_ask_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "folder" / "out.txt")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    with pytest.raises(UnwritableError, match="Not a directory"):
        check_writable(tmp_path / "file" / "out.txt")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UnwritableError, match=r"out\.txt cannot be written \(Permission denied: "):
        check_writable(tmp_path / "new" / "out.txt")


def test_what_cannot_be_read_meanwhile_is_not_blamed_on_what_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "out.txt"):
        (tmp_path / "source.txt").read_text()


def test_errors_of_the_system_become_sentences() -> None:
    assert sentence_of(PermissionError(errno.EACCES, "Permission denied", "a/b")) == (
        "a/b cannot be read or written (Permission denied). Mend that, or choose another place."
    )
    assert sentence_of(OSError(errno.ENOSPC, "No space left on device")).startswith("The disk is full. Free some")
    assert sentence_of(OSError(errno.EMFILE, "Too many open files")) == "Too many open files (OSError)."


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB of its own, where the machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # what a failed writer left open may still hold it


def test_a_full_disk_is_said_whatever_the_writer_raises(small_disk: Path) -> None:
    def text(path: Path) -> None:
        path.write_text("x" * 1_000_000)

    def tensors(path: Path) -> None:
        save_file({"a": torch.zeros(1_000_000)}, path)

    def pickled(path: Path) -> None:
        torch.save({"a": torch.zeros(1_000_000)}, path)

    for write in (text, tensors, pickled):
        with (
            pytest.raises(UnwritableError, match=r"^The disk is full: .*a\.bin could not be written\. Free some space"),
            written_whole(small_disk / "a.bin") as temporary,
        ):
            write(temporary)
        assert not list(small_disk.iterdir())


def test_the_mode_follows_the_umask_whatever_the_writer_does(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with written_whole(tmp_path / "a.safetensors", durable=True) as temporary:
            save_file({"a": torch.zeros(1)}, temporary)
            temporary.chmod(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == (0o640 if os.name == "posix" else 0o666)
