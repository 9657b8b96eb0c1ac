"""The three kinds of source, the options that choose from them, and the mistakes people make with them."""

import io
import shutil
from functools import partial
from pathlib import Path

import noise
import pandas as pd
import pytest
from PIL import Image

from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import prepare

paint = partial(noise.paint, size=(60, 40))


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A folder per artist: two paintings by Monet, one in a folder of its own, and three by Degas."""
    folder = tmp_path / "gallery"
    for seed, name in enumerate(
        ["Claude Monet/lilies.jpg", "Claude Monet/1890s/hay.png", *(f"Edgar Dégas/{i}.jpg" for i in range(3))]
    ):
        paint(folder / name, seed)
    return folder


def test_a_folder_per_artist(gallery: Path, tmp_path: Path) -> None:
    (gallery / "Claude Monet" / "notes.txt").write_text("bought in 1891")
    (gallery / "Claude Monet" / "._lilies.jpg").write_bytes(b"macOS's own")
    (gallery / "__MACOSX" / "x").mkdir(parents=True)
    paint(gallery / "__MACOSX" / "x" / "a.jpg")
    paint(gallery / "loose.jpg")

    summary = prepare(gallery, tmp_path / "out")

    paintings = read_paintings(tmp_path / "out")
    assert (summary.usable, summary.artists, summary.skipped_files) == (5, 2, 2)
    assert paintings["artist"].value_counts().to_dict() == {"Edgar Dégas": 3, "Claude Monet": 2}
    assert paintings["id"].is_unique
    assert paintings[["artist_group", "in_train", "title", "source"]].isna().all(axis=None)
    assert all((tmp_path / "out" / file).is_file() for file in paintings["file"])


def test_a_source_is_named_for_paintings_that_name_none(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(gallery, out)
    again = prepare(gallery, out, source_name="museum")
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert set(read_paintings(out)["source"]) == {"museum"}

    paint(tmp_path / "a.png", 7)
    paint(tmp_path / "b.png", 8)
    (tmp_path / "list.csv").write_text("path,artist,source\na.png,Ada Onn,Louvre\nb.png,Ada Onn,\n")
    prepare(tmp_path / "list.csv", tmp_path / "listed", source_name="museum")
    assert sorted(read_paintings(tmp_path / "listed")["source"]) == ["Louvre", "museum"]


def test_ids_are_the_same_wherever_the_folder_lies_and_safe_on_any_file_system(tmp_path: Path) -> None:
    for place in ("here", "there/deeper"):
        paint(tmp_path / place / "Ōta" / "Großes Bild: «1».jpg")
        paint(tmp_path / place / "Ōta" / ("x" * 200 + ".jpg"), 1)
        paint(tmp_path / place / "Ōta" / "写楽.jpg", 2)
        prepare(tmp_path / place, tmp_path / place / "out")
    here, there = (read_paintings(tmp_path / place / "out")["id"] for place in ("here", "there/deeper"))

    assert here.tolist() == there.tolist()
    assert here.str.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}").all()
    assert here[0].startswith("grosses-bild-1-")


def test_a_csv_of_paths_and_artists(gallery: Path, tmp_path: Path) -> None:
    table = gallery.parent / "table.csv"
    table.write_text(
        "\ufeffpath,artist,title,year\n"
        'gallery/Claude Monet/lilies.jpg, Monet ,"Lilies, evening",1906\n'
        "gallery\\Edgar Dégas\\0.jpg,Degas,,1880\n"
        "gallery/Claude Monet/lilies.jpg,Monet,again,1906\n",
        encoding="utf-8",
    )

    summary = prepare(table, tmp_path / "out")

    paintings = read_paintings(tmp_path / "out")
    assert paintings[["artist", "title"]].fillna("").to_numpy().tolist() == [
        ["Monet", "Lilies, evening"],
        ["Degas", ""],
    ]
    assert paintings["date"].tolist() == ["1906", "1880"]
    assert summary.left_out == {"listed a second time in the table": 1}


def test_a_csv_with_columns_of_other_names(gallery: Path, tmp_path: Path) -> None:
    table = gallery / "table.csv"
    table.write_text("painter , file\nMonet,Claude Monet/lilies.jpg\n")

    prepare(table, tmp_path / "out", artist_column="painter", path_column="file")

    assert read_paintings(tmp_path / "out")["artist"].tolist() == ["Monet"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("path,artist\n", "no rows"),
        ("path,artst\nx.jpg,A\n", 'no column "artist"; it has path, artst. Did you mean "artst"?'),
        ("path;artist\nx.jpg;A\n", "Save it with commas, not semicolons"),
        ("path,artist\nlilies.jpg,A,1906\n", "rows with more cells than its header has columns (path, artist)"),
        ("path,artist\nlilies.jpg,A\nlilies.jpg,A,1906\n", "cannot be read as a CSV"),
        ("path,artist\nlilies.jpg\n", 'line 2: "lilies.jpg", ""'),
        (f"path,artist\n{'x' * 300}.jpg,A\n", "cannot be read"),
        ("path,artist\nlilies.jpg,\n", r'1 rows have an empty path or artist:\n  line 2: "lilies.jpg", ""'),
        ("path,artist\nlilies.jpg,A\nlilies.jpg,B\n", "2 rows give one picture to two artists"),
        ('path,artist\n"lilies.jpg,A\n', "cannot be read as a CSV"),
        ("path,artist\n.,A\n", "name a file that is not there"),
    ],
)
def test_a_csv_with_a_mistake(content: str, message: str, tmp_path: Path) -> None:
    paint(tmp_path / "lilies.jpg")
    (tmp_path / "table.csv").write_text(content)

    with pytest.raises(MorelliError) as caught:
        prepare(tmp_path / "table.csv", tmp_path / "out")

    assert message.replace(r"\n", "\n") in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_csv_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes("path,artist\nx.jpg,Dégas\n".encode("latin-1"))

    with pytest.raises(MorelliError, match="not encoded in UTF-8"):
        prepare(tmp_path / "table.csv", tmp_path / "out")


def test_missing_files_of_a_csv_are_named_with_their_lines_and_counted(tmp_path: Path) -> None:
    rows = "".join(f"gone{i}.jpg,A\n" for i in range(1200))
    (tmp_path / "table.csv").write_text("path,artist\n" + rows)

    with pytest.raises(MorelliError) as caught:
        prepare(tmp_path / "table.csv", tmp_path / "out")

    assert "1,200 rows name a file that is not there" in str(caught.value)
    assert 'line 6: "gone4.jpg", "A"\n  … and 1,195 more' in str(caught.value)


def test_a_source_that_is_not_there_teaches_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(MorelliError) as caught:
        prepare(tmp_path / "nowhere", tmp_path / "out")

    for layout in ("No source at", "all_data_info.csv", "one folder per artist", "a CSV file with the columns"):
        assert layout in str(caught.value)


def test_sources_of_no_known_kind(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    flat = tmp_path / "flat"
    paint(flat / "a.jpg")
    with_table = tmp_path / "with table"
    paint(with_table / "a.jpg")
    (with_table / "labels.csv").write_text("path,artist\n")
    single = paint(tmp_path / "single.jpg")
    archive = tmp_path / "train.zip"
    archive.write_bytes(b"")

    for source, message in {
        empty: "no folders with pictures",
        flat: "1 pictures lie directly in it",
        with_table: "labels.csv",
        single: "is not a source",
        archive: f"pass the folder that holds it: {tmp_path}",
    }.items():
        with pytest.raises(MorelliError) as caught:
            prepare(source, tmp_path / "out")
        assert message in str(caught.value)
        assert "one folder per artist" in str(caught.value)


def test_the_destination_may_lie_inside_the_source(gallery: Path) -> None:
    first = prepare(gallery, gallery / "prepared")
    again = prepare(gallery, gallery / "prepared")
    smaller = prepare(gallery, gallery / "smaller", size=20)

    assert (first.usable, first.artists) == (again.usable, again.artists) == (smaller.usable, smaller.artists) == (5, 2)
    assert again.already_done


def test_the_destination_may_not_be_the_source_or_something_else(gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="is the source itself"):
        prepare(gallery, gallery)
    other = paint(tmp_path / "other" / "holiday.jpg").parent
    with pytest.raises(MorelliError, match="already there and was not made by"):
        prepare(gallery, other)
    with pytest.raises(MorelliError, match="already there and was not made by"):
        prepare(gallery, other / "holiday.jpg")
    with pytest.raises(MorelliError, match=r"holiday\.jpg"):
        prepare(gallery, other / "holiday.jpg" / "out")
    assert [path.name for path in other.iterdir()] == ["holiday.jpg"]


def test_chosen_artists_are_compared_without_case_and_accents(gallery: Path, tmp_path: Path) -> None:
    summary = prepare(gallery, tmp_path / "out", only_artists=["edgar degas"])

    assert (summary.usable, summary.artists) == (3, 1)


def test_an_artist_whom_the_source_does_not_have(gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=r'no artist "Claude Manet"\. Did you mean "Claude Monet"'):
        prepare(gallery, tmp_path / "out", only_artists=["Claude Manet"])


def test_the_same_paintings_are_chosen_whatever_order_they_come_in(tmp_path: Path) -> None:
    rows = [(f"{artist}/{i}.jpg", artist) for artist in "ABC" for i in range(8)]
    for seed, (path, _) in enumerate(rows):
        paint(tmp_path / path, seed)
    frames = {"forward": rows, "backward": rows[::-1]}
    for name, ordered in frames.items():
        pd.DataFrame(ordered, columns=["path", "artist"]).to_csv(tmp_path / f"{name}.csv", index=False)
        prepare(tmp_path / f"{name}.csv", tmp_path / name, max_per_artist=3, limit=7)

    forward, backward = (read_paintings(tmp_path / name).sort_values("id", ignore_index=True) for name in frames)

    pd.testing.assert_frame_equal(forward, backward)
    assert forward["artist"].value_counts().to_dict() == {"A": 3, "B": 3, "C": 1}


@pytest.mark.parametrize("option", ["size", "max_per_artist", "limit", "workers"])
def test_an_option_that_is_too_small(option: str, gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=f"{option} is 0; it must be at least"):
        prepare(gallery, tmp_path / "out", **{option: 0})


def test_a_finished_folder_is_left_alone_and_refused_to_other_options(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(gallery, out, size=30)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    assert prepare(gallery, out, size=30).already_done
    with pytest.raises(MorelliError, match="size: 30 then, 20 now\nChoose another --out"):
        prepare(gallery, out, size=20)
    with pytest.raises(MorelliError, match=r"only_artists: \[\] then, \['claude monet'\] now"):
        prepare(gallery, out, size=30, only_artists=["Claude Monet"])
    shutil.rmtree(gallery)
    paint(gallery / "Someone Else" / "new.jpg", 9)
    with pytest.raises(
        MorelliError, match="from another source or with other options:\n  the files or tables of the source"
    ):
        prepare(gallery, out, size=30)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_finished_folder_may_move_and_its_source_too(gallery: Path, tmp_path: Path) -> None:
    prepare(gallery, tmp_path / "out")
    moved = shutil.move(tmp_path / "out", tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    source = shutil.move(gallery, tmp_path / "elsewhere" / "gallery")

    assert prepare(source, moved).already_done


def test_duplicates_are_kept_counted_and_listed(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    twin = paint(gallery / "A" / "twin.jpg", 0)
    for copy in ("A/twin2.jpg", "A/twin3.jpg", "B/twin.jpg"):
        (gallery / copy).parent.mkdir(exist_ok=True)
        shutil.copy(twin, gallery / copy)
    shutil.copy(paint(gallery / "B" / "other.jpg", 1), gallery / "B" / "other2.jpg")
    paint(gallery / "B" / "single.jpg", 2)

    summary = prepare(gallery, tmp_path / "out")

    assert (summary.usable, summary.duplicates_within_artists, summary.duplicates_across_artists) == (7, 2, 1)
    listed = pd.read_csv(tmp_path / "out" / "duplicates.csv")
    assert listed.columns.tolist() == ["sha256", "id", "artist"]
    assert sorted(listed.groupby("sha256")["id"].size()) == [2, 4]
    assert set(listed["id"]) <= set(read_paintings(tmp_path / "out")["id"])


def test_a_source_without_one_usable_painting(tmp_path: Path) -> None:
    (tmp_path / "gallery" / "A").mkdir(parents=True)
    (tmp_path / "gallery" / "A" / "a.jpg").write_bytes(b"text")

    for _ in range(2):
        with pytest.raises(MorelliError, match=r"Not one painting can be used(.|\n)*1 not a picture that can be read"):
            prepare(tmp_path / "gallery", tmp_path / "out")


def test_a_damaged_picture_is_listed_with_its_file_artist_and_reason(gallery: Path, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (50, 50)).save(whole, "JPEG")
    (gallery / "Edgar Dégas" / "cut.jpg").write_bytes(whole.getvalue()[:-30])

    summary = prepare(gallery, tmp_path / "out")

    assert summary.left_out == {"truncated": 1}
    (row,) = pd.read_csv(tmp_path / "out" / "left_out.csv").itertuples(index=False)
    assert (row.file, row.artist, row.reason) == ("Edgar Dégas/cut.jpg", "Edgar Dégas", "truncated")
