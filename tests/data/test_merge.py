"""Prepared folders are joined: names fold, groups and sources are kept, ids stay unique, nothing is doubled."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from morelli import MorelliError, PaintersByNumbers, SplitConfig, merge, prepare, read_paintings, split_paintings
from morelli.data.prepared import write_paintings

COLOURS = ("red", "green", "blue", "orange", "purple", "brown", "black", "navy")


def folder_of(where: Path, works: dict[str, list[str]]) -> Path:
    """A prepared folder of one-colour paintings; the same colours and size give the same file."""
    for artist, colours in works.items():
        (where / "in" / artist).mkdir(parents=True)
        for place, colour in enumerate(colours):
            Image.effect_noise((40, 40), 64).convert("RGB").save(where / "in" / artist / f"{place}.png")
            Image.new("RGB", (40, 40), colour).save(where / "in" / artist / f"{colour}.png")
    prepare(where / "in", where / "out", workers=1)
    return where / "out"


def test_two_collections_become_one(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", {"Édgar Dégas": ["red"], "Other": ["green"]})
    second = folder_of(tmp_path / "second", {"edgar degas": ["red", "blue"], "Third": ["orange"]})
    summary = merge([first, second], tmp_path / "both")

    joined = read_paintings(tmp_path / "both")
    assert summary.paintings == len(joined) == 4 + 6 - 1  # the red picture is the same file
    assert (summary.same_files, summary.shared_artists) == (1, ("Édgar Dégas",))
    assert sorted(joined["artist"].unique()) == ["Other", "Third", "Édgar Dégas"]
    assert joined["id"].is_unique
    assert joined["source"].value_counts().to_dict() == {"out": 9}
    dataset = PaintersByNumbers(tmp_path / "both")
    assert len([dataset[place] for place in range(len(dataset))]) == 9


def test_a_source_is_the_name_of_its_folder_where_the_table_has_none(tmp_path: Path, prepared: Path) -> None:
    other = folder_of(tmp_path / "mine", {"A": ["red"], "B": ["green"]}).rename(tmp_path / "museum")
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
    other = folder_of(tmp_path / "more", {name: list(COLOURS) for name in ("New One", "New Two", names[0].upper())})
    merge([competition, other], tmp_path / "both")

    joined = read_paintings(tmp_path / "both")
    split = split_paintings(joined, SplitConfig(kind="competition"))
    artists = {side: set(split.rows(joined, side)["artist"]) for side in ("train", "validation", "unseen")}
    assert artists["unseen"] == set(names[:3])
    assert {"New One", "New Two"} <= artists["train"] | artists["validation"]
    assert names[0] not in artists["train"] | artists["validation"]  # its further paintings are never trained on


def test_a_finished_merge_is_left_alone_and_another_is_refused(tmp_path: Path, prepared: Path) -> None:
    other = folder_of(tmp_path / "mine", {"A": ["red"], "B": ["green"]})
    first = merge([prepared, other], tmp_path / "both")
    written = (tmp_path / "both" / "paintings.parquet").stat().st_mtime_ns
    assert merge([prepared, other], tmp_path / "both") == first
    assert (tmp_path / "both" / "paintings.parquet").stat().st_mtime_ns == written
    with pytest.raises(MorelliError, match="other options"):
        merge([other, prepared], tmp_path / "both")
    with pytest.raises(MorelliError, match="two different prepared folders"):
        merge([prepared, prepared], tmp_path / "one")


def test_the_same_id_in_two_folders(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", {"A": ["red"], "B": ["green"]})
    second = folder_of(tmp_path / "second", {"A": ["blue"], "B": ["navy"]})
    merge([first, second], tmp_path / "both")
    joined: pd.DataFrame = read_paintings(tmp_path / "both")
    assert len(joined) == 8
    assert joined["id"].is_unique
    assert all((tmp_path / "both" / file).is_file() for file in joined["file"])
