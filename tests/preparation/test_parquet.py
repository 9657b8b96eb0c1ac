"""Parquet as dataset hubs have it: pictures in the table or beside it, artists as text or as numbers of classes."""

import io
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.table import embed_table_storage
from noise import paint
from PIL import Image

from morelli.data.prepared import read_left_out, read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import PrepareSummary, prepare

NAMES = ["Claude Monet", "Edgar Degas"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Six pictures of noise, of 20 to 25 pixels on the shorter side."""
    return [paint(tmp_path / "pictures" / f"{n}.png", n, (40, 20 + n)) for n in range(6)]


def write(path: Path, columns: dict[str, Any], schema: pa.Schema | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), path, **options)
    return path


def go(source: Path, **options: Any) -> tuple[PrepareSummary, pd.DataFrame]:
    out = source.parent / f"out of {source.name}"
    summary = prepare(source, out, **{"workers": 1, "size": 64, **options})
    return summary, read_paintings(out)


def hub_dataset(files: list[Path]) -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "artist": datasets.ClassLabel(names=NAMES),
            "style": datasets.ClassLabel(names=["Realism", "Impressionism"]),
            "title": datasets.Value("string"),
            "year": datasets.Value("float64"),
        }
    )
    columns = {
        "image": list(map(str, files)),
        "artist": [n % 2 for n in range(len(files))],
        "style": [1] * len(files),
        "title": [f"Work {n}" for n in range(len(files))],
        "year": [None, *(1880.0 + n for n in range(1, len(files)))],
    }
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize("shards", [1, 3])
def test_what_datasets_writes(shards: int, files: list[Path], tmp_path: Path) -> None:
    dataset = hub_dataset(files).with_format("arrow").map(embed_table_storage, batched=True).with_format(None)
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    (folder.parent / "README.md").write_text("# Paintings")
    for shard in range(shards):
        place = folder / f"train-{shard:05}-of-{shards:05}.parquet"
        dataset.shard(shards, shard, contiguous=True).to_parquet(place)

    summary, paintings = go(folder.parent)

    told = paintings[["artist", "title", "style", "date"]].fillna("").to_numpy().tolist()
    dates = ["", *(str(1880 + n) for n in range(1, 6))]
    assert told == [[NAMES[n % 2], f"Work {n}", "Impressionism", dates[n]] for n in range(6)]
    assert paintings["height"].tolist() == [20 + n for n in range(6)]
    assert paintings["id"].str.match(r"\d-").all()
    assert 'artist from "artist", title from "title"' in summary.understood[0]
    assert 'picture from "image"' in summary.understood[0]
    assert go(folder.parent)[0].already_done


def test_pictures_that_datasets_left_on_the_disk(files: list[Path], tmp_path: Path) -> None:
    hub_dataset(files).to_parquet(tmp_path / "pictures" / "table.parquet")
    assert len(go(tmp_path / "pictures" / "table.parquet")[1]) == 6

    hub_dataset(files).to_parquet(tmp_path / "table.parquet")
    moved = tmp_path / "elsewhere" / "table.parquet"
    moved.parent.mkdir()
    (tmp_path / "table.parquet").rename(moved)
    with pytest.raises(MorelliError, match=r"6 rows name a file outside the table's folder:\n  table.parquet, row 0: "):
        go(moved)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_column_of_bytes_in_row_groups(kind: pa.DataType, files: list[Path], tmp_path: Path) -> None:
    contents = [file.read_bytes() for file in files] * 7
    for n in range(6, 42):
        contents[n] = paint(tmp_path / "more" / f"{n}.png", n, (40, 20 + n)).read_bytes()
    columns = {"photo": pa.array(contents, kind), "maker": pa.array([NAMES[n % 2] for n in range(42)])}
    source = write(tmp_path / "table.parquet", columns, row_group_size=37)

    _, paintings = go(source)
    chosen = prepare(source, tmp_path / "some", workers=1, size=64, only_artists=["edgar degas"], max_per_artist=9)

    assert paintings["height"].tolist() == [20 + n for n in range(42)]
    assert (chosen.usable, chosen.artists) == (9, 1)
    assert set(read_paintings(tmp_path / "some")["sha256"]) < set(paintings["sha256"][1::2])


def test_rows_that_are_no_pictures_are_left_out_and_the_rest_goes_on(files: list[Path], tmp_path: Path) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    contents = [file.read_bytes() for file in files]
    rows = [{"bytes": content, "path": "same.png"} for content in contents]
    rows[1]["bytes"], rows[2]["bytes"], rows[3], rows[4]["bytes"] = None, b"no picture", None, contents[4][:-200]
    artists = pa.array([0, 0, 0, 0, 0, 0])
    source = write(tmp_path / "table.parquet", {"image": pa.array(rows, struct), "artist": artists})

    summary, paintings = go(source)

    assert (summary.usable, set(paintings["artist"])) == (2, {"0"})
    assert summary.left_out == {"its row holds no picture": 2, "not a picture that can be read": 1, "truncated": 1}
    assert read_left_out(tmp_path / "out of table.parquet")["file"][0] == "table.parquet/000001"


def test_a_column_of_paths(files: list[Path], tmp_path: Path) -> None:
    paths = [f"pictures/{file.name}" for file in files]
    paths[1:4] = ["../secret.png", "/etc/hosts", "gone.png"]
    paint(tmp_path.parent / "secret.png")
    columns = {"file_name": paths, "artist": pa.array(NAMES * 3).dictionary_encode()}

    summary, paintings = go(write(tmp_path / "table.parquet", columns))

    assert len(paintings) == 3
    assert summary.left_out == {"a path out of the folder": 2, "no such file": 1}


def test_a_table_in_a_folder_whose_folders_tell_no_artists(files: list[Path], tmp_path: Path) -> None:
    write(tmp_path / "pictures" / "metadata.parquet", {"file_name": [f.name for f in files], "artist": NAMES * 3})

    summary, _ = go(tmp_path / "pictures")

    assert (summary.usable, summary.artists) == (6, 2)
    assert summary.understood[0] == "Table: metadata.parquet, because the folders tell no artists."


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"artist": ["A"], "n": [1]}, "neither a column of pictures .* nor one of paths; it has artist, n. Say which"),
        ({"image": [b"x"], "name": ["A"]}, 'has no column "artist"; it has name'),
        ({"a": [b"x"], "b": [b"x"], "artist": ["A"]}, '--path-column "a" or --path-column "b"'),
        ({"image": pa.array([], pa.binary()), "artist": pa.array([], pa.string())}, "has its columns but no rows"),
        ({"image": [b"x"], "artist": [""]}, r'1 rows have an empty path or artist:\n  t.parquet, row 0: "t.parquet/0'),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=message):
        go(write(tmp_path / "t.parquet", columns))


def test_a_picture_column_can_be_named(files: list[Path], tmp_path: Path) -> None:
    contents = [file.read_bytes() for file in files]
    columns = {"a": [b"x"] * 6, "b": contents, "artist": NAMES * 3}
    assert len(go(write(tmp_path / "t.parquet", columns), path_column="B")[1]) == 6


def test_files_that_are_damaged_or_empty(files: list[Path], tmp_path: Path) -> None:
    whole = write(tmp_path / "t.parquet", {"image": [file.read_bytes() for file in files], "artist": NAMES * 3})
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(MorelliError, match=r"cut\.parquet is no whole Parquet file \(.*Get it again"):
        go(tmp_path / "cut.parquet")
    (tmp_path / "pointer.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0f3a\n")
    with pytest.raises(MorelliError, match="is no whole Parquet file"):
        go(tmp_path / "pointer.parquet")
    content = bytearray(whole.read_bytes())
    content[200:240] = b"\0" * 40
    (tmp_path / "changed.parquet").write_bytes(content)
    summary, _ = go(tmp_path / "changed.parquet")
    assert 0 < summary.usable < 6
    text = write(tmp_path / "text.parquet", {"image": [b"x"], "artist": ["Zoë"]}, compression="none")
    text.write_bytes(text.read_bytes().replace("Zoë".encode(), b"Zo\xff\xff"))
    with pytest.raises(MorelliError, match=r"text\.parquet is no whole Parquet file \(.*utf-8"):
        go(text)


def test_several_workers_read_the_same(tmp_path: Path) -> None:
    contents = []
    for n in range(40):
        encoded = io.BytesIO()
        Image.new("RGB", (30, 20 + n), (5 * n, 90, 250 - 5 * n)).save(encoded, "PNG")
        contents.append(encoded.getvalue())
    source = write(tmp_path / "t.parquet", {"image": contents, "artist": NAMES * 20}, row_group_size=15)

    _, one = go(source)
    prepare(source, tmp_path / "two", workers=2, size=64)

    pd.testing.assert_frame_equal(read_paintings(tmp_path / "two"), one)
