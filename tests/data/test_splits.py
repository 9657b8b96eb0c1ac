"""Artist-disjoint splits: no hand on two sides, whatever the table looks like."""

import json
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.data.artists import artist_key
from morelli.data.known_artists import known_to
from morelli.data.prepared import read_paintings
from morelli.data.splits import SIDES, Split, SplitConfig, check_disjoint, split_paintings
from morelli.errors import MorelliError

METADATA = Path(__file__).parents[2].parent / "shared" / "painter-by-numbers-metadata.zip"
Kind = Literal["competition", "seed", "fraction", "folds", "rotation"]
SMALL_SEED = SplitConfig(kind="seed", train_artists=4, validation_artists=2, unseen_artists=2, per_artist=4)


def make_table(artists: list[str], **columns: Any) -> pd.DataFrame:
    """One row a painting, with the columns that splits look at."""
    ids = [f"p{row:04}" for row in range(len(artists))]
    base = {"id": ids, "artist": artists, "artist_group": None, "in_train": None, "sha256": [f"file-{i}" for i in ids]}
    return pd.DataFrame({**base, **columns})


def make_artists(count: int, paintings: int) -> list[str]:
    return [f"Artist {number:02}" for number in range(count) for _ in range(paintings)]


def keys_on(split: Split, table: pd.DataFrame) -> dict[str, set[str]]:
    """The folded names on each side, found without any method of the split."""
    key_of = dict(zip(table["id"], table["artist"].map(artist_key), strict=True))
    return {side: {key_of[painting] for painting in getattr(split, side)} for side in SIDES}


SPELLINGS = ["Édouard Manet", "Edouard Manet", "EDOUARD  MANET", *(f"Hand {number}" for number in range(12))]


@settings(max_examples=40, deadline=None)
@given(
    paintings=st.integers(20, 120),
    files=st.integers(1, 200),
    kind=st.sampled_from(["competition", "seed", "fraction", "folds", "rotation"]),
    seed=st.integers(0, 2**20),
)
def test_no_artist_and_no_file_is_on_two_sides(paintings: int, files: int, kind: Kind, seed: int) -> None:
    random = np.random.default_rng(seed)
    artists = random.choice(SPELLINGS, paintings)
    is_unseen = np.isin(artists, SPELLINGS[-4:]) ^ (random.random(paintings) < 0.02)  # some names have two groups
    table = make_table(
        list(artists),
        artist_group=np.where(is_unseen, "test_only", "train_and_test"),
        in_train=random.random(paintings) < 0.7,
        sha256=[f"file-{file}" for file in random.integers(files, size=paintings)],
    )
    config = SMALL_SEED.model_copy(update={"seed": seed}) if kind == "seed" else SplitConfig(kind=kind, seed=seed)
    refusal = ""
    try:
        split = split_paintings(table, config)
    except MorelliError as error:  # too small a table is refused for what it lacks, never for an overlap
        refusal = str(error)
    if refusal:
        assert "both in" not in refusal
        assert "not in training" not in refusal
        return

    keys = keys_on(split, table)
    for left, right in [("train", "validation"), ("train", "unseen"), ("validation", "unseen"), ("seen", "unseen")]:
        assert not keys[left] & keys[right]
    assert keys["seen"] <= keys["train"]
    file_of = dict(zip(table["id"], table["sha256"], strict=True))
    sides_of_file: dict[str, set[str]] = {}
    for side in SIDES:
        for painting in getattr(split, side):
            sides_of_file.setdefault(file_of[painting], set()).add(side)
    assert all(len(sides) == 1 for sides in sides_of_file.values())
    chosen = [painting for side in SIDES for painting in getattr(split, side)]
    assert len(chosen) == len(set(chosen))


@pytest.mark.parametrize("kind", ["competition", "seed", "fraction", "folds", "rotation"])
def test_a_split_depends_on_its_seed_and_not_on_the_order_of_rows(kind: Kind) -> None:
    groups = ["test_only" if number < 4 else "train_and_test" for number in range(20) for _ in range(9)]
    table = make_table(make_artists(20, 9), artist_group=groups, in_train=[row % 3 > 0 for row in range(180)])
    config = SMALL_SEED if kind == "seed" else SplitConfig(kind=kind)

    split = split_paintings(table, config)
    shuffled = split_paintings(table.sample(frac=1, random_state=5).reset_index(drop=True), config)
    reseeded = split_paintings(table, config.model_copy(update={"seed": 1}))

    assert split == split_paintings(table, config)
    assert {side: set(getattr(split, side)) for side in SIDES} == {side: set(getattr(shuffled, side)) for side in SIDES}
    assert split.train != reseeded.train


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_artist_is_unseen_in_exactly_one_fold(folds: int) -> None:
    table = make_table(make_artists(17, 5))
    config = SplitConfig(kind="folds", folds=folds)

    unseen = [keys_on(split_paintings(table, config, fold), table)["unseen"] for fold in range(folds)]

    assert sum(len(keys) for keys in unseen) == 17
    assert set.union(*unseen) == set(table["artist"].map(artist_key))
    assert max(map(len, unseen)) - min(map(len, unseen)) <= 1


@pytest.mark.parametrize("groups", [True, False])
def test_a_rotation_keeps_the_unseen_artists_and_lets_each_other_validate_once(groups: bool) -> None:
    table = make_table(make_artists(17, 5), in_train=True)
    if groups:
        table["artist_group"] = ["test_only" if row % 85 < 20 else "train_and_test" for row in range(85)]
    config = SplitConfig(kind="rotation", folds=4, unseen_fraction=0.25)
    splits = [split_paintings(table, config, fold) for fold in range(4)]
    fixed = split_paintings(table, config.model_copy(update={"kind": "competition" if groups else "fraction"}))
    assert {split.unseen for split in splits} == {fixed.unseen}
    validation = [keys_on(split, table)["validation"] for split in splits]
    others = set(table["artist"].map(artist_key)) - keys_on(fixed, table)["unseen"]
    assert sum(map(len, validation)) == len(others)
    assert set.union(*validation) == others
    with pytest.raises(MorelliError, match=r"Fold 4 is not one of the split's 4 folds"):
        split_paintings(table, config, 4)
    with pytest.raises(MorelliError, match=r"Set split.folds to 6 or less"):
        split_paintings(table, config.model_copy(update={"folds": 9}))


@pytest.mark.parametrize("kind", ["fraction", "folds"])
def test_every_painting_has_its_side(kind: Kind) -> None:
    table = make_table(make_artists(20, 10))
    split = split_paintings(table, SplitConfig(kind=kind, unseen_fraction=0.25, folds=4, validation_fraction=0.2))

    keys = keys_on(split, table)
    assert {side: len(keys[side]) for side in SIDES} == {"train": 12, "validation": 3, "seen": 12, "unseen": 5}
    assert {side: len(getattr(split, side)) for side in SIDES} == {
        "train": 96,
        "validation": 30,
        "seen": 24,
        "unseen": 50,
    }
    assert sorted([*split.train, *split.validation, *split.seen, *split.unseen]) == sorted(table["id"])


def test_artists_with_few_paintings_keep_them_all_for_training() -> None:
    table = make_table([*make_artists(10, 3), *(f"Other {number}" for number in range(10) for _ in range(4))])
    split = split_paintings(table, SplitConfig(kind="fraction"))

    counts = split.rows(table, "seen")["artist"].value_counts()
    assert set(counts) == {2}
    assert all(artist.startswith("Other") for artist in counts.index)


def test_seed_split_ranks_artists_by_their_paintings() -> None:
    artists = [f"Artist {number:02}" for number in range(10) for _ in range(20 - number)]
    table = make_table(artists)

    split = split_paintings(table, SMALL_SEED)

    keys = keys_on(split, table)
    assert keys["train"] == keys["seen"] == {f"artist {number:02}" for number in range(4)}
    assert keys["validation"] == {"artist 04", "artist 05"}
    assert keys["unseen"] == {"artist 06", "artist 07"}
    for side, most in (("train", 4), ("validation", 4), ("seen", 2), ("unseen", 4)):
        assert set(split.rows(table, side)["artist"].value_counts()) == {most}


def test_competition_split_is_the_competitions_own() -> None:
    # "Twofold" stands under two groups, as four names of the real table do.
    table = make_table(
        [*make_artists(12, 4), "Twofold", "Twofold", "TWOFOLD", "Seldom"],
        artist_group=[
            *["train_and_test"] * 40,
            *["test_only"] * 8,
            "test_only",
            "test_only",
            "train_only",
            "train_only",
        ],
        in_train=[*[True, True, True, False] * 10, *[False] * 8, False, False, True, True],
    )

    split = split_paintings(table, SplitConfig(kind="competition", validation_fraction=0.2))

    keys = keys_on(split, table)
    assert keys["unseen"] == {"artist 10", "artist 11", "twofold"}
    assert len(split.unseen) == 10
    assert "p0050" not in {*split.train, *split.validation, *split.seen}
    assert all(split.rows(table, "train")["in_train"])
    assert not any(split.rows(table, "seen")["in_train"])
    assert len(keys["validation"]) == 2
    assert len(split.validation) == 8  # all paintings of a validation artist


def test_a_file_of_two_artists_stays_where_it_is_tested() -> None:
    table = make_table(make_artists(12, 6))
    plain = split_paintings(table, SplitConfig(kind="fraction"))
    trained, unseen, spare = plain.train[0], plain.unseen[0], plain.train[-1]
    same = table["sha256"].where(~table["id"].isin([trained, unseen]), "twin")

    split = split_paintings(table.assign(sha256=same), SplitConfig(kind="fraction"))

    assert unseen in split.unseen
    assert trained not in {*split.train, *split.validation, *split.seen, *split.unseen}
    assert spare in split.train


def test_an_artist_whose_training_paintings_are_all_twins_is_not_called_seen() -> None:
    table = make_table(make_artists(12, 4))
    plain = split_paintings(table, SplitConfig(kind="fraction"))
    artist = plain.rows(table, "train")["artist"].iloc[0]
    files = table["sha256"].where(table["artist"] != artist, "one file")

    split = split_paintings(table.assign(sha256=files), SplitConfig(kind="fraction"))

    assert not keys_on(split, table)["seen"] & {artist_key(artist)}


def test_a_missing_digest_is_no_duplicate() -> None:
    table = make_table(make_artists(12, 5))
    split = split_paintings(table.assign(sha256=None), SplitConfig(kind="fraction"))

    assert split == split_paintings(table, SplitConfig(kind="fraction"))


def test_a_prepared_folder_is_split(prepared: Path) -> None:
    table = read_paintings(prepared)
    split = split_paintings(table, SplitConfig(kind="folds", folds=3))

    assert len(keys_on(split, table)["unseen"]) == 4


def test_a_split_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    table = make_table([name.replace("Artist", "Ärtist") for name in make_artists(12, 5)])
    split = split_paintings(table, SplitConfig(kind="fraction"))
    split.save(tmp_path / "split.json", table)

    assert Split.load(tmp_path / "split.json") == split
    content = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    assert {side: {artist_key(name) for name in content["artists"][side]} for side in SIDES} == keys_on(split, table)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "not a split that morelli wrote"),
        ('{"format": 1', "not a split that morelli wrote"),
        ("[]", "not a split that morelli wrote"),
        ('{"format": 1, "paintings": {"train": []}}', "not a split that morelli wrote"),
        ('{"format": 99, "paintings": {}}', "split format 99, not 1"),
    ],
)
def test_a_damaged_split_file_is_refused(tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    with pytest.raises(MorelliError, match=expected):
        Split.load(path)


def test_an_overlap_is_an_error_also_between_spellings() -> None:
    table = make_table(["Degas", "Degas", "B", "B", "DÉGAS", "degas", "C", "C", "D", "D"])
    overlap = Split(train=("p0000", "p0001", "p0002"), validation=("p0006", "p0007", "p0008"), seen=(), unseen=())

    with pytest.raises(MorelliError, match="both in train and in unseen: degas"):
        check_disjoint(Split(overlap.train, overlap.validation, (), ("p0004", "p0005", "p0009")), table)
    with pytest.raises(MorelliError, match="both in train and in validation: degas"):
        check_disjoint(Split(overlap.train, ("p0004", "p0005", "p0006"), (), ("p0008", "p0009")), table)
    with pytest.raises(MorelliError, match=r"not in training: d\."):
        check_disjoint(Split(overlap.train, overlap.validation[:2], ("p0008",), ()), table)
    with pytest.raises(MorelliError, match=r"both in train and in seen: p0001\."):
        check_disjoint(Split(overlap.train, overlap.validation, ("p0001",), ()), table)


@pytest.mark.parametrize(
    ("artists", "config", "fold", "expected"),
    [
        (make_artists(9, 4), SplitConfig(kind="competition"), 0, "no unseen artist.*split.kind=fraction"),
        (make_artists(9, 1), SplitConfig(kind="fraction"), 0, "of whom 0 have two"),
        (make_artists(3, 9), SplitConfig(kind="fraction"), 0, "side 'train' has 0 artists|'validation' has"),
        (make_artists(9, 4), SplitConfig(kind="folds", folds=5), 0, "Set split.folds to 4 or less"),
        (make_artists(3, 4), SplitConfig(kind="folds", folds=2), 0, "3 artists.*fewer than two artists in a fold"),
        (make_artists(9, 4), SplitConfig(kind="folds", folds=3), 3, r"Fold 3 is not one of.*3 folds \(0 to 2\)"),
        (make_artists(9, 4), SplitConfig(kind="folds", folds=3), -1, "Fold -1 is not one"),
        (make_artists(7, 9), SMALL_SEED, 0, r"4 \+ 2 \+ 2 = 8 artists; the folder has 7.*split.train_artists"),
    ],
)
def test_what_cannot_be_split_is_refused(artists: list[str], config: SplitConfig, fold: int, expected: str) -> None:
    with pytest.raises(MorelliError, match=expected):
        split_paintings(make_table(artists), config, fold)


def test_the_number_of_folds_that_a_refusal_names_works() -> None:
    table = make_table(make_artists(9, 4))

    split_paintings(table, SplitConfig(kind="folds", folds=4), 3)


@pytest.fixture(scope="module")
def competition() -> pd.DataFrame:
    if not METADATA.is_file():
        pytest.skip("the competition's table is not here")
    with ZipFile(METADATA) as archive, archive.open("all_data_info.csv") as file:
        table = pd.read_csv(file, low_memory=False, usecols=["artist", "artist_group", "in_train", "new_filename"])
    table["id"] = table["new_filename"].str.removesuffix(".jpg")
    return table.assign(sha256=table["id"])


def test_the_real_competition_has_115_unseen_artists(competition: pd.DataFrame) -> None:
    split = split_paintings(competition, SplitConfig(kind="competition"))

    keys = keys_on(split, competition)
    unseen = split.rows(competition, "unseen")
    assert len(unseen) == 2936
    assert unseen["artist"].nunique() == len(keys["unseen"]) == 115
    assert not keys["unseen"] & (keys["train"] | keys["validation"] | keys["seen"])
    assert split.rows(competition, "train")["in_train"].all()
    assert not split.rows(competition, "seen")["in_train"].any()


def test_the_real_competition_has_the_seed_projects_800_100_100_artists(competition: pd.DataFrame) -> None:
    split = split_paintings(competition, SplitConfig(kind="seed"))

    keys = keys_on(split, competition)
    assert {side: len(keys[side]) for side in ("train", "validation", "unseen")} == {
        "train": 800,
        "validation": 100,
        "unseen": 100,
    }
    key_of = competition.set_index("id")["artist"].map(artist_key)
    counts = key_of.value_counts()
    assert counts[list(keys["train"])].min() >= counts[list(keys["validation"])].max()
    assert counts[list(keys["validation"])].min() >= counts[list(keys["unseen"])].max()
    for side in ("train", "validation", "unseen"):
        assert key_of[list(getattr(split, side))].value_counts().max() == 20


@pytest.mark.parametrize("artists", [4, 5, 12, 40])
@pytest.mark.parametrize("groups", [True, False])
def test_the_default_split_fits_any_table(artists: int, groups: bool) -> None:
    names = make_artists(artists, 5)
    group = ["test_only" if name in ("Artist 00", "Artist 01") else "train_and_test" for name in names]
    table = make_table(names, **({"artist_group": group, "in_train": True} if groups else {}))

    split = split_paintings(table, SplitConfig())

    keys = keys_on(split, table)
    assert keys["train"]
    assert len(keys["unseen"]) >= 2
    assert not keys["train"] & keys["unseen"]
    if groups and artists > 5:
        assert keys["unseen"] == {"artist 00", "artist 01"}


def test_what_the_default_split_changes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    split_paintings(make_table(make_artists(12, 5)), SplitConfig())
    assert not caplog.messages
    split_paintings(make_table(make_artists(4, 5)), SplitConfig())
    assert len(caplog.messages) == 1
    assert "fitted to 4 artists" in caplog.messages[0]


@pytest.mark.parametrize("kind", ["auto", "fraction", "folds", "rotation", "seed"])
@pytest.mark.parametrize("categories", [False, True])
def test_a_table_of_numbers_from_elsewhere_is_split(kind: Any, categories: bool, tmp_path: Path) -> None:
    rows = [(painting, artist - 1) for painting, artist in enumerate(np.repeat(range(12), 6))]
    table = pd.DataFrame(rows, columns=["id", "artist"], index=np.arange(len(rows))[::-1])
    table = table.astype({"artist": "category"}) if categories else table
    sizes = {"train_artists": 4, "validation_artists": 2, "unseen_artists": 2, "per_artist": 4}

    split = split_paintings(table, SplitConfig(kind=kind, folds=3, **sizes))

    sides = {side: set(split.rows(table, side)["artist"]) for side in SIDES}
    assert sides["seen"] <= sides["train"]
    assert len(sides["unseen"]) >= 2
    assert not sides["train"] & sides["unseen"]
    assert not sides["train"] & sides["validation"]
    split.save(tmp_path / "split.json", table)
    assert Split.load(tmp_path / "split.json") == split


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda table: table.rename(columns={"artist": "label"}), "no column artist; it has: id, label"),
        (lambda table: table[["artist"]], "no column id"),
        (lambda table: table.assign(id="p"), "the id 'p' twice"),
        (lambda table: table.assign(artist=None), "'p0000' has no artist"),
    ],
)
def test_a_table_that_cannot_be_split_is_refused(change: Any, expected: str) -> None:
    with pytest.raises(MorelliError, match=expected):
        split_paintings(change(make_table(make_artists(12, 5))[["id", "artist"]]), SplitConfig())


@pytest.mark.parametrize("kind", ["competition", "fraction", "folds", "rotation"])
def test_artists_known_to_tuned_weights_do_not_validate(kind: Kind) -> None:
    known = known_to("painters")[:40]
    artists = [*known, *(f"Artist {number:02}" for number in range(20))]
    names = [name for name in artists for _ in range(4)]
    groups = ["test_only" if name.startswith("Artist 0") else "train_only" for name in names]
    table = make_table(names, artist_group=groups, in_train=True)

    def validating(unknown_to: Literal["painters"] | None) -> set[str]:
        config = SplitConfig(kind=kind, unknown_to=unknown_to, validation_fraction=0.1, folds=2)
        return keys_on(split_paintings(table, config), table)["validation"]

    keys = {artist_key(name) for name in known}
    assert validating(None) & keys
    assert validating("painters")
    assert not validating("painters") & keys
