"""Objectives: every kind learns, every PML loss and miner is had by name, and mistakes are named."""

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from morelli.errors import MorelliError
from morelli.models.heads import CosineScorer, DistanceScorer
from morelli.training.config import ObjectiveConfig
from morelli.training.objectives import OBJECTIVES, Objective, create_objective

WIDTH, ARTISTS = 8, 4
LABELS = torch.arange(16) % ARTISTS
LOSSES = [
    "SmoothAPLoss",
    "AngularLoss",
    "ArcFaceLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "FastAPLoss",
    "LiftedStructureLoss",
    "MarginLoss",
    "MultiSimilarityLoss",
    "NCALoss",
    "NormalizedSoftmaxLoss",
    "NPairsLoss",
    "NTXentLoss",
    "P2SGradLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
    "SupConLoss",
    "TripletMarginLoss",
    "TupletMarginLoss",
]
MINERS = [
    "AngularMiner",
    "BatchEasyHardMiner",
    "BatchHardMiner",
    "DistanceWeightedMiner",
    "MultiSimilarityMiner",
    "PairMarginMiner",
    "TripletMarginMiner",
    "UniformHistogramMiner",
]


def embeddings(rows: int = len(LABELS), seed: int = 0) -> Tensor:
    drawn = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1).requires_grad_()


def made(config: Any, **options: Any) -> Objective:
    torch.manual_seed(0)
    options = {"width": WIDTH, "artists": ARTISTS, "normalised": True} | options
    objective = create_objective(ObjectiveConfig.model_validate(config), **options)
    assert objective is not None
    return objective.eval()


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # SphereFaceLoss, inside PML
@pytest.mark.parametrize(
    "config",
    [
        *("triplet", "bce-pair", "bce-concat", "bce-onehot"),
        *({"loss": {"name": name}} for name in LOSSES),
        *({"kind": "triplet", "miner": {"name": name}} for name in MINERS),
        {"loss": {"name": "CrossBatchMemory", "memory_size": 64, "loss": {"name": "SupConLoss"}}},
    ],
    ids=str,
)
def test_every_objective_gives_a_finite_loss_with_gradients(config: Any) -> None:
    points = embeddings()
    objective = made(config, m=4, batch_size=16)
    loss, _ = objective(points, LABELS)
    if isinstance(config, dict) and config.get("loss", {}).get("name") == "CrossBatchMemory":
        loss, _ = objective(points, LABELS)
    loss.backward()
    assert torch.isfinite(loss)
    assert points.grad is not None
    assert points.grad.abs().sum() > 0


def test_frozen_has_no_objective() -> None:
    config = ObjectiveConfig.model_validate("frozen")
    assert create_objective(config, width=WIDTH, artists=ARTISTS, normalised=True) is None


def test_names_and_defaults() -> None:
    assert ObjectiveConfig.model_validate("triplet").loss["name"] == "TripletMarginLoss"
    assert ObjectiveConfig.model_validate({"loss": {"name": "SupConLoss"}}).name == "SupConLoss"
    assert ObjectiveConfig.model_validate({"kind": "triplet", "name": "mine"}).name == "mine"
    with pytest.raises(ValueError, match="needs a loss"):
        ObjectiveConfig.model_validate("metric")
    for name in ("../up", "a/b", "..", "/root"):
        with pytest.raises(ValueError, match="pattern"):
            ObjectiveConfig.model_validate({"kind": "triplet", "name": name})


def test_the_scorer_follows_from_the_embeddings() -> None:
    assert isinstance(made("triplet").scorer, CosineScorer)
    assert isinstance(made("triplet", normalised=False).scorer, DistanceScorer)
    assert made("bce-pair").scorer.pairwise_distance(embeddings(), embeddings()).shape == (len(LABELS),)


def test_arguments_reach_the_loss_the_miner_and_the_distance_inside() -> None:
    objective = made(
        {
            "kind": "triplet",
            "loss": {"name": "TripletMarginLoss", "margin": 0.3, "distance": {"name": "LpDistance", "p": 1}},
            "miner": {"name": "TripletMarginMiner", "type_of_triplets": "semihard"},
        }
    )
    loss: Any = objective.loss
    miner: Any = objective.miner
    assert (loss.margin, loss.distance.p, miner.type_of_triplets) == (0.3, 1, "semihard")


def test_arguments_of_a_triplet_loss_need_not_repeat_its_name() -> None:
    config = ObjectiveConfig.model_validate({"kind": "triplet", "loss": {"margin": 0.3}, "miner": {"margin": 0.2}})
    assert config.loss == {"name": "TripletMarginLoss", "margin": 0.3}
    assert config.miner == {"name": "TripletMarginMiner", "margin": 0.2, "type_of_triplets": "all"}
    other = ObjectiveConfig.model_validate({"kind": "triplet", "loss": {"name": "AngularLoss"}, "miner": {}})
    assert (other.loss, other.miner) == ({"name": "AngularLoss"}, {})


def test_plain_names_stand_for_losses_miners_and_their_parts() -> None:
    config = ObjectiveConfig.model_validate({"loss": "SupConLoss", "miner": "MultiSimilarityMiner"})
    assert (config.kind, config.name, config.loss, config.miner) == (
        "metric",
        "SupConLoss",
        {"name": "SupConLoss"},
        {"name": "MultiSimilarityMiner"},
    )
    loss: Any = made(
        {"loss": {"name": "ContrastiveLoss", "distance": "CosineSimilarity", "reducer": "SumReducer"}}
    ).loss
    assert [type(part).__name__ for part in (loss.distance, loss.reducer.reducers["pos_loss"])] == [
        "CosineSimilarity",
        "SumReducer",
    ]


def test_lists_and_dicts_of_parts_are_made() -> None:
    listed: Any = {
        "name": "MultipleLosses",
        "losses": ["SupConLoss", {"name": "ArcFaceLoss", "margin": 20}, {"name": "PairLoss", "distance": "ConcatHead"}],
        "miners": [
            None,
            "BatchHardMiner",
            {"name": "MultiSimilarityMiner", "distance": {"name": "LpDistance", "p": 1}},
        ],
        "weights": [1, 0.5, 0.1],
    }
    objective = made({"loss": listed})
    loss: Any = objective.loss
    assert [type(part).__name__ for part in loss.losses] == ["SupConLoss", "ArcFaceLoss", "PairLoss"]
    assert loss.losses[1].W.shape == (WIDTH, ARTISTS)
    assert [type(part).__name__ for part in loss.miners] == ["NoneType", "BatchHardMiner", "MultiSimilarityMiner"]
    assert loss.miners[2].distance.p == 1
    assert loss.weights == [1, 0.5, 0.1]
    assert objective.scorer is loss.losses[2].distance
    named: Any = made({"loss": {"name": "MultipleLosses", "losses": {"a": "SupConLoss", "b": {"name": "NTXentLoss"}}}})
    assert {key: type(part).__name__ for key, part in named.loss.losses.items()} == {
        "a": "SupConLoss",
        "b": "NTXentLoss",
    }
    regularised: Any = made(
        {
            "loss": {
                "name": "ArcFaceLoss",
                "embedding_regularizer": {"name": "LpRegularizer", "p": 1},
                "weight_regularizer": "RegularFaceRegularizer",
                "reducer": {"name": "ClassWeightedReducer", "weights": [1, 2, 3, 4]},
            }
        }
    ).loss
    assert regularised.embedding_regularizer.p == 1
    assert type(regularised.weight_regularizer).__name__ == "RegularFaceRegularizer"


@pytest.mark.parametrize("head", ["PairHead", "ConcatHead"])
@pytest.mark.parametrize("loss", ["ContrastiveLoss", "CrossBatchMemory"])
def test_the_head_that_a_loss_trains_scores_afterwards(head: str, loss: str) -> None:
    config: Any = {"name": loss, "distance": head}
    if loss == "CrossBatchMemory":
        config = {"name": loss, "memory_size": 64, "loss": {"name": "PairLoss", "distance": head}}
    objective = made({"loss": config})
    assert type(objective.scorer).__name__ == head
    inside: Any = objective.loss.loss if loss == "CrossBatchMemory" else objective.loss
    assert objective.scorer is inside.distance


def test_a_kind_takes_arguments_and_miners_as_any_loss() -> None:
    objective = made(
        {"kind": "bce-pair", "loss": {"embedding_regularizer": "LpRegularizer"}, "miner": "BatchHardMiner"}
    )
    plain = made({"kind": "bce-pair", "miner": "BatchHardMiner"})
    points = embeddings().detach()
    added = objective(points, LABELS)[0] - plain(points, LABELS)[0]
    assert added.item() == pytest.approx(1.0, abs=1e-4)  # the length of each embedding


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ({"loss": "DynamicSoftMarginLoss"}, {}, "backward through the graph a second time"),
        ({"kind": "triplet", "miner": "EmbeddingsAlreadyPackagedAsTriplets"}, {}, "triplets laid end to end"),
        ({"kind": "bce-pair", "miner": "EmbeddingsAlreadyPackagedAsPairs"}, {}, "pairs laid end to end"),
        (
            {
                "loss": {
                    "name": "MultipleLosses",
                    "losses": ["TripletMarginLoss"],
                    "miners": ["EmbeddingsAlreadyPackagedAsTriplets"],
                }
            },
            {},
            "triplets laid end to end",
        ),
        (
            {"loss": {"name": "CrossBatchMemory", "loss": "SupConLoss", "memory_size": 100}},
            {"batch_size": 128, "artists": 64},
            "does not work",
        ),
        ({"loss": {"name": "ArcFaceLoss", "num_classes": 3}}, {}, "does not work"),
        ({"loss": {"name": "ArcFaceLoss", "embedding_size": 9}}, {}, "does not work"),
        ({"loss": {"name": "NTXentLoss", "temperature": 0.0}}, {}, "it becomes nan"),
        (
            {"kind": "triplet", "miner": {"name": "TripletMarginMiner", "distance": "PairHead"}},
            {},
            "weights of its own",
        ),
        ({"loss": {"name": "ContrastiveLoss", "reducer": "DoNothingReducer"}}, {}, "gives a dict, not one number"),
        ({"loss": {"name": "MultipleLosses", "losses": ["SupConLos"]}}, {}, 'Did you mean "SupConLoss"'),
        ({"loss": {"name": "PairLoss", "distance": "LpDistance"}}, {}, "PairLoss trains a pair head"),
        (
            {"loss": {"name": "PairLoss", "distance": {"name": "PairHead", "width": 5}}},
            {},
            "takes embeddings of 5 numbers",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_training(config: Any, options: Any, words: str) -> None:
    with pytest.raises(MorelliError, match=re.escape(words)) as raised:
        made(config, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"loss": {"name": "TripletMarginLos"}}, ['no loss "TripletMarginLos"', 'Did you mean "TripletMarginLoss"?']),
        ({"kind": "triplet", "miner": {"name": "BatchHardMinor"}}, ['no miner "BatchHardMinor"', '"BatchHardMiner"?']),
        ({"loss": {"name": "BaseMetricLossFunction"}}, ["no loss"]),
        ({"loss": {"temperature": 1}}, ['no loss ""']),
        (
            {"loss": {"name": "SupConLoss", "temprature": 0.1}},
            ["SupConLoss does not take", "temprature", "temperature", "distance", "reducer"],
        ),
        ({"loss": {"name": "CosFaceLoss", "magrin": 1}}, ["CosFaceLoss does not take", "margin, scale"]),
        ({"loss": {"name": "ContrastiveLoss", "distance": {"name": "LpDistanse"}}}, ['no distance "LpDistanse"']),
        ({"loss": {"name": "ContrastiveLoss", "reducer": {"name": "MeanReduce"}}}, ['"MeanReducer"?']),
        ({"loss": {"name": "TripletMarginLoss", "margin": "wide"}}, ["TripletMarginLoss", "wide", "does not work"]),
        ({"loss": {"name": "VICRegLoss"}}, ["VICRegLoss", "not supported", "choose another loss"]),
    ],
)
def test_mistakes_are_named(config: Any, words: list[str]) -> None:
    with pytest.raises(MorelliError) as raised:
        made(config)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "sampling"), [("triplet", "pairs"), ("bce-pair", "triplets"), ("bce-concat", "triplets")]
)
def test_tuples_that_an_objective_would_read_wrongly_are_refused(kind: str, sampling: str) -> None:
    with pytest.raises(MorelliError, match=f"sampling={sampling}"):
        made(kind, sampling=sampling)


@pytest.mark.parametrize("distance", ["LpDistance", "CosineSimilarity"])
def test_share_of_active_triplets_equals_a_naive_loop(distance: str) -> None:
    margin = 0.2
    objective = made(
        {"kind": "triplet", "loss": {"name": "TripletMarginLoss", "margin": margin, "distance": {"name": distance}}}
    )
    points = embeddings().detach()
    _, logged = objective(points, LABELS)

    def apart(i: int, j: int) -> float:
        if distance == "LpDistance":
            return float(torch.linalg.vector_norm(points[i] - points[j]))
        return -float(points[i] @ points[j])

    active = [
        apart(a, p) + margin > apart(a, n)
        for a, p, n in itertools.permutations(range(len(LABELS)), 3)
        if LABELS[a] == LABELS[p] != LABELS[n]
    ]
    assert 0 < sum(active) < len(active)
    assert logged["active_triplets"] == pytest.approx(sum(active) / len(active))


def test_active_triplets_of_a_batch_without_any() -> None:
    _, logged = made("triplet")(embeddings(), torch.arange(len(LABELS)))
    assert logged["active_triplets"] == 0


def test_packaged_pairs_and_triplets_are_taken_as_they_come() -> None:
    pairs = made("bce-pair", sampling="pairs").requires_grad_(False)
    points = embeddings(6).detach()
    logits = pairs.scorer.pairwise_distance(points[0::2], points[1::2])
    same = torch.tensor([1.0, 0.0, 1.0])
    loss, _ = pairs(points, torch.tensor([0, 0, 1, 2, 2, 2]))
    each = functional.binary_cross_entropy_with_logits(logits, same, reduction="none")
    assert float(loss) == pytest.approx(float(each[same == 1].mean() + each[same == 0].mean()) / 2, rel=1e-5)

    margin = 0.5
    config = {
        "kind": "triplet",
        "loss": {"name": "TripletMarginLoss", "margin": margin, "reducer": {"name": "MeanReducer"}},
    }
    triplets = made(config, sampling="triplets", normalised=False)
    points = embeddings(9).detach()
    loss, _ = triplets(points, torch.tensor([0, 0, 1, 2, 2, 0, 1, 1, 2]))
    anchors, positives, negatives = points[0::3], points[1::3], points[2::3]
    naive = functional.triplet_margin_loss(anchors, positives, negatives, margin=margin, eps=0)
    assert float(loss) == pytest.approx(float(naive), rel=1e-5)


OWN = """
import torch
from morelli.models.heads import Scorer
from morelli.training.objectives import Objective

class Head(Scorer):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(width))
    def pairwise_distance(self, query_emb, ref_emb):
        return ((query_emb @ self.weight) * ref_emb).sum(-1)

class Own(Objective):
    place = 60
    parts = {"loss": {"name": "PairLoss", "distance": "objective_of_a_test:Head"}}

class Broken(Own):
    @classmethod
    def create(cls, config, setup):
        raise KeyError("lost")

made, Number = Own, 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "objective_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("objective_of_a_test", None)


@pytest.mark.usefixtures("own")
def test_an_objective_of_ones_own_is_named_by_its_dotted_path() -> None:
    objective = made("objective_of_a_test:Own")
    points = embeddings()
    loss, figures = objective(points, LABELS)
    loss.backward()
    assert ObjectiveConfig.model_validate("objective_of_a_test:Own").name == "Own"
    assert type(objective.scorer).__name__ == "Head"
    assert objective.scorer is objective.loss.distance
    assert not objective.takes_untrained
    assert set(figures) == {"pair_accuracy"}
    in_place = {"loss": {"name": "ContrastiveLoss", "distance": "objective_of_a_test:Head"}}
    assert type(made(in_place).scorer).__name__ == "Head"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("objective_of_a_test:Onw", ["objective_of_a_test:Onw must be a subclass of", 'no "Onw". Did you mean "Own"?']),
        ("objective_of_a_test:Number", ["Objective, but it is of type int"]),
        ("objective_of_a_test:Head", ["Objective, but it is the class Head"]),
        ("no_such_module_of_a_test:Own", ["importing no_such_module_of_a_test failed"]),
        ("objective_of_a_test:Broken", ["objective_of_a_test:Broken must be an objective", "KeyError: 'lost'"]),
        ("triplett", ['there is no objective "triplett"', 'Did you mean "triplet"?', "package.module:Name"]),
    ],
)
@pytest.mark.usefixtures("own")
def test_mistakes_in_a_kind_are_one_sentence(kind: str, words: list[str]) -> None:
    with pytest.raises((MorelliError, ValueError)) as raised:
        made(kind)
    for word in words:
        assert word in str(raised.value)


def test_the_table_says_what_each_kind_can_do() -> None:
    assert sorted(OBJECTIVES, key=lambda kind: OBJECTIVES[kind].place) == [
        *("frozen", "triplet", "bce-pair", "bce-concat", "bce-onehot", "metric")
    ]
    assert [kind for kind in OBJECTIVES if not OBJECTIVES[kind].trains] == ["frozen"]
    takes = {kind: made(kind).takes_untrained for kind in ("triplet", "bce-pair", "bce-concat", "bce-onehot")}
    assert takes == {"triplet": True, "bce-pair": False, "bce-concat": False, "bce-onehot": False}
    points = embeddings().detach()
    measured = made("bce-onehot").measure(points, LABELS)
    assert 0 <= measured["classifier_accuracy"] <= 1
    assert made("triplet").measure(points, LABELS) == {}
