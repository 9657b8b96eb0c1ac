"""A source that has grown or changed: the folder becomes what a fresh one would be, and only what is new is read."""

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from noise import paint

from morelli.data.prepared import TABLE, read_paintings
from morelli.errors import MorelliError
from morelli.preparation import pool
from morelli.preparation import prepare as module
from morelli.preparation.picture_files import needs_package
from morelli.preparation.prepare import prepare


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    for seed in range(6):
        paint(tmp_path / "gallery" / f"Painter {'ABC'[seed // 2]}" / f"{seed % 2}.png", seed)
    (tmp_path / "gallery" / "Painter C" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return tmp_path / "gallery"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the originals that are read."""
    paths: list[str] = []
    attempt = pool._attempt

    def noted(task: Any, *others: Any) -> Any:
        paths.append(Path(task.file.path).name)
        return attempt(task, *others)

    monkeypatch.setattr(pool, "_attempt", noted)
    return paths


def test_a_folder_of_an_earlier_format_is_brought_to_todays(gallery: Path, tmp_path: Path, read: list[str]) -> None:
    prepare(gallery, tmp_path / "fresh", workers=1)
    out = tmp_path / "out"
    prepare(gallery, out, workers=1)
    noted = json.loads((out / "prepare.json").read_text())
    (out / "prepare.json").write_text(json.dumps({**noted, "format": 1}))
    table = pq.read_table(out / TABLE).drop_columns(["hash", "copy_of"])
    pq.write_table(table.replace_schema_metadata({b"morelli_prepared_format": b"1"}), out / TABLE)

    read.clear()
    assert prepare(gallery, out, workers=1).usable == 6
    assert len(read) == 7
    assert contents(out) == contents(tmp_path / "fresh")
    assert prepare(gallery, out, workers=1).already_done


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def later(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


def test_only_what_is_new_or_changed_is_read(gallery: Path, tmp_path: Path, read: list[str]) -> None:
    out = tmp_path / "out"
    prepare(gallery, out, workers=1)
    read.clear()
    paint(gallery / "Painter A" / "new.png", 10)
    paint(gallery / "Painter D" / "first.png", 11)
    later(paint(gallery / "Painter B" / "1.png", 12))
    (gallery / "Painter C" / "0.png").unlink()

    summary = prepare(gallery, out, workers=1)

    assert sorted(read) == ["1.png", "first.png", "new.png"]
    assert (summary.usable, summary.added, summary.changed, summary.removed) == (7, 2, 1, 1)
    assert not summary.already_done
    prepare(gallery, tmp_path / "fresh", workers=1)
    assert contents(out) == contents(tmp_path / "fresh")
    read.clear()
    assert prepare(gallery, out, workers=1).already_done
    assert read == []


def test_a_table_that_says_more_reads_nothing_again(gallery: Path, tmp_path: Path, read: list[str]) -> None:
    table = gallery.with_name("table.csv")
    table.write_text("path,artist\ngallery/Painter A/0.png,A\ngallery/Painter B/0.png,B\n")
    prepare(table, tmp_path / "out", workers=1)
    read.clear()
    table.write_text("path,artist,title\ngallery/Painter A/0.png,Ada,Sea\ngallery/Painter B/0.png,B,\n")

    prepare(table, tmp_path / "out", workers=1)

    assert read == []
    assert read_paintings(tmp_path / "out")[["artist", "title"]].fillna("").to_numpy().tolist() == [
        ["Ada", "Sea"],
        ["B", ""],
    ]


def test_what_was_left_out_is_used_when_it_is_mended(gallery: Path, tmp_path: Path, read: list[str]) -> None:
    prepare(gallery, tmp_path / "out", workers=1)
    read.clear()
    paint(gallery / "Painter C" / "broken.png", 20)

    summary = prepare(gallery, tmp_path / "out", workers=1)

    assert (read, summary.usable, summary.left_out) == (["broken.png"], 7, {})


def test_adding_that_is_cut_goes_on(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    out = tmp_path / "out"
    prepare(gallery, out, workers=1)
    before = (out / "paintings.parquet").read_bytes()
    for number in range(4):
        paint(gallery / "Painter A" / f"new {number}.png", 30 + number)
    keep = module._keep

    def cut(*arguments: object) -> None:
        keep(*arguments)  # type: ignore[arg-type]
        if len(read) > 2:
            raise KeyboardInterrupt

    read.clear()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_keep", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare(gallery, out, workers=1)
    assert (out / "paintings.parquet").read_bytes() == before
    read.clear()
    summary = prepare(gallery, out, workers=1)

    assert (len(read), summary.usable, summary.added) == (1, 10, 4)
    prepare(gallery, tmp_path / "fresh", workers=1)
    assert contents(out) == contents(tmp_path / "fresh")


def test_pictures_of_an_archive_that_is_replaced(gallery: Path, tmp_path: Path, read: list[str]) -> None:
    archive = tmp_path / "download" / "images.zip"
    archive.parent.mkdir()
    shutil.make_archive(str(archive.with_suffix("")), "zip", gallery)
    prepare(archive.parent, tmp_path / "out", workers=1)
    read.clear()
    with zipfile.ZipFile(archive, "a") as opened:
        opened.write(paint(tmp_path / "x.png", 50), "Painter A/x.png")
    later(archive)

    summary = prepare(archive.parent, tmp_path / "out", workers=1)

    assert (len(read), summary.added) == (1, 1)


def test_a_folder_prepared_before_versions_were_kept(gallery: Path, tmp_path: Path, read: list[str]) -> None:
    out = tmp_path / "out"
    prepare(gallery, out, workers=1)
    facts = json.loads((out / "prepare.json").read_text())
    del facts["originals"]
    (out / "prepare.json").write_text(json.dumps(facts))
    read.clear()

    assert prepare(gallery, out, workers=1).already_done
    paint(gallery / "Painter A" / "new.png", 10)
    assert prepare(gallery, out, workers=1).added == 1
    assert read == ["new.png"]


def test_another_source_is_refused(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(gallery, out, workers=1)
    before = contents(out)
    other = shutil.copytree(gallery, tmp_path / "other" / "gallery2")
    paint(other / "Painter A" / "0.png", 70)
    with pytest.raises(MorelliError, match="name: gallery then, gallery2 now"):
        prepare(other, out, workers=1)
    namesake = tmp_path / "elsewhere" / "gallery"
    paint(namesake / "Painter Z" / "0.png", 71)
    paint(namesake / "Painter Y" / "0.png", 72)
    with pytest.raises(MorelliError, match="the files or tables of the source are not the same"):
        prepare(namesake, out, workers=1)
    assert contents(out) == before


def test_left_out_pictures_are_told_apart_from_removed_ones(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(gallery, out, workers=1)
    (gallery / "Painter A" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")

    summary = prepare(gallery, out, workers=1)

    assert (summary.usable, summary.removed) == (5, 1)
    assert len(pd.read_csv(out / "left_out.csv")) == 2
    assert len(list(out.glob("images/*/*.jpg"))) == 5


def test_what_only_a_package_can_read_is_tried_again(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    paint(gallery / "Painter A" / "new.png", 10)
    shrink = pool.shrink

    def without_package(stream: Any, *others: Any) -> Any:
        if stream.name.endswith("new.png"):
            raise needs_package("HEIC", "'morelli[pictures]'")
        return shrink(stream, *others)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "shrink", without_package)
        assert prepare(gallery, tmp_path / "out", workers=1).usable == 6
    read.clear()

    assert prepare(gallery, tmp_path / "out", workers=1).usable == 7
    assert read == ["new.png"]
