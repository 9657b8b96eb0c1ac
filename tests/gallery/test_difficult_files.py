"""Links, names that are no UTF-8 and unreadable folders in a folder of one's own that is indexed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from morelli import Painters
from morelli.gallery.index import PictureIndex

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows keeps names as UTF-16 and has other rights")
ODD, SHOWN = os.fsdecode(b"mus\xe9e.png"), r"mus\xe9e.png"


@pytest.fixture
def odd(pictures: Path) -> Path:
    """A picture whose name is no UTF-8."""
    try:
        return (pictures / "artist-0" / "0.png").rename(pictures / "artist-0" / ODD)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")


def test_a_name_that_is_no_utf_8_is_taken_shown_and_found_again(painters: Painters, pictures: Path, odd: Path) -> None:
    (pictures / os.fsdecode(b"not\xe9.png")).write_text("a letter")
    done = painters.index(pictures)

    assert (done.pictures, done.left_out[0][0]) == (9, r"not\xe9.png")
    done.text().encode()
    assert f"artist-0/{SHOWN}" in set(PictureIndex.load(done.path).pictures.pictures["file"])
    assert painters.index(pictures).embedded == 0
    (copy,) = painters.search(done.path, odd).copies
    assert (copy.file, copy.path) == (f"artist-0/{SHOWN}", odd)
    found = painters.search(done.path, odd)
    found.text().encode()
    str(found.to_dict()).encode()


def test_enrolling_and_identifying_with_such_names(painters: Painters, pictures: Path, odd: Path) -> None:
    index = painters.index(pictures).path
    folder = odd.parent.rename(odd.parent.with_name(os.fsdecode(b"Ren\xe9")))

    painters.enroll(index, "René", folder).text().encode()
    painters.identify(index, folder / ODD).text().encode()


def test_links_to_folders_are_followed_once_and_thumbnails_named(painters: Painters, pictures: Path) -> None:
    outside = shutil.move(pictures / "artist-0", pictures.parent / "outside")
    (pictures / "artist-0").symlink_to(outside)
    (pictures / "again").symlink_to(pictures / "artist-1")
    shutil.copytree(pictures / "artist-2", pictures / "artist-2" / "@eaDir")
    (pictures / "gone.png").symlink_to("/nowhere/x.png")

    done = painters.index(pictures)

    assert done.pictures == 9
    assert done.left_out == [("gone.png", "a link to nothing (/nowhere/x.png)")]
    assert "3 files in folders of thumbnails (@eaDir)" in done.text()
    assert "1 links to folders that are read anyway" in done.text()


def test_a_folder_that_may_not_be_read_is_left_out(model: Path, pictures: Path) -> None:
    drop = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    as_nobody = ["setpriv", *drop] if os.geteuid() == 0 else []
    if as_nobody and not shutil.which("setpriv"):
        pytest.skip("root reads everything, and there is no setpriv")
    command = "import sys; from morelli.cli import main; sys.argv[0] = 'morelli'; main()"
    (pictures / "artist-0").chmod(0)
    try:
        arguments = ["index", str(pictures), "--model", str(model)]
        done = subprocess.run([*as_nobody, sys.executable, "-c", command, *arguments], capture_output=True, text=True)
    finally:
        (pictures / "artist-0").chmod(0o755)

    assert done.returncode == 0, done.stderr
    assert "6 pictures" in done.stdout
    assert "artist-0/: a folder that cannot be read (Permission denied)" in done.stdout
