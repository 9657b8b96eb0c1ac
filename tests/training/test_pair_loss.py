"""Pair heads are pytorch-metric-learning losses and distances: pairs, miners, reducers, wrappers and refusals."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses, miners, reducers
from pytorch_metric_learning.regularizers import LpRegularizer
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper, DistributedMinerWrapper
from pytorch_metric_learning.utils.inference import CustomKNN, MatchFinder
from torch import Tensor
from torch.nn import functional

from morelli import ConcatHead, CosineScorer, EmbeddingsAlreadyPackagedAsPairs, PairHead, PairLoss, RandomTupleSampler
from morelli.errors import InputError
from morelli.models.heads import Scorer

ARTISTS, WIDTH = 4, 8
LABELS = torch.arange(16) % ARTISTS
Pairs = list[tuple[int, int]]


def embeddings(rows: int = len(LABELS), seed: int = 0) -> Tensor:
    drawn = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1).requires_grad_()


def head(kind: type[PairHead] | type[ConcatHead] = PairHead) -> Any:
    torch.manual_seed(3)
    return kind(WIDTH).eval()


def logit(of: Scorer, a: Tensor, b: Tensor) -> Tensor:
    """As training takes it: the concatenation head in the order that is asked."""
    score = of.one_order if isinstance(of, ConcatHead) else of.pairwise_distance
    return score(a[None], b[None])[0]


def naive(of: Scorer, points: Tensor, same: Pairs, different: Pairs, others: Tensor | None = None) -> Tensor:
    """Mean over pairs of either kind, then over both kinds."""
    others = points if others is None else others
    sides = [
        [-functional.logsigmoid(sign * logit(of, points[a], others[b])) for a, b in pairs]
        for sign, pairs in ((1, same), (-1, different))
        if pairs
    ]
    return torch.stack([torch.stack(side).mean() for side in sides]).mean()


def as_tuple(same: Pairs, different: Pairs) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([pair[i] for pair in pairs]) for pairs in (same, different) for i in (0, 1))


@pytest.mark.parametrize("kind", [PairHead, ConcatHead])
@torch.no_grad()
def test_without_a_miner_it_is_all_same_pairs_and_as_many_random_others(kind: Any) -> None:
    asked: list[tuple[Tensor, Tensor]] = []

    class Noted(kind):  # type: ignore[misc]
        def one_order(self, a: Tensor, b: Tensor) -> Tensor:
            asked.append((a, b))
            return super().one_order(a, b)

        def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
            asked.append((query_emb, ref_emb))
            return super().pairwise_distance(query_emb, ref_emb)

    noted, points = head(Noted), embeddings().detach()
    loss = PairLoss(noted)
    value = loss(points, LABELS)

    row_of = {tuple(point.tolist()): row for row, point in enumerate(points)}
    pairs = [(row_of[tuple(a.tolist())], row_of[tuple(b.tolist())]) for a, b in zip(*asked[0], strict=True)]
    same = [pair for pair in pairs if LABELS[pair[0]] == LABELS[pair[1]]]
    different = [pair for pair in pairs if LABELS[pair[0]] != LABELS[pair[1]]]
    assert set(same) == {(a, b) for a, b in itertools.permutations(range(16), 2) if LABELS[a] == LABELS[b]}
    assert len(same) == len(different) == len(set(different))
    assert float(value) == pytest.approx(float(naive(noted, points, same, different)), rel=1e-5)
    right = [(logit(noted, points[a], points[b]) > 0) == (LABELS[a] == LABELS[b]) for a, b in pairs]
    assert float(loss.pair_accuracy) == pytest.approx(float(torch.stack(right).float().mean()))


@pytest.mark.parametrize("kind", [PairHead, ConcatHead])
@torch.no_grad()
def test_pairs_are_those_that_are_given_and_either_kind_counts_for_half(kind: Any) -> None:
    points, of = embeddings().detach(), head(kind)
    same, different = [(0, 4), (4, 0), (1, 5)], [(0, 1)]

    assert PairLoss(of)(points, LABELS, as_tuple(same, different)) == pytest.approx(
        float(naive(of, points, same, different)), rel=1e-5
    )
    assert PairLoss(of)(points, None, as_tuple(same, different)) == PairLoss(of)(
        points, LABELS, as_tuple(same, different)
    )
    assert PairLoss(of)(points, LABELS, as_tuple(same, [])) == pytest.approx(float(naive(of, points, same, [])))
    triplets = (torch.tensor([0, 1]), torch.tensor([4, 5]), torch.tensor([1, 2]))
    assert PairLoss(of)(points, LABELS, triplets) == pytest.approx(
        float(naive(of, points, [(0, 4), (1, 5)], [(0, 1), (1, 2)])), rel=1e-5
    )


@torch.no_grad()
def test_pairs_reach_over_to_other_embeddings() -> None:
    points, others, of = embeddings().detach(), embeddings(6, seed=1).detach(), head()
    their_labels = torch.tensor([0, 1, 2, 3, 0, 1])
    same = [(a, b) for a in range(16) for b in range(6) if LABELS[a] == their_labels[b]]
    different = [(a, b) for a in range(16) for b in range(6) if LABELS[a] != their_labels[b]]

    given = PairLoss(of)(points, LABELS, as_tuple(same, different), others, their_labels)
    drawn = PairLoss(of)(points, LABELS, None, others, their_labels)

    assert given == pytest.approx(float(naive(of, points, same, different, others)), rel=1e-5)
    assert drawn == pytest.approx(float(given), rel=0.2)  # fewer of the different ones


@pytest.mark.parametrize("name", [n for n in dir(miners) if n.endswith("Miner") and n != "BaseMiner"])
def test_any_miner_of_pml_finds_its_pairs(name: str) -> None:
    points, of = embeddings(), head()
    mined = getattr(miners, name)()(points, LABELS)
    loss = PairLoss(of)(points, LABELS, mined)
    loss.backward()

    assert torch.isfinite(loss)
    assert points.grad is not None
    assert points.grad.abs().sum() > 0
    assert of.out.weight.grad.abs().sum() > 0


def test_a_batch_without_pairs_gives_zero_and_can_go_backward() -> None:
    points = embeddings()
    nothing = torch.empty(0, dtype=torch.long)
    for labels, mined in ((torch.arange(16), None), (LABELS, (nothing,) * 4), (LABELS, (nothing,) * 3)):
        loss = PairLoss(head())(points, labels, mined)
        loss.backward()
        assert loss == 0


def test_packaged_pairs_are_those_of_the_seed_projects_sampler() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    drawn = list(RandomTupleSampler(labels, kind="pairs"))
    points = embeddings(len(drawn))

    mined = EmbeddingsAlreadyPackagedAsPairs()(points, labels[drawn])

    pairs = [*zip(*(part.tolist() for part in mined[:2]), strict=True)]
    others = [*zip(*(part.tolist() for part in mined[2:]), strict=True)]
    assert sorted(pairs + others) == [(row, row + 1) for row in range(0, len(drawn), 2)]
    assert all(labels[drawn[a]] == labels[drawn[b]] for a, b in pairs)
    assert all(labels[drawn[a]] != labels[drawn[b]] for a, b in others)
    assert torch.isfinite(PairLoss(head())(points, labels[drawn], mined))


@torch.no_grad()
def test_pmls_reducers_and_regularisers_apply() -> None:
    points, of = embeddings().detach(), head()
    same, different = [(0, 4), (1, 5), (0, 8)], [(0, 1), (2, 3), (9, 2)]
    each = torch.stack(
        [
            -functional.logsigmoid((1 if a % 4 == b % 4 else -1) * logit(of, points[a], points[b]))
            for a, b in same + different
        ]
    )

    def value(**options: Any) -> float:
        return float(PairLoss(of, **options)(points, LABELS, as_tuple(same, different)))

    assert value() == value(reducer=reducers.MeanReducer()) == pytest.approx(float(each.mean()), rel=1e-5)
    assert value(reducer=reducers.SumReducer()) == pytest.approx(float(each.sum()), rel=1e-5)
    middle = float(each.median())
    assert value(reducer=reducers.ThresholdReducer(low=middle)) == pytest.approx(
        float(each[each > middle].mean()), rel=1e-5
    )
    assert value(reducer=reducers.AvgNonZeroReducer()) == pytest.approx(float(each.mean()), rel=1e-5)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    first = LABELS[[pair[0] for pair in same + different]]
    by_class = value(reducer=reducers.ClassWeightedReducer(weights))
    assert by_class == pytest.approx(float((each * weights[first]).mean()), rel=1e-5)
    by_anchor = torch.zeros(16)
    for anchor in {0, 1, 2, 9}:
        by_anchor[anchor] = each[[pair[0] == anchor for pair in same + different]].mean()
    assert value(reducer=reducers.PerAnchorReducer()) == pytest.approx(float(by_anchor.mean()), rel=1e-5)
    added = value(embedding_regularizer=LpRegularizer(p=1), embedding_reg_weight=0.5) - value()
    assert added == pytest.approx(0.5 * float(LpRegularizer(p=1)(points)), rel=1e-4)


def learns(loss: Any, *, miner: Any = None, steps: int = 60) -> float:
    """Train points and all weights of a loss; → the last value of the loss over the first."""
    torch.manual_seed(0)
    points = torch.nn.Parameter(embeddings().detach())
    optimiser = torch.optim.Adam([points, *loss.parameters()], lr=0.03)
    values = []
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss(points, LABELS, None if miner is None else miner(points, LABELS))
        value.backward()
        optimiser.step()
        values.append(value.item())
    return values[-1] / values[0]


@pytest.mark.parametrize("kind", [PairHead, ConcatHead])
def test_it_learns_inside_the_wrappers_of_pml(kind: Any) -> None:
    assert learns(PairLoss(head(kind))) < 0.5
    assert learns(losses.CrossBatchMemory(PairLoss(head(kind)), WIDTH, memory_size=32)) < 0.6
    memory = losses.CrossBatchMemory(
        PairLoss(head(kind)), WIDTH, memory_size=32, miner=miners.MultiSimilarityMiner(epsilon=2)
    )
    assert learns(memory) < 0.6
    both = losses.MultipleLosses([PairLoss(head(kind)), losses.SupConLoss()], weights=[1, 0.1])
    assert learns(both) < 0.6
    mined = losses.MultipleLosses({"head": PairLoss(head(kind))}, miners={"head": miners.BatchHardMiner()})
    assert learns(mined) < 0.6


@torch.no_grad()
def test_a_memory_is_asked_as_by_hand() -> None:
    of, first, second = head(), embeddings().detach(), embeddings(seed=1).detach()
    memory = losses.CrossBatchMemory(PairLoss(of), WIDTH, memory_size=64)
    memory(first, LABELS)

    both = torch.cat([first, second])
    pairs = [(a, b) for a in range(16) for b in range(32) if b != a + 16]
    same = [(a, b) for a, b in pairs if LABELS[a] == LABELS[b % 16]]
    different = [(a, b) for a, b in pairs if LABELS[a] != LABELS[b % 16]]
    assert memory(second, LABELS) == pytest.approx(float(naive(of, second, same, different, both)), rel=1e-5)


@torch.no_grad()
def test_self_supervision_takes_it_too() -> None:
    points, others = embeddings().detach(), embeddings(seed=1).detach()
    labels = torch.arange(16)
    loss = PairLoss(head())
    values = []
    for one in (
        lambda: losses.SelfSupervisedLoss(loss)(points, others),
        lambda: loss(torch.cat([points, others]), torch.cat([labels, labels])),
    ):
        torch.manual_seed(0)
        values.append(one())
    assert values[0] == values[1]
    assert torch.isfinite(losses.SelfSupervisedLoss(PairLoss(head()), symmetric=False)(points, others))


def half_of_two(process: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/port", rank=process, world_size=2)
    own = slice(8 * process, 8 * process + 8)
    found = {}
    for name, mined in (("efficient", None), ("whole", as_tuple(*GIVEN))):
        points = embeddings().detach()[own].requires_grad_()
        value = DistributedLossWrapper(PairLoss(head()), efficient=name == "efficient")(points, LABELS[own], mined)
        value.backward()
        found |= {f"{name} loss": value.detach(), f"{name} gradient": points.grad}
    points = embeddings().detach()[own]
    mined = DistributedMinerWrapper(miners.BatchHardMiner())(points, LABELS[own])
    found["mined"] = DistributedLossWrapper(PairLoss(head()))(points, LABELS[own], mined).detach()
    torch.save(found, folder / f"{process}.pt")
    torch.distributed.destroy_process_group()


GIVEN = [(0, 4), (4, 12)], [(0, 1), (9, 2)]
"""Rows of the embeddings of both processes, those of its own first."""


@pytest.mark.slow
def test_two_processes_each_see_the_embeddings_of_both(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(half_of_two, (tmp_path,), nprocs=2)
    points = embeddings().detach()
    pairs = [(a, b) for a in range(8) for b in range(16) if a != b]  # LABELS repeat after 4, so after 8
    all_pairs = (
        [(a, b) for a, b in pairs if LABELS[a] == LABELS[b]],
        [(a, b) for a, b in pairs if LABELS[a] != LABELS[b]],
    )
    for process, own, other in ((0, slice(0, 8), slice(8, 16)), (1, slice(8, 16), slice(0, 8))):
        found = torch.load(tmp_path / f"{process}.pt", weights_only=True)
        for name, (same, different) in (("efficient", all_pairs), ("whole", GIVEN)):
            mine = points[own].requires_grad_()
            value = 2 * naive(head(), torch.cat([mine, points[other]]), same, different)
            value.backward()
            torch.testing.assert_close(found[f"{name} loss"], value.detach(), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found[f"{name} gradient"], mine.grad, rtol=1e-4, atol=1e-6)
        whole, labels = torch.cat([points[own], points[other]]), LABELS
        expected = 2 * PairLoss(head())(whole, labels, miners.BatchHardMiner()(whole, labels))
        torch.testing.assert_close(found["mined"], expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [PairHead, ConcatHead])
def test_a_head_is_a_distance_of_any_pml_loss_or_miner(kind: Any) -> None:
    assert learns(losses.ContrastiveLoss(pos_margin=2, neg_margin=-2, distance=head(kind))) < 0.5
    of = head(kind)
    triplet = losses.TripletMarginLoss(margin=1.0, distance=of)
    assert learns(triplet, miner=miners.TripletMarginMiner(margin=1.0, distance=of)) < 0.5
    assert learns(losses.MultiSimilarityLoss(distance=head(kind))) < 1


@pytest.mark.parametrize("kind", [PairHead, ConcatHead])
def test_a_head_as_a_distance_has_the_gradients_of_its_rows(kind: Any) -> None:
    of, a, b = head(kind), embeddings(5), embeddings(7, seed=1)
    matrix = of(a, b)
    rows = torch.stack([of.pairwise_distance(row.expand_as(b), b) for row in a])
    weights = torch.linspace(-1, 1, 35).view(5, 7)

    torch.testing.assert_close(matrix, rows)
    for wanted in ([a, b], list(of.parameters())):
        left = torch.autograd.grad((matrix * weights).sum(), wanted, retain_graph=True, allow_unused=True)
        right = torch.autograd.grad((rows * weights).sum(), wanted, retain_graph=True, allow_unused=True)
        for one, other in zip(left, right, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_a_head_finds_neighbours_and_matches_through_pmls_inference() -> None:
    points, of = embeddings().detach(), head()
    scores = of(points)
    _, nearest = CustomKNN(of)(points, 3, points, False)
    assert torch.equal(nearest, scores.topk(3, dim=1).indices)
    matches = MatchFinder(distance=of, threshold=0.0).get_matching_pairs(points)
    assert torch.equal(torch.as_tensor(matches), scores > 0)


def test_precision_is_that_of_the_heads_weights() -> None:
    same, different = [(0, 4)], [(0, 1)]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        points = embeddings().detach().to(dtype)
        value = PairLoss(head())(points, LABELS, as_tuple(same, different))
        expected = PairLoss(head())(points.float(), LABELS, as_tuple(same, different))
        torch.testing.assert_close(value.float(), expected, rtol=1e-5, atol=1e-5)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_what_does_not_fit_is_one_sentence() -> None:
    points, loss = embeddings(), PairLoss(head())
    for distance in (losses.TripletMarginLoss().distance, CosineScorer(), None):
        with pytest.raises(InputError, match=r"PairLoss trains a pair head; .* has no weights"):
            PairLoss(distance)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="16 embeddings, but 3 labels"):
        loss(points, LABELS[:3])
    with pytest.raises(InputError, match=r"labels as a tensor, \(B,\); list was given"):
        loss(points, LABELS.tolist())
    with pytest.raises(InputError, match=r"3 tensors \(triplets\) or 4 \(pairs\)"):
        loss(points, LABELS, (LABELS, LABELS))
    with pytest.raises(InputError, match="takes embeddings of 8 numbers, not of 5"):
        loss(points[:, :5], LABELS)
    with pytest.raises(InputError, match="pair head is on cpu, the embeddings are on meta"):
        loss(points.to("meta"), LABELS, as_tuple([(0, 4)], [(0, 1)]))
    with pytest.raises(ValueError, match="labels and indices_tuple cannot both be None"):
        loss(points)
