"""What would hang, fill the memory or end in a traceback: refused quickly, in one sentence, and the rest goes on."""

import os
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from morelli.data.prepared import read_left_out
from morelli.errors import MorelliError
from morelli.preparation import csv_columns
from morelli.preparation.prepare import prepare


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    folder = tmp_path / "gallery"
    for artist in ("Ada", "Bela"):
        (folder / artist).mkdir(parents=True)
        for number in range(2):
            colour = (60 * number + 40, 90, 200 if artist == "Ada" else 20)
            Image.new("RGB", (40, 30), colour).save(folder / artist / f"{number}.png")
    return folder


def test_a_file_larger_than_any_picture_is_left_out_unread(gallery: Path, tmp_path: Path) -> None:
    with (gallery / "Ada" / "huge.tif").open("wb") as stream:
        stream.write(b"II*\0")
        stream.truncate(4 << 30)  # sparse: it takes no disk
    assert prepare(gallery, tmp_path / "out", workers=1).usable == 4
    assert read_left_out(tmp_path / "out")["reason"].str.startswith("a file of 4,294,967,296 bytes; the limit").any()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_a_pipe_or_a_link_to_itself_holds_nobody_up(gallery: Path, tmp_path: Path) -> None:
    (gallery / "Ada" / "loop.png").symlink_to("loop.png")
    (gallery / "Cleo").symlink_to("Cleo")
    (gallery / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(gallery / "Ada" / "pipe.png")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(MorelliError, match=r"pipe\.csv is neither a folder nor a plain file"):
        prepare(tmp_path / "pipe.csv", tmp_path / "out")
    assert prepare(gallery, tmp_path / "out", workers=1).usable == 4
    (tmp_path / "self.csv").symlink_to("self.csv")
    with pytest.raises(MorelliError, match=r"self\.csv"):
        prepare(tmp_path / "self.csv", tmp_path / "other")


@pytest.mark.parametrize("header", ["path, artist,artist", "path ,artist,path"])
def test_two_columns_of_one_name_are_refused(header: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\na.jpg,B,c\n")
    with pytest.raises(MorelliError, match=r'a\.csv has two columns "(path|artist)"'):
        prepare(tmp_path / "a.csv", tmp_path / "out")


def test_a_table_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("path,artist" + "," * 20_000 + "\n")
    with pytest.raises(MorelliError, match=r"its first line has 20,001 cells"):
        prepare(tmp_path / "a.csv", tmp_path / "out")
    monkeypatch.setattr(csv_columns, "_LARGEST_TABLE", 1000)
    with pytest.raises(MorelliError, match=r"a\.csv holds a table of 20,012 bytes; the limit is 1,000"):
        prepare(tmp_path / "a.csv", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "all_data_info.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("all_data_info.csv", "x" * 2000)
    with pytest.raises(MorelliError, match=r"all_data_info\.csv\.zip holds a table of 2,000 bytes"):
        prepare(tmp_path, tmp_path / "out")


def damaged_entry(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("all_data_info.csv", "".join(f"{n},{n * n}\n" for n in range(5000)))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_that_is_damaged_is_said_however_it_is_packed(method: int, tmp_path: Path) -> None:
    damaged_entry(tmp_path / "all_data_info.csv.zip", method)
    with pytest.raises(MorelliError, match=r"all_data_info\.csv\.zip is damaged"):
        prepare(tmp_path, tmp_path / "out")


def test_a_zip_of_a_later_version_or_with_a_nameless_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.png", "x")
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    path.write_bytes(content[: start + 6] + b"\x6e" + content[start + 7 :])  # needs version 11
    with pytest.raises(MorelliError, match=r"a\.zip is not a whole zip archive \(zip file version 11"):
        prepare(path, tmp_path / "out")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), "x")
    with pytest.raises(MorelliError, match=r'a\.zip has an entry "" without a name'):
        prepare(path, tmp_path / "out")


def test_a_damaged_list_or_table_is_made_again_by_the_same_command(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (gallery / "Ada" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    prepare(gallery, out, workers=1)
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name in ("left_out.csv", "paintings.parquet"):
        (out / name).write_bytes(b"\xff\xfe nothing of the kind")
        assert prepare(gallery, out, workers=1).usable == 4
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    assert pd.read_csv(out / "left_out.csv")["id"].tolist() == read_left_out(out)["id"].tolist()
