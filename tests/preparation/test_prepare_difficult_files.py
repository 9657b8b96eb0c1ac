"""Links, names that are no UTF-8, and files that cannot be read: nothing stops the rest, nothing vanishes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from noise import paint

from morelli._file_names import escaped, unescaped
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import PrepareSummary, prepare

ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows keeps names as UTF-16 and has other rights")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Three artists, two pictures each."""
    for seed in range(6):
        paint(tmp_path / "disk" / f"Painter {'ABC'[seed // 2]}" / f"{seed % 2}.png", seed)
    return tmp_path / "disk"


def go(source: Path) -> tuple[PrepareSummary, dict[str, str]]:
    """Prepare, and give what was left out and why."""
    out = source.parent / f"out of {source.name}"
    summary = prepare(source, out, workers=1, size=20)
    rows = pd.read_csv(out / "left_out.csv", dtype=str, keep_default_na=False)
    return summary, dict(zip(rows["file"], rows["reason"], strict=True))


def test_links_to_folders_are_followed(disk: Path, tmp_path: Path) -> None:
    for source in (tmp_path / "all", tmp_path / "some"):
        source.mkdir()
        for folder in disk.iterdir():
            (source / folder.name).symlink_to(folder)
    (tmp_path / "some" / "Painter A").unlink()
    shutil.copytree(disk / "Painter A", tmp_path / "some" / "Painter A")

    for source in ("all", "some"):
        assert go(tmp_path / source)[0].usable == 6


def test_a_folder_is_read_once_and_under_its_own_name(disk: Path) -> None:
    (disk / "A again").symlink_to(disk / "Painter A")
    (disk / "Painter B" / "loop").symlink_to(disk)
    (disk / "Painter B" / "above").symlink_to(disk.parent)
    (disk / "Painter C" / "here").symlink_to(".")

    summary, left_out = go(disk)

    assert (summary.usable, summary.artists, left_out) == (6, 3, {})
    assert "Passed over: 4 links to folders that are read anyway." in summary.understood


def test_two_links_to_one_folder_outside(disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("one", "two"):
        (source / name).symlink_to(disk)
    (disk / "back").symlink_to(source)

    summary, _ = go(source)

    assert summary.usable == 6


def test_links_to_pictures_are_followed_and_dangling_ones_listed(disk: Path, tmp_path: Path) -> None:
    (disk / "Painter A" / "linked.png").symlink_to(paint(tmp_path / "elsewhere.png", 9))
    (disk / "Painter A" / "gone.jpg").symlink_to("/nowhere/x.jpg")
    (disk / "Painter D").symlink_to("/nowhere/D")
    (disk / "Painter B" / "annexed.jpg").symlink_to("../.git/annex/objects/Xk/7z/SHA256E-s9--0f.jpg")
    (disk / "Painter B" / "self.jpg").symlink_to("self.jpg")

    summary, left_out = go(disk)

    assert summary.usable == 7
    assert left_out.pop("Painter B/self.jpg")
    assert left_out == {
        "Painter A/gone.jpg": "a link to nothing (/nowhere/x.jpg)",
        "Painter B/annexed.jpg": "git-annex holds it elsewhere; run: git annex get",
        "Painter D": "a link to nothing (/nowhere/D)",
    }


def test_any_name_can_be_written_as_text_and_read_back() -> None:
    for name in ("plain/näme 写楽.jpg", os.fsdecode(b"mus\xe9e\xff.jpg"), r"C:\xe9\\", "\\", r"\x", "\ud800 lone"):
        text = escaped(name)
        assert unescaped(text) == name
        text.encode()
    assert escaped(os.fsdecode(b"mus\xe9e.jpg")) == r"mus\xe9e.jpg"


@ON_POSIX
def test_names_that_are_no_utf_8(disk: Path) -> None:
    artist = disk / os.fsdecode(b"Ren\xe9e")
    try:
        paint(artist / os.fsdecode(b"mus\xe9e.png"), 10)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes names in UTF-8 only")
    (artist / os.fsdecode(b"coup\xe9.png")).write_bytes((artist / os.fsdecode(b"mus\xe9e.png")).read_bytes()[:-40])
    (artist / os.fsdecode(b"not\xe9.txt")).write_text("x")

    summary, left_out = go(disk)

    assert summary.usable == 7
    assert left_out.keys() == {r"Ren\xe9e/coup\xe9.png"}
    paintings = read_paintings(disk.parent / "out of disk")
    assert r"Ren\xe9e" in set(paintings["artist"])
    assert go(disk)[0].already_done


@ON_POSIX
def test_a_source_whose_own_name_is_no_utf_8(disk: Path) -> None:
    source = disk.rename(disk.with_name(os.fsdecode(b"galer\xeda")))

    assert prepare(source, disk.parent / "out", workers=1).usable == 6
    assert prepare(source, disk.parent / "out", workers=1).already_done
    for wrong in (source / "gone", source / "Painter A" / "0.png", source / "Painter A"):
        with pytest.raises(MorelliError) as error:
            prepare(wrong / "x", disk.parent / "other")
        str(error.value).encode()


READ = "import sys; from morelli.cli import main; sys.argv[0] = 'morelli'; main()"


def run_without_rights(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as one who may not read everything, which root may."""
    drop = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    first = ["setpriv", *drop] if os.geteuid() == 0 else []
    if first and not shutil.which("setpriv"):
        pytest.skip("root reads everything, and there is no setpriv")
    command = [*first, sys.executable, "-c", READ, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@ON_POSIX
def test_a_file_and_a_folder_that_may_not_be_read(disk: Path) -> None:
    (disk / "Painter A" / "0.png").chmod(0)
    (disk / "Painter B").chmod(0)
    (disk / "Painter C" / "unknown").write_text("x")
    (disk / "Painter C" / "unknown").chmod(0)
    out = disk.parent / "out"
    try:
        done = run_without_rights("data", "prepare", disk, "--out", out, "--workers", 1)
        listed = pd.read_csv(out / "left_out.csv", dtype=str, keep_default_na=False)
    finally:
        (disk / "Painter B").chmod(0o755)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert dict(zip(listed["file"], listed["reason"], strict=True)) == {
        "Painter A/0.png": "cannot be read (Permission denied)",
        "Painter B/": "a folder that cannot be read (Permission denied)",
        "Painter C/unknown": "cannot be read (Permission denied)",
    }
    (disk / "Painter A" / "0.png").chmod(0o644)
    (disk / "Painter C" / "unknown").unlink()
    again = prepare(disk, out, workers=1)
    assert (again.usable, again.added, again.changed, again.left_out) == (6, 3, 0, {})


@ON_POSIX
def test_a_source_that_may_not_be_read_at_all(disk: Path) -> None:
    disk.chmod(0)
    try:
        done = run_without_rights("data", "prepare", disk, "--out", disk.parent / "out")
    finally:
        disk.chmod(0o755)

    assert done.returncode == 2
    assert f"Error: {disk} cannot be read: " in done.stderr
    assert "Traceback" not in done.stderr
