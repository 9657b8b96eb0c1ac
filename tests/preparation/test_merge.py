"""Prepared folders are joined: names fold, groups and sources are kept, ids stay unique, nothing is doubled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from morelli import MorelliError, PaintersByNumbers, SplitConfig, merge, prepare, read_paintings, split_paintings
from morelli.data.prepared import write_paintings


def folder_of(where: Path, works: dict[str, list[int]]) -> Path:
    """A prepared folder of noise, by numbers: the same number gives the same file."""
    for artist, numbers in works.items():
        (where / "in" / artist).mkdir(parents=True)
        for number in numbers:
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((40, 40)).save(where / "in" / artist / f"{number}.png")
    prepare(where / "in", where / "out", workers=1, layout="{artist}/**")
    return where / "out"


def test_two_collections_become_one(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", {"Édgar Dégas": [1, 2], "Ada Onn": [3, 4]})
    second = folder_of(tmp_path / "second", {"edgar degas": [1, 5, 6], "Bea Third": [7, 8, 9]})
    summary = merge([first, second], tmp_path / "both")

    joined = read_paintings(tmp_path / "both")
    assert summary.paintings == len(joined) == 4 + 6 - 1  # the first is the same file
    assert (summary.same_files, summary.shared_artists) == (1, ("Édgar Dégas",))
    assert sorted(joined["artist"].unique()) == ["Ada Onn", "Bea Third", "Édgar Dégas"]
    assert joined["id"].is_unique
    assert joined["source"].value_counts().to_dict() == {
        "first/out": 4,
        "second/out": 5,
    }  # both folders are called "out"
    dataset = PaintersByNumbers(tmp_path / "both")
    assert len([dataset[place] for place in range(len(dataset))]) == 9


def test_a_source_is_the_name_of_its_folder_where_the_table_has_none(tmp_path: Path, prepared: Path) -> None:
    other = folder_of(tmp_path / "mine", {"Ada Onn": [1, 2], "Bea Third": [3, 4]}).rename(tmp_path / "museum")
    summary = merge([prepared, other], tmp_path / "both")
    assert summary.sources["museum"] == 4
    assert sum(summary.sources.values()) == summary.paintings


def test_artists_outside_the_competition_are_for_training(tmp_path: Path, prepared: Path) -> None:
    table = read_paintings(prepared)
    names = sorted(table["artist"].unique())
    grouped = table.assign(
        artist_group=table["artist"].map(lambda name: "test_only" if name in names[:3] else "train_only"),
        in_train=~table["artist"].isin(names[:3]),
    )
    competition = tmp_path / "competition"
    competition.mkdir()
    (competition / "images").symlink_to(prepared / "images")
    write_paintings(competition, grouped)
    works = {name: [8 * place + one for one in range(8)] for place, name in enumerate(("New One", "New Two"))}
    other = folder_of(tmp_path / "more", {**works, names[0].upper(): list(range(100, 108))})
    merge([competition, other], tmp_path / "both")

    joined = read_paintings(tmp_path / "both")
    split = split_paintings(joined, SplitConfig(kind="competition"))
    artists = {side: set(split.rows(joined, side)["artist"]) for side in ("train", "validation", "unseen")}
    assert artists["unseen"] == set(names[:3])
    assert {"New One", "New Two"} <= artists["train"] | artists["validation"]
    assert names[0] not in artists["train"] | artists["validation"]  # its further paintings are never trained on


def test_a_finished_merge_is_left_alone_and_another_is_refused(tmp_path: Path, prepared: Path) -> None:
    other = folder_of(tmp_path / "mine", {"Ada Onn": [1, 2], "Bea Third": [3, 4]})
    first = merge([prepared, other], tmp_path / "both")
    written = (tmp_path / "both" / "paintings.parquet").stat().st_mtime_ns
    assert merge([prepared, other], tmp_path / "both") == first
    assert (tmp_path / "both" / "paintings.parquet").stat().st_mtime_ns == written
    with pytest.raises(MorelliError, match="other options"):
        merge([other, prepared], tmp_path / "both")
    with pytest.raises(MorelliError, match="two different prepared folders"):
        merge([prepared, prepared], tmp_path / "one")


def test_the_same_id_in_two_folders(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", {"Ada Onn": [1, 2], "Bea Third": [3, 4]})
    second = folder_of(tmp_path / "second", {"Ada Onn": [5, 6], "Bea Third": [7, 8]})
    merge([first, second], tmp_path / "both")
    joined: pd.DataFrame = read_paintings(tmp_path / "both")
    assert len(joined) == 8
    assert joined["id"].is_unique
    assert all((tmp_path / "both" / file).is_file() for file in joined["file"])
