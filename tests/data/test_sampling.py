"""Batches: exact length, exact m, never a painting twice, and every draw decided by seed and epoch."""

import re
from collections import Counter
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from morelli.data.sampling import ArtistBalancedSampler, RandomTupleSampler
from morelli.errors import MorelliError

counts_of_artists = st.lists(st.integers(1, 9), min_size=2, max_size=12)


def labels_of(counts: list[int]) -> list[int]:
    """Labels with gaps between the numbers, shuffled."""
    labels = np.repeat(3 + 7 * np.arange(len(counts)), counts)
    return [int(label) for label in np.random.default_rng(0).permutation(labels)]


@settings(max_examples=60, deadline=None)
@given(counts=counts_of_artists, m=st.integers(2, 4), artists=st.integers(2, 5), seed=st.integers(0, 99))
def test_batches_hold_m_different_paintings_of_each_artist(counts: list[int], m: int, artists: int, seed: int) -> None:
    assume(sum(count >= m for count in counts) >= artists)
    labels = labels_of(counts)
    sampler = ArtistBalancedSampler(labels, m=m, batch_size=m * artists, batches=3, seed=seed)

    drawn = list(sampler)

    assert len(drawn) == len(sampler) == 3 * m * artists
    for start in range(0, len(drawn), m * artists):
        batch = drawn[start : start + m * artists]
        assert len(set(batch)) == len(batch)
        assert set(Counter(labels[row] for row in batch).values()) == {m}


def test_an_epoch_is_as_long_as_the_usable_paintings() -> None:
    labels = labels_of([6] * 5 + [1] * 8)

    assert len(ArtistBalancedSampler(labels, m=2, batch_size=8)) == 24  # 30 usable paintings
    assert len(ArtistBalancedSampler(labels, m=2, batch_size=8, batches=10)) == 80
    assert len(ArtistBalancedSampler([0, 0, 0, 1, 1, 1], m=3, batch_size=6)) == 6


def test_artists_with_too_few_paintings_are_left_out() -> None:
    labels = [5, 5, 5, 8, 8, 8, 9, 9, 2]
    sampler = ArtistBalancedSampler(labels, m=3, batch_size=6, batches=20)

    assert sampler.left_out_artists == [2, 9]
    assert {labels[row] for row in sampler} == {5, 8}


def test_the_draw_depends_on_seed_and_epoch_alone() -> None:
    labels = labels_of([6] * 8)
    first = ArtistBalancedSampler(labels, m=2, batch_size=8, seed=3)
    second = ArtistBalancedSampler(labels, m=2, batch_size=8, seed=3)
    other = ArtistBalancedSampler(labels, m=2, batch_size=8, seed=4)

    epoch_0 = list(first)
    first.set_epoch(1)
    epoch_1 = list(first)
    second.set_epoch(1)

    assert epoch_1 != epoch_0 != list(other)
    assert list(second) == epoch_1  # though it never drew epoch 0
    second.set_epoch(0)
    assert list(second) == epoch_0


def test_batches_are_filled_group_by_group() -> None:
    labels = [label for label in range(12) for _ in range(5)]
    groups = [0] * 6 + [1] * 3 + [2] * 3
    sampler = ArtistBalancedSampler(labels, m=2, batch_size=6, batches=200, groups=groups, seed=1)

    drawn = np.array(list(sampler)).reshape(200, 6)

    artists = np.array(labels)[drawn]
    assert all(len(set(np.array(groups)[batch])) == 1 for batch in artists)  # every group fills a batch of 3 artists
    assert all(sorted(Counter(batch).values()) == [2, 2, 2] for batch in artists.tolist())
    assert all(len(set(batch)) == 6 for batch in drawn.tolist())
    first = Counter(np.array(groups)[artists[:, 0]].tolist())
    assert chisquare([first[0], first[1], first[2]], [100, 50, 50]).pvalue > 0.01  # drawn as often as it has artists
    assert list(ArtistBalancedSampler(labels, m=2, batch_size=6, batches=200, groups=groups, seed=1)) == list(sampler)


def test_a_group_too_small_for_a_batch_is_filled_up_with_the_next() -> None:
    sampler = ArtistBalancedSampler([0, 0, 1, 1, 2, 2], m=2, batch_size=6, batches=9, groups=[0, 1, 1])

    assert all(sorted(batch) == list(range(6)) for batch in np.array(list(sampler)).reshape(9, 6).tolist())


def test_every_artist_has_its_turn() -> None:
    labels = labels_of([4] * 9)
    sampler = ArtistBalancedSampler(labels, m=2, batch_size=4, batches=40)

    assert {labels[row] for row in sampler} == set(labels)


@pytest.mark.parametrize("kind", ["balanced", "triplets", "pairs"])
def test_global_random_state_is_left_alone(kind: str) -> None:
    labels = labels_of([4] * 5)
    sampler = (
        ArtistBalancedSampler(labels, m=2, batch_size=4)
        if kind == "balanced"
        else RandomTupleSampler(labels, kind="pairs" if kind == "pairs" else "triplets")
    )

    np.random.seed(1)
    first = list(sampler)
    after = np.random.random()
    np.random.seed(2)

    assert list(sampler) == first  # the global state decides nothing
    np.random.seed(1)
    assert np.random.random() == after  # and is not drawn from


@settings(max_examples=80, deadline=None)
@given(counts=counts_of_artists, m=st.integers(-1, 9), batch_size=st.integers(-2, 90))
def test_numbers_that_a_refusal_names_would_work(counts: list[int], m: int, batch_size: int) -> None:
    labels = labels_of(counts)
    for _ in range(4):  # each refusal names what to change; following them comes to an end
        try:
            sampler = ArtistBalancedSampler(labels, m=m, batch_size=batch_size)
        except MorelliError as error:
            message = str(error)
            if "No m fits" in message:
                assert sum(count >= 2 for count in counts) < 2
                return
            m, batch_size = suggested(message, m, batch_size)
        else:
            assert len(list(sampler)) == len(sampler)
            return
    raise AssertionError("the suggestions lead nowhere")


def suggested(message: str, m: int, batch_size: int) -> tuple[int, int]:
    if both := re.search(r"m=(\d+) with a batch size of (\d+)", message.rpartition(". ")[2] or message):
        return int(both[1]), int(both[2])
    if size := re.search(r"A batch size of (\d+) would", message):
        return m, int(size[1])
    assert re.search(r"at least 2 paintings", message)
    return 2, batch_size


@pytest.mark.parametrize(
    ("m", "batch_size", "expected"),
    [
        (1, 8, "m is 1: .*at least 2 paintings"),
        (4, 10, "Batch size 10 .*m=4.*A batch size of 8 would"),
        (4, 4, "Batch size 4 .*two or more.*A batch size of 8 would"),
        (3, 30, r"needs 10 artists with 3 or more paintings; there are 4 of 6.*m=3 with a batch size of 12 or less"),
        (5, 10, r"needs 2 artists with 5 or more paintings; there are 0 of 6.*m=4 with a batch size of 16 or less"),
    ],
)
def test_what_does_not_fit_is_refused(m: int, batch_size: int, expected: str) -> None:
    with pytest.raises(MorelliError, match=expected):
        ArtistBalancedSampler(labels_of([4, 4, 4, 4, 2, 1]), m=m, batch_size=batch_size)


def test_artists_without_pairs_are_refused() -> None:
    with pytest.raises(MorelliError, match="fewer than two artists have two paintings"):
        ArtistBalancedSampler([0, 0, 1, 2, 3], m=2, batch_size=4)
    with pytest.raises(MorelliError, match="at least two artists with two or more paintings"):
        RandomTupleSampler([0, 0, 1, 2, 3], kind="triplets")


@settings(max_examples=40, deadline=None)
@given(counts=counts_of_artists, kind=st.sampled_from(["triplets", "pairs"]), seed=st.integers(0, 99))
def test_random_tuples_visit_each_painting_once_as_anchor(
    counts: list[int], kind: Literal["triplets", "pairs"], seed: int
) -> None:
    assume(sum(count >= 2 for count in counts) >= 2)
    labels = labels_of(counts)
    sampler = RandomTupleSampler(labels, kind=kind, seed=seed)
    size = 3 if kind == "triplets" else 2

    drawn = list(sampler)
    tuples = [drawn[start : start + size] for start in range(0, len(drawn), size)]

    assert len(drawn) == len(sampler)
    usable = [row for row, label in enumerate(labels) if labels.count(label) > 1]
    assert sorted(anchor for anchor, *_ in tuples) == usable
    assert all(len(set(rows)) == size for rows in tuples)
    same = [labels[rows[0]] == labels[rows[1]] for rows in tuples]
    if kind == "triplets":
        assert all(same)
        assert all(labels[anchor] != labels[negative] for anchor, _, negative in tuples)
    else:
        assert sum(same) == len(tuples) // 2
    assert set(sampler.left_out_artists) == {label for label in labels if labels.count(label) == 1}


def test_random_tuples_are_redrawn_each_epoch() -> None:
    labels = labels_of([4] * 5)
    sampler, twin = (RandomTupleSampler(labels, kind="triplets", seed=1) for _ in range(2))

    epoch_0 = list(sampler)
    sampler.set_epoch(1)
    twin.set_epoch(1)

    assert list(twin) == list(sampler) != epoch_0


def test_random_partners_are_uniform() -> None:
    labels = labels_of([2, 3, 5, 7, 1])
    sampler = RandomTupleSampler(labels, kind="triplets")
    epochs = 3000
    positives: Counter[tuple[int, int]] = Counter()
    negatives: Counter[tuple[int, int]] = Counter()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn = np.array(list(sampler)).reshape(-1, 3)
        positives.update(map(tuple, drawn[:, :2].tolist()))
        negatives.update(map(tuple, drawn[:, ::2].tolist()))

    usable = [row for row, label in enumerate(labels) if labels.count(label) > 1]
    for drawn_pairs, is_same in ((positives, True), (negatives, False)):
        for anchor in usable:
            possible = [row for row in usable if row != anchor and (labels[row] == labels[anchor]) == is_same]
            found = np.array([drawn_pairs[anchor, row] for row in possible])
            assert found.sum() == epochs  # so nothing else was drawn
            if len(possible) > 1:
                assert chisquare(found).pvalue > 1e-4
