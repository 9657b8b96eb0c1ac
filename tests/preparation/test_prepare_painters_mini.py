"""Preparing the real paintings in the competition's own layout."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from morelli.data.prepared import read_paintings
from morelli.preparation.prepare import prepare

SHARED = Path(__file__).parents[3] / "shared"
MINI = SHARED / "painters-mini"

pytestmark = pytest.mark.skipif(not MINI.is_dir(), reason="the real paintings are not on this machine")


def test_counts_of_the_real_paintings(tmp_path: Path) -> None:
    summary = prepare(MINI, tmp_path / "prepared")

    assert (summary.usable, summary.artists, summary.repaired) == (8167, 360, 4)
    assert summary.left_out == {}
    assert not summary.already_done
    paintings = read_paintings(tmp_path / "prepared")
    assert set(paintings["id"][paintings["status"] == "repaired"]) == {"3917", "41945", "79499", "20153"}
    groups = paintings.groupby("artist_group")["artist"].nunique().to_dict()
    assert groups == {"test_only": 60, "train_only": 100, "train_and_test": 200}
    assert prepare(MINI, tmp_path / "prepared").already_done


def test_archives_and_their_unpacked_folder_give_the_same(tmp_path: Path) -> None:
    artists = ["Claude Lorrain", "A.Y. Jackson", "Wassily Kandinsky"]
    chosen = {"only_artists": artists, "max_per_artist": 12}
    table = pd.read_csv(MINI / "all_data_info.csv.zip")
    table = table[table["artist"].str.strip().isin(artists)]
    files = set(table["new_filename"])
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    for name in ("all_data_info.csv.zip", "train.zip", "test.zip"):
        with zipfile.ZipFile(MINI / name) as archive:
            wanted = [entry for entry in archive.namelist() if entry.endswith("csv") or Path(entry).name in files]
            archive.extractall(unpacked, wanted)
    prepare(MINI, tmp_path / "a", **chosen)
    prepare(unpacked, tmp_path / "b", **chosen)

    assert len(read_paintings(tmp_path / "a")) == table["artist"].value_counts().clip(upper=12).sum() > 30
    assert (tmp_path / "a" / "paintings.parquet").read_bytes() == (tmp_path / "b" / "paintings.parquet").read_bytes()
    for file in read_paintings(tmp_path / "a")["file"]:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        with Image.open(tmp_path / "a" / file) as picture:
            assert picture.mode == "RGB"
