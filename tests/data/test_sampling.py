"""Batches: exact length, exact m, never a painting twice, and every draw decided by seed and epoch."""

import re
from collections import Counter
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator, skip_first_batches
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.trainers import MetricLossOnly
from scipy.stats import chisquare
from torch.utils.data import DataLoader, TensorDataset

from morelli.data.sampling import ArtistBalancedSampler, RandomTupleSampler, fit_batch
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


@pytest.mark.parametrize("kind", ["balanced", "groups", "triplets", "pairs"])
def test_each_pass_is_another_draw_where_nobody_sets_an_epoch(kind: str) -> None:
    def made() -> Any:
        labels = labels_of([6] * 8) if kind != "groups" else [row % 8 for row in range(48)]
        if kind == "balanced":
            return ArtistBalancedSampler(labels, m=2, batch_size=8, seed=3)
        if kind == "groups":
            return ArtistBalancedSampler(labels, m=2, batch_size=8, seed=3, groups=[artist % 2 for artist in range(8)])
        return RandomTupleSampler(labels, kind="pairs" if kind == "pairs" else "triplets", seed=3)

    sampler, set_each_time, gone_on, broken_off = made(), made(), made(), made()
    passes = [list(sampler) for _ in range(4)]

    assert len({tuple(drawn) for drawn in passes}) == 4
    assert [list(sampler) for sampler in [made()] for _ in range(4)] == passes  # and all follow from the seed
    for epoch in (2, 0, 3):
        set_each_time.set_epoch(epoch)
        assert list(set_each_time) == passes[epoch]
    gone_on.set_epoch(2)  # once, as a plain loop that resumes does
    assert [list(gone_on), list(gone_on)] == passes[2:]
    next(iter(broken_off))
    assert list(broken_off) == passes[1]


def test_accelerate_sees_every_epoch_and_goes_on_in_the_middle_of_one() -> None:
    labels = labels_of([6] * 8)
    rows = torch.arange(len(labels))

    def loader() -> Any:
        sampler = ArtistBalancedSampler(labels, m=2, batch_size=8, seed=3)
        return Accelerator(cpu=True).prepare(DataLoader(TensorDataset(rows), 8, sampler=sampler))

    sampler = ArtistBalancedSampler(labels, m=2, batch_size=8, seed=3)
    expected = [np.array(list(sampler)).reshape(-1, 8).tolist() for _ in range(3)]
    prepared, again = loader(), loader()

    assert [[batch.tolist() for (batch,) in prepared] for _ in range(3)] == expected
    rest = skip_first_batches(again, 2)
    rest.set_epoch(1)
    assert [batch.tolist() for (batch,) in rest] == expected[1][2:]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")  # PML's progress bar
def test_pmls_trainer_sees_new_batches_in_every_epoch() -> None:
    labels = labels_of([20] * 10)
    asked: list[int] = []

    class Noted(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            asked.append(index)
            return super().__getitem__(index)

    trunk = torch.nn.Linear(4, 3)
    MetricLossOnly(
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.SGD(trunk.parameters(), 1e-3)},
        batch_size=40,
        loss_funcs={"metric_loss": TripletMarginLoss()},
        dataset=Noted(torch.randn(200, 4), torch.tensor(labels)),
        sampler=ArtistBalancedSampler(labels, 4, 40),
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
        dtype=torch.float32,
    ).train(num_epochs=4)

    assert len({tuple(asked[start : start + 200]) for start in range(0, 800, 200)}) == 4
    assert len(set(asked)) > 190  # of 200; one draw alone has about 130


def test_the_arguments_of_pmls_sampler_are_taken_as_it_takes_them() -> None:
    labels = labels_of([6] * 8)
    for arguments in [(2, 8, 30), (2, None, 40), (3,), (2, 8)]:
        ours, pmls = ArtistBalancedSampler(labels, *arguments), MPerClassSampler(labels, *arguments)
        assert isinstance(ours, MPerClassSampler)
        assert (ours.m_per_class, sorted(ours.labels)) == (pmls.m_per_class, sorted(pmls.labels))
        if len(arguments) == 3:
            assert len(ours) == len(pmls) == len(list(ours))
    assert len(ArtistBalancedSampler(labels, m=2, batch_size=8, length_before_new_iter=30)) == 24
    whole = list(ArtistBalancedSampler(labels, 2))  # without a batch size, all artists make a batch
    assert len(whole) == 48
    assert all(len({labels[row] for row in whole[start : start + 16]}) == 8 for start in (0, 16, 32))
    with pytest.raises(MorelliError, match="length_before_new_iter is 7, less than a batch of 8"):
        ArtistBalancedSampler(labels, 2, 8, 7)
    with pytest.raises(MorelliError, match="not both"):
        ArtistBalancedSampler(labels, 2, 8, 80, batches=3)


@pytest.mark.parametrize(
    "of",
    [
        lambda numbers: torch.tensor(numbers),
        lambda numbers: [torch.tensor(number) for number in numbers],
        lambda numbers: np.array(numbers, dtype=np.int16),
        lambda numbers: pd.Series(numbers, index=range(5, 5 + len(numbers))),
        lambda numbers: tuple(numbers),
        lambda numbers: (number for number in numbers),
        lambda numbers: [f"painter {number:03d}" for number in numbers],
        lambda numbers: np.array([f"painter {number:03d}" for number in numbers]),
        lambda numbers: pd.Series([f"painter {number:03d}" for number in numbers], dtype="category"),
        lambda numbers: [("school", number) for number in numbers],
        lambda numbers: [float(number) for number in numbers],
    ],
)
def test_labels_of_any_type_are_drawn_alike(of: Any) -> None:
    numbers = labels_of([5, 5, 5, 1, 5])

    sampler = ArtistBalancedSampler(of(numbers), 2, 6, seed=1)

    assert list(sampler) == list(ArtistBalancedSampler(numbers, 2, 6, seed=1))
    assert len(sampler.left_out_artists) == 1
    tuples = [list(RandomTupleSampler(labels, kind="pairs", seed=1)) for labels in (of(numbers), numbers)]
    assert tuples[0] == tuples[1]


def test_labels_of_several_types_are_told_apart() -> None:
    sampler = ArtistBalancedSampler([1, "1", 1, "1", (2, 3), (2, 3)], 2, 4)

    assert set(sampler.labels) == {1, "1", (2, 3)}


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_labels_that_say_no_artist_are_refused(missing: Any) -> None:
    with pytest.raises(MorelliError, match="label of painting 4 is missing"):
        ArtistBalancedSampler(["a", "a", "b", "b", missing], 2, 4)
    with pytest.raises(MorelliError, match=r"shape \(4, 2\)"):
        ArtistBalancedSampler(torch.zeros(4, 2), 2, 4)


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
    sampler.set_epoch(0)
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
    sampler.set_epoch(0)

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


@settings(max_examples=60, deadline=None)
@given(
    folds=st.lists(counts_of_artists, min_size=1, max_size=3),
    m=st.integers(2, 6),
    artists=st.integers(2, 20),
    processes=st.integers(1, 3),
)
def test_a_batch_is_fitted_to_the_artists_of_all_folds(
    folds: list[list[int]], m: int, artists: int, processes: int
) -> None:
    labels = [labels_of(counts) for counts in folds]
    fitted, size = fit_batch(labels, m, m * artists, multiple_of=processes)

    if any(sum(count > 1 for count in counts) < 2 for counts in folds):
        assert (fitted, size) == (m, m * artists)  # nothing fits, as the sampler will say
        return
    assert fitted <= m
    assert size <= m * artists
    for of_fold, counts in zip(labels, folds, strict=True):
        assert len(list(ArtistBalancedSampler(of_fold, fitted, size))) >= size
        if fitted < m:
            assert sum(count >= fitted for count in counts) >= sum(count > 1 for count in counts) / 2
    assert fit_batch(labels, fitted, size, multiple_of=processes) == (fitted, size)


def test_a_batch_that_can_be_had_stays_as_it_is() -> None:
    labels = labels_of([6] * 10 + [2] * 30)  # though most artists have too few for it
    assert fit_batch([labels], 4, 40) == (4, 40)
    assert fit_batch([labels], 4, 256) == (2, 80)
    assert fit_batch([labels], 4, 256, multiple_of=3) == (2, 78)
    assert fit_batch([labels_of([14] * 2 + [2] * 14)], 4, 64) == (2, 32)
