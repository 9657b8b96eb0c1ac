"""The calculator in the place of pytorch-metric-learning's own: arguments, meanings, custom measures, and refusals."""

import inspect
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
from pytorch_metric_learning.trainers import MetricLossOnly
from pytorch_metric_learning.utils import accuracy_calculator, common_functions, logging_presets
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from morelli import PaintingAccuracyCalculator
from morelli.errors import MorelliError
from morelli.evaluation import _custom_metrics

CPU = torch.device("cpu")
WITHOUT = ("NMI", "AMI")
OURS_ALONE = "lone_artists"
Clusters = tuple[torch.Tensor, torch.Tensor]


def clusters(paintings: int, artists: int, seed: int = 0, width: int = 8) -> Clusters:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, artists, (paintings,), generator=generator)
    centres = torch.randn(artists, width, generator=generator)
    return centres[labels] + torch.randn(paintings, width, generator=generator), labels


def both(*arguments: Any, classes: tuple[type, type] | None = None, **options: Any) -> tuple[dict, dict]:
    """What PML's calculator returns, and ours without the measure that only ours has."""
    theirs, ours = classes or (AccuracyCalculator, PaintingAccuracyCalculator)
    options = {"exclude": WITHOUT, **options}
    wanted = theirs(device=CPU, **options).get_accuracy(*arguments)
    found = ours(device=CPU, **options).get_accuracy(*arguments)
    found.pop(OURS_ALONE, None)
    return wanted, found


def assert_same(wanted: dict[str, Any], found: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert isinstance(found[name], type(value)), name
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-6, nan_ok=True), name


@given(
    st.integers(0, 10_000),
    st.integers(30, 80),
    st.integers(3, 9),
    st.sampled_from([None, "max_bin_count", 60]),
    st.sampled_from([{}, {"avg_of_avgs": True}, {"return_per_class": True}]),
    st.sampled_from(["alone", "gallery", "includes", "unflagged"]),
)
@settings(max_examples=80, deadline=None)
def test_any_choice_of_arguments_gives_pmls_numbers(
    seed: int, paintings: int, artists: int, k: Any, average: dict[str, bool], shape: str
) -> None:
    reference, reference_labels = clusters(paintings, artists, seed, width=3)
    query, labels = reference[:20], reference_labels[:20]
    arguments = {
        "alone": (reference, reference_labels),
        "gallery": (*clusters(20, artists + 2, seed + 1, width=3), reference, reference_labels, False),
        "includes": (query, labels, reference, reference_labels, True),
        "unflagged": (query, labels, reference, reference_labels, False),
    }[shape]
    if k == 60 and paintings < 61:
        k = None  # PML counts past the gallery there
    assert_same(*both(*arguments, k=k, **average))


def test_the_signature_is_pmls_and_then_strict() -> None:
    theirs, ours = (
        list(inspect.signature(one.__init__).parameters.values())
        for one in (AccuracyCalculator, PaintingAccuracyCalculator)
    )
    assert [(one.name, one.kind) for one in ours[: len(theirs)]] == [(one.name, one.kind) for one in theirs]
    assert [one.default for one in ours[: len(theirs)]] == [one.default for one in theirs]
    assert [one.name for one in ours[len(theirs) :]] == ["strict"]
    theirs, ours = (inspect.signature(one.get_accuracy) for one in (AccuracyCalculator, PaintingAccuracyCalculator))
    assert list(theirs.parameters) == list(ours.parameters)
    embeddings, labels = clusters(60, 5)
    positional = ((), WITHOUT, True, False, "max_bin_count", None, CPU)
    assert_same(
        AccuracyCalculator(*positional).get_accuracy(embeddings, labels),
        PaintingAccuracyCalculator((), (*WITHOUT, OURS_ALONE), *positional[2:]).get_accuracy(embeddings, labels),
    )


def test_k_none_is_every_reference() -> None:
    embeddings, labels = clusters(400, 40)
    wanted, found = both(embeddings, labels)
    nearest, _ = both(embeddings, labels, k="max_bin_count")
    assert_same(wanted, found)
    assert abs(wanted["mean_average_precision"] - nearest["mean_average_precision"]) > 0.01


@pytest.mark.parametrize("average", [{}, {"avg_of_avgs": True}, {"return_per_class": True}])
def test_labels_can_be_compared_by_a_function(average: dict[str, bool]) -> None:
    embeddings, labels = clusters(300, 12)
    arguments = embeddings, labels, embeddings.flip(0) + 0.1, labels.flip(0)
    assert_same(*both(*arguments, label_comparison_fn=lambda x, y: (x - y).abs() < 2, **average))
    columns = torch.stack([labels // 3, labels], dim=1)

    def same_group_other_artist(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x[..., 0] == y[..., 0]) & (x[..., 1] != y[..., 1])

    arguments = embeddings, columns, embeddings.flip(0) + 0.1, columns.flip(0)
    assert_same(*both(*arguments, label_comparison_fn=same_group_other_artist, **average))


def test_a_label_that_does_not_match_itself_is_not_counted_off() -> None:
    """Here PML takes one off what there is to find, and divides 0 by 0."""
    embeddings, labels = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0, 0], [0, 1], [1, 2]])

    def same_group_other_artist(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x[..., 0] == y[..., 0]) & (x[..., 1] != y[..., 1])

    wanted, found = both(embeddings, labels, label_comparison_fn=same_group_other_artist)
    assert math.isnan(wanted["r_precision"])
    assert found["r_precision"] == found["precision_at_1"] == 1


def test_a_comparison_gets_floats_whatever_the_labels_are() -> None:
    embeddings, labels = clusters(60, 6)
    seen = []

    def compare(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(x.dtype)
        return x == y

    for given_labels in (labels, labels.numpy(), labels.byte(), labels.tolist(), [f"name {one}" for one in labels]):
        PaintingAccuracyCalculator(label_comparison_fn=compare).get_accuracy(embeddings, given_labels)
    assert set(seen) == {torch.float32}
    apart = torch.tensor([2**24, 2**24 + 1] * 30)
    found = PaintingAccuracyCalculator(label_comparison_fn=compare).get_accuracy(embeddings, apart)
    assert seen[-1] == torch.float64
    assert found["precision_at_1"] < 1


def with_custom_measures(base: type) -> type:
    """PML's own example of a custom measure, one that is a mean over all queries, and two that are no mean."""

    class Custom(base):
        def calculate_precision_at_2(
            self, knn_labels: torch.Tensor, query_labels: torch.Tensor, **_: Any
        ) -> float | list[float]:
            return accuracy_calculator.precision_at_k(
                knn_labels,
                query_labels[:, None],
                2,
                self.avg_of_avgs,
                self.return_per_class,
                self.label_comparison_fn,
            )

        def calculate_hits_at_3(
            self, knn_labels: torch.Tensor, query_labels: torch.Tensor, not_lone_query_mask: torch.Tensor, **_: Any
        ) -> float:
            found = (knn_labels[:, :3] == query_labels[:, None]).any(1)
            return found[not_lone_query_mask].float().mean().item()

        def calculate_furthest_first(self, knn_distances: torch.Tensor, **_: Any) -> float:
            return knn_distances[:, 0].max().item()

        def calculate_arguments(self, **kwargs: Any) -> float:
            shapes = (kwargs["query"], kwargs["reference"], kwargs["query_labels"], *kwargs["label_counts"])
            return float(sum(one.sum() for one in shapes) + len(kwargs["lone_query_labels"]))

        def requires_knn(self) -> list[str]:
            return [*super().requires_knn(), "precision_at_2", "hits_at_3", "furthest_first"]

    return Custom


@pytest.mark.parametrize("average", [{}, {"avg_of_avgs": True}, {"return_per_class": True}])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("k", [None, "max_bin_count"])
def test_a_subclass_adds_measures_as_in_pml(
    monkeypatch: pytest.MonkeyPatch, average: dict[str, bool], whole: bool, k: Any
) -> None:
    if not whole:
        monkeypatch.setattr(_custom_metrics, "WHOLE", 0)
    classes = with_custom_measures(AccuracyCalculator), with_custom_measures(PaintingAccuracyCalculator)
    assert_same(*both(*clusters(1300, 500), classes=classes, k=k, **average))


def test_a_mean_over_queries_is_computed_in_blocks_and_others_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_custom_metrics, "WHOLE", 0)
    embeddings, labels = clusters(2100, 300)
    rows: list[int] = []

    class Watched(with_custom_measures(PaintingAccuracyCalculator)):
        def calculate_hits_at_3(self, *, knn_labels: torch.Tensor, **kwargs: Any) -> float:
            rows.append(len(knn_labels))
            return super().calculate_hits_at_3(knn_labels=knn_labels, **kwargs)

    calculator = Watched(include=("hits_at_3",))
    calculator.get_accuracy(embeddings, labels)
    assert max(rows) < 2100
    rows.clear()
    calculator = Watched(include=("hits_at_3", "furthest_first"))
    calculator.get_accuracy(embeddings, labels)
    assert max(rows) == 2100


def test_a_subclass_can_replace_a_measure_and_the_clustering() -> None:
    def replaced(base: type) -> type:
        class Replaced(base):
            def calculate_r_precision(self, knn_labels: torch.Tensor, **_: Any) -> float:
                return float(knn_labels.shape[1])

            def calculate_clusters(self, cluster_labels: torch.Tensor, knn_labels: torch.Tensor, **_: Any) -> float:
                return float(len(torch.unique(torch.as_tensor(cluster_labels))) + knn_labels.shape[1])

            def requires_clustering(self) -> list[str]:
                return [*super().requires_clustering(), "clusters"]

        return Replaced

    classes = replaced(AccuracyCalculator), replaced(PaintingAccuracyCalculator)
    assert_same(*both(*clusters(100, 5), classes=classes))


@pytest.mark.parametrize("when", ["made", "called"])
def test_a_name_that_no_measure_has_is_an_error_with_a_hint(when: str) -> None:
    custom = with_custom_measures(PaintingAccuracyCalculator)
    for wrong, right in (("r_precison", "r_precision"), ("precision_at_3", "precision_at_")):
        make = {"made": (wrong,), "called": ()}[when]
        with pytest.raises(ValueError, match=f'"{wrong}".*Did you mean "{right}') as caught:
            custom(include=make).get_accuracy(*clusters(50, 5), include=(wrong,))
        assert isinstance(caught.value, MorelliError)
    assert custom().get_accuracy(*clusters(50, 5), include=("precision_at_2",)).keys() == {"precision_at_2"}
    assert PaintingAccuracyCalculator().get_accuracy(*clusters(50, 5), include=("NMI",)).keys() == {"NMI"}
    with pytest.raises(MorelliError, match="made without r_precision"):
        PaintingAccuracyCalculator(("precision_at_1",)).get_accuracy(*clusters(50, 5), include=("r_precision",))
    with pytest.raises(MorelliError, match="lists of names"):
        PaintingAccuracyCalculator(include="r_precision")


def spoilt(change: Callable[[torch.Tensor], None]) -> Clusters:
    embeddings, labels = clusters(100, 10)
    change(embeddings)
    return embeddings, labels


UNMEASURABLE = [
    (spoilt(lambda one: one[7].fill_(float("nan"))), "row 7"),
    (spoilt(lambda one: one[7].fill_(float("inf"))), "row 7"),
    (spoilt(lambda one: one.fill_(3)), "collapsed"),
    ((clusters(100, 10)[0], torch.zeros(100)), "All paintings are by"),
    ((clusters(100, 10)[0], torch.arange(100)), "single painting"),
    ((clusters(100, 10)[0], [f"{one}" for one in range(100)]), "single painting"),
]


@pytest.mark.parametrize("average", [{}, {"avg_of_avgs": True}, {"return_per_class": True}])
@pytest.mark.parametrize(("arguments", "message"), UNMEASURABLE)
def test_what_cannot_be_measured_is_an_error_or_nan_with_one_warning(
    arguments: Clusters, message: str, average: dict[str, bool]
) -> None:
    with pytest.raises(MorelliError, match=message) as caught:
        PaintingAccuracyCalculator(**average).get_accuracy(*arguments)
    assert isinstance(caught.value, ValueError)
    calculator = PaintingAccuracyCalculator(strict=False, **average)
    with pytest.warns(UserWarning, match=message) as told:
        found = calculator.get_accuracy(*arguments)
    assert len(told) == 1
    assert list(found) == calculator.get_curr_metrics()
    assert all(np.isnan(value).all() for value in found.values())
    assert not average.get("return_per_class") or all(isinstance(value, list) for value in found.values())


def test_a_small_k_spoils_only_what_it_makes_wrong() -> None:
    embeddings, labels = clusters(100, 10)
    with pytest.raises(ValueError, match="k is 2, but an artist has"):
        PaintingAccuracyCalculator(k=2).get_accuracy(embeddings, labels)
    wanted, found = both(embeddings, labels, k=2, include=("precision_at_1", "mean_average_precision"), exclude=())
    assert_same(wanted, found)
    with pytest.warns(UserWarning, match="k is 2, but an artist has") as told:
        found = PaintingAccuracyCalculator(k=2, strict=False).get_accuracy(embeddings, labels)
    assert len(told) == 1
    assert {name for name, value in found.items() if math.isnan(value)} == {
        "r_precision",
        "mean_average_precision_at_r",
    }
    assert found["mean_average_precision"] == pytest.approx(wanted["mean_average_precision"])


EMBEDDINGS, LABELS = clusters(20, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((EMBEDDINGS, LABELS[:7]), "20 query embeddings need as many labels"),
        ((EMBEDDINGS, LABELS[:, None].expand(20, 3)), "3 columns.*label_comparison_fn"),
        ((EMBEDDINGS, [[1], [1, 2]] * 10), "labels"),
        ((EMBEDDINGS, [{1}, {"b": 1}] * 10), "all names or all numbers"),
        ((EMBEDDINGS, [None] * 20), "Row 0 has no artist"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS), "references have no labels"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS, LABELS[:3]), "20 reference embeddings need"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS[:, :3], LABELS), "8 wide, the references 3"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS.flip(0), LABELS, True), "first references"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS, LABELS.flip(0), True), "first references"),
        ((EMBEDDINGS[0], LABELS), "shape"),
        ((["a", "b"], LABELS), "tensor or an array of numbers"),
        ((EMBEDDINGS.to("meta"), LABELS), "device meta"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_arguments_that_do_not_fit_are_refused(arguments: tuple, message: str, strict: bool) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        PaintingAccuracyCalculator(strict=strict).get_accuracy(*arguments)
    assert isinstance(caught.value, MorelliError)


@pytest.mark.parametrize("k", [0, -1, 1.5, "max", True])
def test_k_is_a_number_of_neighbours(k: Any) -> None:
    with pytest.raises(ValueError, match="number of neighbours"):
        PaintingAccuracyCalculator(k=k)


def test_clustering_does_not_go_with_a_comparison() -> None:
    with pytest.raises(NotImplementedError):
        PaintingAccuracyCalculator(include=("NMI",), label_comparison_fn=torch.eq)
    with pytest.raises(NotImplementedError):
        PaintingAccuracyCalculator(label_comparison_fn=torch.ne).get_accuracy(*clusters(50, 4), include=("AMI",))
    with pytest.raises(ValueError, match="mutually exclusive"):
        PaintingAccuracyCalculator(avg_of_avgs=True, return_per_class=True)


def test_any_kind_of_array_will_do() -> None:
    embeddings, labels = clusters(60, 5)
    wanted = PaintingAccuracyCalculator().get_accuracy(embeddings, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_only = embeddings.numpy().copy()
        read_only.flags.writeable = False
        for same in (read_only, embeddings.tolist(), embeddings.double(), embeddings.requires_grad_()):
            assert PaintingAccuracyCalculator().get_accuracy(same, labels.tolist()) == wanted


def test_a_tester_of_pml_takes_it() -> None:
    embeddings, labels = clusters(60, 5)
    levels = torch.stack([labels, labels // 2], dim=1)
    dataset = {"train": common_functions.EmbeddingDataset(embeddings, levels)}
    tester = GlobalEmbeddingSpaceTester(
        accuracy_calculator=PaintingAccuracyCalculator(), label_hierarchy_level="all", dataloader_num_workers=0
    )
    found = tester.test(dataset, 0, torch.nn.Identity())["train"]
    alone = PaintingAccuracyCalculator().get_accuracy(torch.nn.functional.normalize(embeddings), labels)
    assert found["r_precision_level0"] == pytest.approx(alone["r_precision"])
    assert found["AVERAGE_r_precision"] == pytest.approx(
        (found["r_precision_level0"] + found["r_precision_level1"]) / 2
    )


def test_a_hook_loop_goes_on_after_an_epoch_that_cannot_be_measured(tmp_path: Path) -> None:
    records, _, _ = logging_presets.get_record_keeper(str(tmp_path / "logs"))
    hooks = logging_presets.get_hook_container(records, primary_metric="precision_at_1", save_models=False)
    tester = GlobalEmbeddingSpaceTester(
        accuracy_calculator=PaintingAccuracyCalculator(strict=False),
        end_of_testing_hook=hooks.end_of_testing_hook,
        normalize_embeddings=False,
        dataloader_num_workers=0,
    )
    trunk = torch.nn.Linear(8, 8, bias=False)
    dataset = common_functions.EmbeddingDataset(*clusters(60, 5))
    trainer = MetricLossOnly(
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.SGD(trunk.parameters())},
        batch_size=60,
        loss_funcs={"metric_loss": TripletMarginLoss()},
        dataset=dataset,
        dataloader_num_workers=0,
    )
    after_epoch = hooks.end_of_epoch_hook(tester, {"val": dataset}, str(tmp_path / "models"))
    torch.nn.init.zeros_(trunk.weight)
    trainer.epoch = 1
    with pytest.warns(UserWarning, match="collapsed"):
        after_epoch(trainer)
    torch.nn.init.eye_(trunk.weight)
    trainer.epoch = 2
    after_epoch(trainer)
    wanted = PaintingAccuracyCalculator().get_accuracy(*clusters(60, 5))["precision_at_1"]
    assert hooks.get_best_epoch_and_accuracy(tester, "val") == (2, pytest.approx(wanted))
