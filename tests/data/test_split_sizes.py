"""Splits of few artists: their numbers fit themselves, or one sentence names those that it takes."""

from collections.abc import Iterator

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.data.artists import artist_key
from morelli.data.splits import FittedSplit, Split, SplitConfig, fit_split, split_paintings
from morelli.errors import MorelliError

KINDS = ["fraction", "folds", "rotation", "seed"]


def table_of(counts: list[int], test_only: int = 0) -> pd.DataFrame:
    """Artists with so many paintings each, the first ``test_only`` of them the competition's unseen ones."""
    artists = [f"Hand {number:02}" for number, count in enumerate(counts) for _ in range(count)]
    groups = ["test_only" if int(name[5:]) < test_only else "train_and_test" for name in artists]
    ids = [f"p{row:04}" for row in range(len(artists))]
    base = {"id": ids, "artist": artists, "artist_group": groups, "in_train": True, "sha256": ids}
    return pd.DataFrame(base)


def with_pairs(split: Split, table: pd.DataFrame, side: str) -> int:
    return int((split.rows(table, side)["artist"].map(artist_key).value_counts() > 1).sum())


def check(fitted: FittedSplit, table: pd.DataFrame, asked: SplitConfig) -> None:
    """Every fold can be measured and trained on, and is what the fitted config gives on its own."""
    assert (fitted.config == asked) is (fitted.note == "")
    assert len(fitted.folds) == len(fitted.config.fold_numbers)
    for fold, split in enumerate(fitted.folds):
        assert split == split_paintings(table, fitted.config, fold)
        assert split.rows(table, "unseen")["artist"].nunique() >= 2
        assert with_pairs(split, table, "unseen") >= 1
        assert with_pairs(split, table, "train") >= 2
        assert bool(split.validation) is fitted.config.validates


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("artists", [4, 5, 6, 7, 12, 15, 30])
@pytest.mark.parametrize("paintings", [2, 5])
def test_four_to_thirty_artists_are_split(kind: str, artists: int, paintings: int) -> None:
    asked = SplitConfig.model_validate({"kind": kind, "unseen_fraction": 0.3, "validation_fraction": 0.2})
    table = table_of([paintings] * artists)
    if kind == "rotation" and artists < 6:
        with pytest.raises(
            MorelliError, match=rf"{artists} artists.*'rotation'.*takes 6 with two or more.*split.kind=fraction"
        ):
            fit_split(table, asked)
        return
    check(fit_split(table, asked), table, asked)


@settings(max_examples=10, deadline=None)
@given(
    counts=st.lists(st.sampled_from([1, 1, 2, 3, 9]), min_size=1, max_size=14),
    kind=st.sampled_from([*KINDS, "competition"]),
    fraction=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_odd_folders_are_split_or_one_sentence_says_why_not(counts: list[int], kind: str, fraction: float) -> None:
    asked = SplitConfig.model_validate({"kind": kind, "unseen_fraction": fraction, "validation_fraction": fraction})
    table = table_of(counts, test_only=len(counts) // 3)
    refusal = ""
    try:
        fitted = fit_split(table, asked)
    except MorelliError as error:
        refusal = str(error)
    if refusal:
        assert "too few" in refusal or "split." in refusal
        return
    for fold, split in enumerate(fitted.folds):
        assert split == split_paintings(table, fitted.config, fold)
        assert with_pairs(split, table, "unseen") >= 1


def test_what_can_be_had_stays_as_it_is() -> None:
    table = table_of([5] * 40)
    for kind in ("fraction", "folds", "rotation"):
        asked = SplitConfig.model_validate({"kind": kind})
        fitted = fit_split(table, asked)
        assert (fitted.config, fitted.note) == (asked, "")


def test_fewer_folds_and_validation_artists_come_first_and_are_named() -> None:
    fitted = fit_split(table_of([4] * 6), SplitConfig(kind="folds", folds=5, validation_fraction=0.2))
    assert fitted.config == SplitConfig(kind="folds", folds=3, validation_fraction=0.2)
    words = (
        "Split fitted to 6 artists: split.folds=3 instead of 5 (2 train, 2 validate, 2 are unseen in the first fold)"
    )
    assert words in fitted.note
    none = fit_split(table_of([4] * 5), SplitConfig(kind="fraction", unseen_fraction=0.3))
    assert none.config.validation_fraction == 0
    assert "split.validation_fraction=0 instead of 0.1 (3 train, none validate, 2 are unseen)" in none.note


def test_another_draw_is_tried_where_most_artists_have_one_painting() -> None:
    table = table_of([1] * 20 + [5] * 4)
    asked = SplitConfig(kind="fraction", validation_fraction=0.0, seed=next(_unlucky(table)))
    fitted = fit_split(table, asked)
    assert fitted.config == asked.model_copy(update={"seed": fitted.config.seed})
    assert f"split.seed={fitted.config.seed} instead of {asked.seed}" in fitted.note


def _unlucky(table: pd.DataFrame) -> Iterator[int]:
    """The seeds whose unseen artists have no two paintings."""
    for seed in range(50):
        try:
            split_paintings(table, SplitConfig(kind="fraction", validation_fraction=0.0, seed=seed))
        except MorelliError:
            yield seed


@pytest.mark.parametrize("counts", [[9, 9], [9, 9, 9], [1] * 9, [30, *[1] * 6]])
def test_below_what_can_be_measured_one_sentence_has_the_numbers(counts: list[int]) -> None:
    paired = sum(count > 1 for count in counts)
    with pytest.raises(MorelliError) as raised:
        fit_split(table_of(counts), SplitConfig(kind="fraction"))
    start = f"{len(counts)} artists, {paired} of them with two or more paintings, are too few for split 'fraction'"
    assert str(raised.value).startswith(f"{start}: it takes 4 with two or more each")


def test_what_is_no_matter_of_numbers_is_told_as_it_is() -> None:
    with pytest.raises(MorelliError, match="no unseen artist"):
        fit_split(table_of([5] * 20), SplitConfig(kind="competition"))


def test_untrained_networks_need_no_pair_to_train_on() -> None:
    table = table_of([1, 1, 1, 1, 5, 5])
    fitted = fit_split(table, SplitConfig(kind="fraction"), trains=False)
    assert with_pairs(fitted.folds[0], table, "unseen") >= 1


def test_a_refused_split_names_the_side_and_what_to_set() -> None:
    table = table_of([4] * 5)
    with pytest.raises(
        MorelliError, match=r"side 'train' has 1 artists.*set split\.unseen_fraction, split\.validation"
    ):
        split_paintings(table, SplitConfig(kind="fraction"))
    split_paintings(table, SplitConfig(kind="fraction", validation_fraction=0))
