"""The competition's files: archives or their unpacked folder, whole, in parts, damaged, encrypted or hostile."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import prepare

COLUMNS = "artist,date,genre,pixelsx,pixelsy,size_bytes,source,style,title,artist_group,in_train,new_filename"


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def write_zip(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def write_table(folder: Path, numbers: range, *, zipped: bool = True) -> None:
    rows = [
        f'Artist {n % 3},c.1{n:03d},portrait,60.0,40.0,1.0,wikiart,,"A title, {n}",train_and_test,{n < 8},{n}.jpg'
        for n in numbers
    ]
    text = "\n".join([COLUMNS, *rows, ""])
    if zipped:
        write_zip(folder / "all_data_info.csv.zip", {"all_data_info.csv": text.encode()})
    else:
        (folder / "all_data_info.csv").write_text(text)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Twelve paintings by three artists: 0 to 7 in train.zip, 8 to 11 in test.zip; 3 and 9 are truncated."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    pictures = {n: jpeg(n) for n in range(12)}
    cut = {n: data[:-200] if n in (3, 9) else data for n, data in pictures.items()}
    write_zip(folder / "train.zip", {f"train/{n}.jpg": cut[n] for n in range(8)})
    write_zip(folder / "test.zip", {f"test/{n}.jpg": cut[n] for n in range(8, 12)})
    clutter = {"__MACOSX/train/._3.jpg": b"x", "train/.DS_Store": b"x"}
    write_zip(folder / "replacements_for_corrupted_files.zip", {"train/3.jpg": pictures[3], **clutter})
    write_table(folder, range(12))
    return folder


def test_truncated_pictures_are_replaced_where_that_is_possible(downloads: Path, tmp_path: Path) -> None:
    summary = prepare(downloads, tmp_path / "out")

    assert (summary.usable, summary.artists, summary.repaired) == (11, 3, 1)
    assert summary.left_out == {"truncated": 1}
    assert summary.skipped_files == 0
    paintings = read_paintings(tmp_path / "out").set_index("id")
    assert paintings["status"].drop("3").eq("ok").all()
    assert paintings.loc["3", "status"] == "repaired"
    assert paintings.fillna("").loc["4"].to_dict() | {"file": "", "sha256": "", "hash": ""} == {
        "file": "",
        "artist": "Artist 1",
        "artist_group": "train_and_test",
        "in_train": True,
        "title": "A title, 4",
        "style": "",
        "genre": "portrait",
        "date": "c.1004",
        "source": "wikiart",
        "width": 60,
        "height": 40,
        "sha256": "",
        "status": "ok",
        "hash": "",
        "copy_of": "",
    }
    assert paintings["in_train"].sum() == 8
    assert (tmp_path / "out" / "left_out.csv").read_text() == "id,file,artist,reason\n9,9.jpg,Artist 0,truncated\n"


def test_archives_their_parts_and_their_unpacked_folder_give_the_same(downloads: Path, tmp_path: Path) -> None:
    prepare(downloads, tmp_path / "whole")
    unpacked = tmp_path / "unpacked"
    for path in downloads.iterdir():
        inner = unpacked / path.stem if path.stem.startswith("replacements") else unpacked
        with zipfile.ZipFile(path) as archive:
            archive.extractall(inner)
    parts = tmp_path / "parts"
    parts.mkdir()
    for path in downloads.iterdir():
        (parts / path.name).write_bytes(path.read_bytes())
    with zipfile.ZipFile(parts / "train.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    (parts / "train.zip").unlink()
    for part in (1, 2):
        halves = {f"train_{part}/{Path(k).name}": v for k, v in contents.items() if int(Path(k).stem) % 2 == part - 1}
        write_zip(parts / f"train_{part}.zip", halves, zipfile.ZIP_DEFLATED)

    prepare(unpacked, tmp_path / "from unpacked")
    prepare(parts, tmp_path / "from parts")

    expected = {p.relative_to(tmp_path / "whole"): p.read_bytes() for p in (tmp_path / "whole").rglob("*.*")}
    for out in ("from unpacked", "from parts"):
        found = {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*.*")}
        assert {k: v for k, v in found.items() if k.name != "prepare.json"} == {
            k: v for k, v in expected.items() if k.name != "prepare.json"
        }


def test_rows_without_a_picture_and_pictures_without_a_row_are_listed(downloads: Path, tmp_path: Path) -> None:
    write_table(downloads, range(1, 14))

    summary = prepare(downloads, tmp_path / "out")

    assert summary.usable == 10
    assert summary.left_out == {"not in the archives": 2, "truncated": 1, "no row in the table": 1}
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv", dtype=str, keep_default_na=False)
    assert left_out[["file", "artist"]].to_numpy().tolist() == [
        ["9.jpg", "Artist 0"],
        ["12.jpg", "Artist 0"],
        ["13.jpg", "Artist 1"],
        ["0.jpg", ""],
    ]


def test_what_is_no_picture_is_skipped_and_counted(downloads: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(downloads / "train.zip", "a") as archive:
        archive.writestr("train/readme.txt", "hello")
        archive.writestr("__MACOSX/train/._1.jpg", "resource fork")

    assert prepare(downloads, tmp_path / "out").skipped_files == 1


def test_an_entry_with_damaged_bytes_is_left_out_or_replaced(downloads: Path, tmp_path: Path) -> None:
    archive = downloads / "train.zip"
    data = archive.read_bytes()
    for name in (b"train/3.jpg", b"train/5.jpg"):
        start = data.index(name) + 300
        data = data[:start] + b"\0\0\0\0" + data[start + 4 :]
    archive.write_bytes(data)

    summary = prepare(downloads, tmp_path / "out")

    assert (summary.usable, summary.repaired) == (10, 1)
    assert summary.left_out == {"damaged in the archive": 1, "truncated": 1}


def test_a_replacement_that_is_broken_too_is_said(downloads: Path, tmp_path: Path) -> None:
    write_zip(downloads / "replacements_for_corrupted_files.zip", {"train/3.jpg": jpeg(3)[:-200]})

    summary = prepare(downloads, tmp_path / "out")

    assert summary.left_out == {"truncated": 1, "truncated; its replacement: truncated": 1}


@pytest.mark.parametrize(
    "entry", ["../../outside.jpg", "train/../../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "c:x.jpg", "..\\x.jpg", "\\x.jpg"]
)
def test_an_entry_that_would_leave_the_folder(entry: str, downloads: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(downloads / "train.zip", "a") as archive:
        archive.writestr(entry, jpeg(0))

    with pytest.raises(MorelliError) as caught:
        prepare(downloads, tmp_path / "out")

    assert f'train.zip has an entry "{entry}" that would leave the folder' in str(caught.value)
    assert not (tmp_path / "out").exists()


def set_in_directory(archive: Path, entry: str, offset: int, packed: bytes) -> None:
    """Overwrite a field of an entry in the archive's central directory."""
    data = bytearray(archive.read_bytes())
    start = data.rindex(entry.encode()) - 46
    assert data[start : start + 4] == b"PK\x01\x02"
    data[start + offset : start + offset + len(packed)] = packed
    archive.write_bytes(data)


@pytest.mark.parametrize(
    ("offset", "packed", "message"),
    [
        (8, struct.pack("<H", 1), "that is encrypted. Unpack the archive with its password"),
        (10, struct.pack("<H", 99), "packed with method 99"),
        (24, struct.pack("<I", 3 << 30), "to 3,221,225,472 bytes: a zip bomb"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named(
    offset: int, packed: bytes, message: str, downloads: Path, tmp_path: Path
) -> None:
    set_in_directory(downloads / "test.zip", "test/10.jpg", offset, packed)

    with pytest.raises(MorelliError) as caught:
        prepare(downloads, tmp_path / "out")

    assert f'{downloads / "test.zip"} has an entry "test/10.jpg" ' in str(caught.value)
    assert message in str(caught.value)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(downloads: Path, tmp_path: Path) -> None:
    write_zip(downloads / "train_1.zip", {"train_1/bomb.jpg": bytes(80 << 20)}, zipfile.ZIP_DEFLATED)

    with pytest.raises(
        MorelliError, match=r'"train_1/bomb.jpg" that would unpack from [\d,]+ to 83,886,080 bytes: a zip'
    ):
        prepare(downloads, tmp_path / "out")


def test_an_entry_that_is_larger_than_it_declares_is_not_read_on(downloads: Path, tmp_path: Path) -> None:
    write_zip(downloads / "test.zip", {f"test/{n}.jpg": jpeg(n) for n in range(8, 12)}, zipfile.ZIP_DEFLATED)
    set_in_directory(downloads / "test.zip", "test/10.jpg", 24, struct.pack("<I", 500))

    assert prepare(downloads, tmp_path / "out").left_out == {"damaged in the archive": 1}


@pytest.mark.parametrize("name", ["train.zip", "all_data_info.csv.zip"])
@pytest.mark.parametrize("kept", [0.0, 0.6])
def test_an_archive_that_was_cut(name: str, kept: float, downloads: Path, tmp_path: Path) -> None:
    data = (downloads / name).read_bytes()
    (downloads / name).write_bytes(data[: int(len(data) * kept)])

    with pytest.raises(MorelliError, match=f"{name} is not a whole zip archive"):
        prepare(downloads, tmp_path / "out")


def test_a_table_whose_bytes_are_damaged(downloads: Path, tmp_path: Path) -> None:
    data = bytearray((downloads / "all_data_info.csv.zip").read_bytes())
    data[100] ^= 0xFF
    (downloads / "all_data_info.csv.zip").write_bytes(data)

    with pytest.raises(MorelliError, match=r"all_data_info\.csv\.zip is damaged"):
        prepare(downloads, tmp_path / "out")


def test_pictures_without_the_table(downloads: Path, tmp_path: Path) -> None:
    (downloads / "all_data_info.csv.zip").unlink()

    with pytest.raises(
        MorelliError, match=r"but no all_data_info.csv.zip, which names the artists(.|\n)*data download"
    ):
        prepare(downloads, tmp_path / "out")


def test_a_table_without_pictures(tmp_path: Path) -> None:
    write_table(tmp_path, range(3), zipped=False)

    with pytest.raises(MorelliError, match="the competition's table but no pictures"):
        prepare(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("artist,new_filename\nA,1.jpg\n", "lacks the columns artist_group, in_train"),
        (COLUMNS + "\n", "lists no paintings"),
        (COLUMNS + "\nA,,,,,,,,,,True,../1.jpg\n", 'line 2: new_filename "../1.jpg" is not a plain file name'),
        ("", "all_data_info.csv is empty"),
    ],
)
def test_a_table_with_a_mistake(text: str, message: str, downloads: Path, tmp_path: Path) -> None:
    (downloads / "all_data_info.csv.zip").unlink()
    (downloads / "all_data_info.csv").write_text(text)

    with pytest.raises(MorelliError) as caught:
        prepare(downloads, tmp_path / "out")

    assert message in str(caught.value)


def test_a_row_that_is_listed_twice_counts_once(downloads: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(downloads / "all_data_info.csv.zip") as archive:
        text = archive.read("all_data_info.csv").decode()
    (downloads / "all_data_info.csv.zip").unlink()
    (downloads / "all_data_info.csv").write_text(text + text.splitlines()[-1] + "\n")

    summary = prepare(downloads, tmp_path / "out")

    assert summary.usable == 11
    assert summary.left_out == {"truncated": 1, "listed a second time in the table": 1}


def test_a_row_without_an_artist_is_left_out(downloads: Path, tmp_path: Path) -> None:
    (downloads / "all_data_info.csv.zip").unlink()
    (downloads / "all_data_info.csv").write_text(COLUMNS + "\nA,,,,,,,,,,True,1.jpg\n ,,,,,,,,,,True,2.jpg\n")

    summary = prepare(downloads, tmp_path / "out")

    assert summary.usable == 1
    assert summary.left_out == {"no row in the table": 10, "no artist in the table": 1}
