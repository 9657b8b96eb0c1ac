"""Retrieval against pytorch-metric-learning itself, a naive loop, and everything that must be refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import FaissKNN

from morelli.errors import MorelliError
from morelli.evaluation import neighbours
from morelli.evaluation.calculator import PaintingAccuracyCalculator
from morelli.evaluation.neighbours import knn
from morelli.evaluation.retrieval import METRICS, retrieve


def clusters(paintings: int, artists: int, seed: int = 0, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, artists, (paintings,), generator=generator)
    centres = torch.randn(artists, width, generator=generator)
    return centres[labels] + torch.randn(paintings, width, generator=generator), labels


def pml(**options) -> AccuracyCalculator:
    return AccuracyCalculator(exclude=("NMI", "AMI"), k="max_bin_count", device=torch.device("cpu"), **options)


def naive(embeddings: np.ndarray, labels: list) -> dict[str, list[float]]:
    """Every measure by its definition, painting by painting."""
    n = len(labels)
    furthest = max(labels.count(label) for label in labels) - 1
    found = {metric: [] for metric in METRICS}
    for i in range(n):
        to_find = labels.count(labels[i]) - 1
        if not to_find:
            continue
        others = sorted((j for j in range(n) if j != i), key=lambda j: ((embeddings[i] - embeddings[j]) ** 2).sum())
        hits = [labels[j] == labels[i] for j in others[:furthest]]
        precision = [sum(hits[: rank + 1]) / (rank + 1) for rank in range(len(hits))]
        found["precision_at_1"].append(float(hits[0]))
        found["r_precision"].append(sum(hits[:to_find]) / to_find)
        found["mean_average_precision_at_r"].append(
            sum(p * h for p, h in zip(precision[:to_find], hits[:to_find], strict=True)) / to_find
        )
        found["mean_average_precision"].append(sum(p * h for p, h in zip(precision, hits, strict=True)) / to_find)
        found["mean_reciprocal_rank"].append(1 / (1 + hits.index(True)) if any(hits) else 0)
    return found


@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_every_measure_equals_a_naive_loop(seed, paintings, artists):
    embeddings, labels = clusters(paintings, artists, seed, width=4)
    wanted = naive(embeddings.double().numpy(), labels.tolist())
    if not wanted["precision_at_1"] or len(labels.unique()) == 1:
        with pytest.raises(MorelliError, match=r"single painting|All paintings are by"):
            retrieve(embeddings, labels)
        return
    found = retrieve(embeddings, labels)
    for metric in METRICS:
        assert found.values[metric][~found.lone] == pytest.approx(wanted[metric], abs=1e-12)
        assert found.mean(metric) == pytest.approx(np.mean(wanted[metric]), abs=1e-12)


@pytest.mark.parametrize("averages", [{}, {"avg_of_avgs": True}])
def test_same_numbers_as_pml_among_themselves(averages):
    embeddings, labels = clusters(1500, 700)
    wanted = pml(**averages).get_accuracy(embeddings, labels)
    found = PaintingAccuracyCalculator(k="max_bin_count", **averages).get_accuracy(embeddings, labels)
    assert found.pop("lone_artists") == int((labels.bincount() == 1).sum()) > 0
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("includes_query", [False, True])
def test_same_numbers_as_pml_with_a_gallery(includes_query):
    reference, reference_labels = clusters(900, 60)
    query, labels = (reference[:300], reference_labels[:300]) if includes_query else clusters(300, 70, seed=1)
    arguments = query, labels, reference, reference_labels, includes_query
    wanted = pml().get_accuracy(*arguments)
    ours = PaintingAccuracyCalculator(exclude=("lone_artists",), k="max_bin_count")
    found = ours.get_accuracy(*arguments)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_per_class_values_carry_names_and_equal_pmls():
    embeddings, labels = clusters(400, 30)
    names = [f"Artist {label:02}" for label in labels.tolist()]
    found = PaintingAccuracyCalculator(return_per_class=True, k="max_bin_count").get_accuracy(embeddings, names)
    wanted = pml(return_per_class=True).get_accuracy(embeddings, labels)
    assert found["r_precision"].artists == sorted(set(names))
    for metric in METRICS:
        assert found[metric] == pytest.approx(wanted[metric], abs=1e-6)


def test_any_labels_give_the_same_numbers():
    embeddings, labels = clusters(200, 20)
    wanted = PaintingAccuracyCalculator().get_accuracy(embeddings, labels)
    for same in (labels + 2**40, labels.numpy(), labels[:, None], [f"name {label}" for label in labels.tolist()]):
        assert PaintingAccuracyCalculator().get_accuracy(embeddings, same) == wanted


def test_ids_that_float32_cannot_tell_apart_stay_apart():
    embeddings = torch.tensor([[0.0], [1.0], [1.1], [0.1]])
    labels = torch.tensor([2**24, 2**24 + 1, 2**24, 2**24 + 1])
    assert retrieve(embeddings, labels).mean("precision_at_1") == 0


def test_lone_artists_are_named_and_left_out_of_means():
    embeddings = torch.tensor([[0.0], [0.1], [5.0], [0.11]])
    found = retrieve(embeddings, ["Anker", "Anker", "Böcklin", "Corot"])
    assert found.lone_artists == ["Böcklin", "Corot"]
    assert found.mean("precision_at_1") == 0.5
    table = found.per_artist()
    assert table["artist"].tolist() == ["Anker", "Böcklin", "Corot"]
    assert table["paintings"].tolist() == [2, 1, 1]
    assert np.isnan(table["precision_at_1"][1])


def test_the_largest_class_can_be_the_whole_gallery():
    embeddings = torch.tensor([[0.0], [0.1], [0.2], [9.0]])
    found = PaintingAccuracyCalculator(k=1000).get_accuracy(embeddings, torch.tensor([0, 0, 0, 1]))
    assert {found[metric] for metric in METRICS} == {1.0}


def test_equal_paintings_do_not_find_themselves():
    embeddings = torch.zeros(2000, 2)
    embeddings[1000:] = 1
    found = retrieve(embeddings, torch.arange(2000) // 1000)
    assert found.mean("precision_at_1") == found.mean("r_precision") == 1


@pytest.mark.parametrize("metric", METRICS)
def test_every_measure_can_be_asked_for_alone(metric):
    embeddings, labels = clusters(100, 10)
    alone = PaintingAccuracyCalculator(include=(metric,)).get_accuracy(embeddings, labels)
    assert alone == {metric: PaintingAccuracyCalculator().get_accuracy(embeddings, labels)[metric]}


def test_clustering_measures_on_request():
    embeddings, labels = clusters(300, 3)
    wanted = AccuracyCalculator(include=("NMI", "AMI"), device=torch.device("cpu")).get_accuracy(embeddings, labels)
    found = PaintingAccuracyCalculator(include=("NMI", "AMI")).get_accuracy(embeddings, labels)
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("includes_query", [False, True])
def test_search_is_the_same_with_and_without_faiss(monkeypatch, includes_query):
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(2500, 24, generator=generator)
    query = reference[:1500] if includes_query else torch.randn(1500, 24, generator=generator)
    assert neighbours.faiss is not None
    distances, rows = knn(query, 9, reference, includes_query)
    monkeypatch.setattr(neighbours, "faiss", None)
    torch_distances, torch_rows = knn(query, 9, reference, includes_query)
    torch.testing.assert_close(torch_distances, distances, rtol=1e-4, atol=1e-4)
    assert (torch_rows == rows).float().mean() > 0.9999
    if includes_query:
        assert not (rows == torch.arange(1500)[:, None]).any()


@pytest.mark.parametrize("with_faiss", [True, False])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_a_large_set_among_itself_has_its_nearest_neighbours(monkeypatch, with_faiss, k):
    generator = torch.Generator().manual_seed(k)
    embeddings = torch.randn(2600, 24, generator=generator)
    embeddings[::50] = embeddings[3]
    if not with_faiss:
        monkeypatch.setattr(neighbours, "faiss", None)
    distances, rows = knn(embeddings, k, embeddings, True)
    everything = torch.cdist(embeddings, embeddings).square().fill_diagonal_(torch.inf)
    plain = everything.topk(k, dim=1, largest=False)
    torch.testing.assert_close(distances, plain.values, rtol=1e-3, atol=1e-3)
    apart = embeddings.unique(dim=0, return_counts=True, return_inverse=True)
    alone = apart[2][apart[1]] == 1
    assert (rows[alone] == plain.indices[alone]).float().mean() > 0.99
    assert not (rows == torch.arange(2600)[:, None]).any()
    torch.testing.assert_close(everything.gather(1, rows), distances, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("points", [1, 3])
def test_a_large_set_of_few_points_is_searched(points):
    embeddings = torch.eye(points)[torch.arange(2600) % points]
    distances, rows = knn(embeddings, 5, embeddings, True)
    assert not distances.any()
    assert not (rows == torch.arange(2600)[:, None]).any()


def test_pmls_own_search_can_be_plugged_in_and_ours_into_pml():
    embeddings, labels = clusters(300, 20)
    wanted = pml().get_accuracy(embeddings, labels)
    assert pml(knn_func=knn).get_accuracy(embeddings, labels) == pytest.approx(wanted, abs=1e-9)
    ours = PaintingAccuracyCalculator(knn_func=FaissKNN(), exclude=("lone_artists",), k="max_bin_count")
    assert ours.get_accuracy(embeddings, labels) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused_by_row(bad):
    embeddings, labels = clusters(5000, 20)
    embeddings[4321, 3] = bad
    with pytest.raises(MorelliError, match="row 4321"):
        PaintingAccuracyCalculator().get_accuracy(embeddings, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 2}, "k is 2, but an artist has"),
        ({"query_labels": torch.zeros(7)}, "need as many labels"),
        ({"query_labels": torch.arange(100)}, "single painting"),
        ({"query_labels": [None] + ["Anker"] * 99}, "Row 0 has no artist"),
        ({"query_labels": ["Anker"] * 100}, "All paintings are by Anker"),
        ({"query": torch.ones(100, 4)}, "collapsed"),
        ({"query": torch.zeros(0, 4), "query_labels": []}, "shape"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, message):
    embeddings, labels = clusters(100, 10)
    with pytest.raises(MorelliError, match=message):
        retrieve(**({"query": embeddings, "query_labels": labels} | change))


def test_queries_must_lead_the_gallery_that_includes_them():
    embeddings, labels = clusters(100, 10)
    with pytest.raises(MorelliError, match="first references"):
        retrieve(embeddings[:50], labels[:50], embeddings.flip(0), labels.flip(0), ref_includes_query=True)


def test_a_misspelt_measure_gets_a_hint():
    with pytest.raises(MorelliError, match='Did you mean "r_precision"'):
        PaintingAccuracyCalculator(include=("r_precison",))
