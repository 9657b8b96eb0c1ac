"""Tables as museums and data sets publish them: any usual column, separator and encoding; rows that cannot be used."""

import csv
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from noise import paint

from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import PrepareSummary, prepare

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0f3a\nsize 61000000\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures in ``pictures/``, beside which the tests write their tables."""
    for seed, name in enumerate(["Monet/sea.jpg", "Monet/Étang.jpg", "Degas/bar.jpg", "Degas/race.jpg"]):
        paint(tmp_path / "museum" / "pictures" / name, seed)
    return tmp_path / "museum"


FILES = ["pictures/Monet/sea.jpg", "pictures/Monet/Étang.jpg", "pictures/Degas/bar.jpg", "pictures/Degas/race.jpg"]
NAMES = ["Claude Monet", "Claude Monet", "Edgar Dégas", "Edgar Dégas"]


def text(rows: list[list[str]], separator: str = ",") -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=separator).writerows(rows)
    return written.getvalue()


def go(source: Path, **options: object) -> tuple[PrepareSummary, pd.DataFrame]:
    out = source.parent.parent / f"out of {source.name}"
    summary = prepare(source, out, workers=1, size=20, **options)  # type: ignore[arg-type]
    return summary, read_paintings(out)


@pytest.mark.parametrize(
    "header",
    [
        ["path", "artist", "title", "date", "style", "genre", "source"],
        ["File", "Artist", "Title", "Date", "Style", "Genre", "Museum"],
        ["FILENAME", "ArtistDisplayName", "ObjectTitle", "Object Date", "movement", "GENRE", "Repository"],
        ["image_file", "Creator", "Titel", "Datierung", "Stil", "Gattung", "Sammlung"],
        ["Any column of files", "Künstler", "titre", "année", "Art Movement", "género", "collection"],
    ],
)
def test_columns_are_known_by_their_usual_names_in_any_case(header: list[str], folder: Path) -> None:
    rows = [
        [file, name, "A title", "c. 1900", "Realism", "portrait", "Uffizi"]
        for file, name in zip(FILES, NAMES, strict=True)
    ]
    (folder / "table.csv").write_text(text([header, *rows]), encoding="utf-8")

    summary, paintings = go(folder / "table.csv")

    assert sorted(set(paintings["artist"])) == ["Claude Monet", "Edgar Dégas"]
    details = paintings[["title", "date", "style", "genre", "source"]].drop_duplicates()
    assert details.to_numpy().tolist() == [["A title", "c. 1900", "Realism", "portrait", "Uffizi"]]
    assert f'artist from "{header[1]}", title from "{header[2]}"' in summary.understood[0]


def test_columns_can_be_named_and_left_out(folder: Path) -> None:
    header = ["where", "who", "what", "title", "year"]
    rows = [[file, name, "Sea", "Seascape with boats", "1900"] for file, name in zip(FILES, NAMES, strict=True)]
    (folder / "table.csv").write_text(text([header, *rows]), encoding="utf-8")
    named = {"title": "What", "date": ""}

    _, paintings = go(folder / "table.csv", artist_column="WHO", path_column="where", columns=named)

    assert set(paintings["title"]) == {"Sea"}
    assert paintings["date"].isna().all()
    with pytest.raises(MorelliError, match=r'no field "titel".*Did you mean "title"'):
        go(folder / "table.csv", columns={"titel": "what"})
    with pytest.raises(MorelliError, match='no column "whom"; it has where, who, what, title, year'):
        go(folder / "table.csv", artist_column="whom")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_separators_and_encodings(separator: str, encoding: str, folder: Path) -> None:
    rows = [["path", "artist"], *map(list, zip(FILES, NAMES, strict=True))]
    (folder / "table.csv").write_text(text(rows, separator), encoding=encoding)

    summary, paintings = go(folder / "table.csv")

    assert len(paintings) == 4
    assert sorted(set(paintings["artist"])) == ["Claude Monet", "Edgar Dégas"]
    assert ("not encoded in UTF-8" in "".join(summary.understood)) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("header", "others", "choices"),
    [
        (
            ["file", "artist", "maker"],
            ["Thoma", "Bing", "Ann", "Lee"],
            '--artist-column "artist" or --artist-column "maker"',
        ),
        (["file", "Author", "Painter"], ["X", "Y", "Z", "W"], '--artist-column "Painter" or --artist-column "Author"'),
        (
            ["file", "artist", "scan"],
            ["1.jpg", "2.jpg", "3.jpg", "4.jpg"],
            '--path-column "file" or --path-column "scan"',
        ),
    ],
)
def test_a_guess_that_is_ambiguous_is_refused_with_the_choices(
    header: list[str], others: list[str], choices: str, folder: Path
) -> None:
    rows = [[file, name, other] for file, name, other in zip(FILES, NAMES, others, strict=True)]
    (folder / "table.csv").write_text(text([header, *rows]), encoding="utf-8")

    field = choices[2 : choices.index("-column")]
    with pytest.raises(MorelliError, match=rf"several columns for the {field}, which differ.*: {choices}"):
        go(folder / "table.csv")
    named = {f"{field}_column": header[1] if field == "artist" else "file"} | {"artist_column": header[1]}
    assert len(go(folder / "table.csv", **named)[1]) == 4


@pytest.mark.parametrize(
    ("column", "others"),
    [
        ("artist display", [f"{name} (French, 1834–1917)" for name in NAMES]),
        ("maker", ["", "", "", ""]),
        ("creator", ["Monet, Claude", "claude_monet", "DEGAS, EDGAR", "Edgar Degas"]),
        ("file name", [file.rpartition("/")[2] for file in FILES]),
        ("year", ["1900", "1901", "1902", "1903"]),
    ],
)
def test_columns_that_say_the_same_are_not_ambiguous(column: str, others: list[str], folder: Path) -> None:
    rows = [["file", "artist", "date", column], *map(list, zip(FILES, NAMES, ["1900"] * 4, others, strict=True))]
    (folder / "table.csv").write_text(text(rows), encoding="utf-8")

    _, paintings = go(folder / "table.csv")

    assert (set(paintings["artist"]), set(paintings["date"])) == ({*NAMES}, {"1900"})


def test_the_separator_that_excel_announces(folder: Path) -> None:
    (folder / "table.csv").write_text("sep=;\r\npath;artist\r\npictures/Monet/sea.jpg;A\r\n")

    assert go(folder / "table.csv")[1]["artist"].tolist() == ["A"]


def test_rows_that_cannot_be_used_are_left_out_and_listed(folder: Path) -> None:
    rows = [
        ["path", "artist"],
        ["pictures/Monet/sea.jpg", "Claude Monet"],
        ["pictures/Monet/sea.jpg", "CLAUDE  MONET"],
        ["./pictures/Monet/../Monet/sea.jpg", "Claude Monet"],
        ["pictures/Degas/bar.jpg", ""],
        ["", "Edgar Degas"],
        ["gone.jpg", "Edgar Degas"],
        ["https://example.org/1.jpg", "Edgar Degas"],
        ["pictures/Degas/race.jpg", "Edgar Degas"],
        ["pictures/Degas/race.jpg", "Claude Monet"],
    ]
    (folder / "table.csv").write_text(text(rows))

    summary, paintings = go(folder / "table.csv")

    assert paintings["artist"].tolist() == ["Claude Monet"]
    assert summary.left_out == {
        "listed a second time in the table": 2,
        "one picture by two artists": 2,
        "no artist in the table": 1,
        "no path in the table": 1,
        "no such file": 1,
        "a web address, no file": 1,
    }


def test_addresses_in_the_web_are_refused_in_one_sentence(folder: Path) -> None:
    urls = [[f"https://example.org/iiif/{n}/default.jpg", "A"] for n in range(3)]
    (folder / "table.csv").write_text(text([["image", "artist"], *urls]))

    with pytest.raises(MorelliError, match=r'web addresses \(column "image", such as https://example.org/iiif/0/'):
        go(folder / "table.csv")


def test_a_column_of_files_is_taken_before_one_of_addresses(folder: Path) -> None:
    rows = [["image", "artist", "local copy"], ["https://example.org/1.jpg", "A", FILES[0]]]
    (folder / "table.csv").write_text(text(rows))

    assert len(go(folder / "table.csv")[1]) == 1


@pytest.mark.parametrize(
    "given",
    ["Étang.jpg", "étang.JPG", "Étang", "E\u0301tang.jpg", "C:\\scans\\pictures\\Monet\\Étang.jpg", "monet/Étang.jpg"],
)
def test_a_file_is_found_by_its_name_beside_the_table(given: str, folder: Path) -> None:
    (folder / "table.csv").write_text(text([["file", "artist"], [given, "A"]]), encoding="utf-8")

    summary, paintings = go(folder / "table.csv")

    assert len(paintings) == 1
    assert "Found by their names beside the table: 1 files." in summary.understood


def test_a_file_is_not_taken_for_one_of_that_name_by_another(folder: Path) -> None:
    paint(folder / "pictures" / "Monet" / "bar.jpg", 9)
    rows = [["file", "artist"], ["bar.jpg", "A"], ["pictures/Manet/sea.jpg", "Manet"], ["Degas/race.jpg", "Degas"]]
    (folder / "table.csv").write_text(text(rows))

    summary, paintings = go(folder / "table.csv")

    assert paintings["artist"].tolist() == ["Degas"]
    assert summary.left_out == {"no such file": 2}


def test_pictures_in_an_archive_beside_the_table(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.write(paint(folder.parent / "x.jpg", 7), "images/17.jpg")
    (folder / "table.csv").write_text(text([["id", "file", "artist"], ["1", "17.jpg", "A"]]))

    assert len(go(folder / "table.csv")[1]) == 1


def test_the_table_in_a_folder_is_used_where_the_folder_tells_no_artists(tmp_path: Path) -> None:
    rows = [["file_name", "artist"]]
    for number in range(4):
        paint(tmp_path / "in" / "all" / f"{number}.jpg", number)
        rows.append([f"{number}.jpg", f"Artist {number % 2}"])
    (tmp_path / "in" / "metadata.csv").write_text(text(rows))

    summary, paintings = go(tmp_path / "in" / "metadata.csv")
    folder = prepare(tmp_path / "in", tmp_path / "out", workers=1)

    assert paintings["artist"].nunique() == folder.artists == 2
    assert folder.understood[0] == "Table: metadata.csv, because the folders tell no artists."
    assert summary.usable == folder.usable == 4


@pytest.mark.parametrize("pointer", ["table.csv", "images.zip", "picture"])
def test_a_git_lfs_pointer_is_recognised_as_one(pointer: str, folder: Path) -> None:
    if pointer == "picture":
        (folder / "pictures" / "Monet" / "more.jpg").write_bytes(LFS)
        summary = prepare(folder, folder.parent / "out", workers=1)
        assert summary.left_out == {"a Git LFS pointer, not the file itself; run: git lfs pull": 1}
        return
    (folder / pointer).write_bytes(LFS)
    with pytest.raises(MorelliError, match=r"is .*a Git LFS pointer, not the file itself; run: git lfs pull"):
        prepare(folder / pointer, folder.parent / "out")


def test_a_table_that_the_folders_need_and_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "all" / "1.jpg")
    (tmp_path / "in" / "notes").mkdir()
    (tmp_path / "in" / "notes" / "table.csv").write_bytes(LFS)
    with pytest.raises(MorelliError, match=r"Or did you mean the table in it\? .*table\.csv is a Git LFS pointer"):
        prepare(tmp_path / "in", tmp_path / "out")

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "in" / "all" / "1.jpg", "all/1.jpg")
        archive.writestr("labels.csv", "file,artist\n1.jpg,A\n")
    with pytest.raises(MorelliError, match=r"If labels\.csv in it names them, unpack the archive"):
        prepare(tmp_path / "all.zip", tmp_path / "out")


def test_a_web_page_in_place_of_a_picture_is_named(folder: Path) -> None:
    (folder / "pictures" / "Monet" / "more.jpg").write_text("<!DOCTYPE html><html>Not found</html>")

    assert prepare(folder, folder.parent / "out", workers=1).left_out == {"a web page, not the file itself": 1}
