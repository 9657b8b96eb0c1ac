"""Any loss in a recipe: trained, saved with its scorer and measured, or the failure of its own row."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from morelli import MorelliError, Network, load_recipe
from morelli.bench.runner import bench

MEMORY = {"name": "CrossBatchMemory", "memory_size": 64, "loss": {"name": "PairLoss", "distance": "ConcatHead"}}
SEVERAL = {"name": "MultipleLosses", "losses": ["SupConLoss", "ProxyAnchorLoss"], "weights": [1, 0.1]}
OBJECTIVES: list[Any] = [
    "frozen",
    {"name": "keeps a graph", "loss": "DynamicSoftMarginLoss"},
    {"name": "misreads", "kind": "triplet", "miner": "EmbeddingsAlreadyPackagedAsTriplets"},
    {"name": "several", "loss": SEVERAL},
    {
        "name": "distance",
        "loss": {"name": "ContrastiveLoss", "distance": "PairHead", "pos_margin": 1, "neg_margin": -1},
    },
    {"name": "memory", "loss": MEMORY, "miner": "BatchHardMiner"},
]


def recipe_with(prepared: Path, folder: Path, objectives: list[Any], overrides: tuple[str, ...] = ()) -> Any:
    content = {
        "name": "any",
        "data": str(prepared),
        "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
        "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
        "objectives": objectives,
        "head": {"hidden": [8], "width": 8},
        "training": {"epochs": 2, "batch_size": 8, "m": 2, "validate_every": 1},
    }
    path = folder / "any.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_recipe(path, overrides)


def test_a_row_that_cannot_be_trained_is_that_rows_failure(prepared: Path, tmp_path: Path) -> None:
    said: list[str] = []
    runs = bench(recipe_with(prepared, tmp_path, OBJECTIVES), tmp_path / "runs", say=said.append)

    failures = [run.failure for run in runs]
    assert [failure is None for failure in failures] == [True, False, False, True, True, True]
    assert "second time" in str(failures[1])
    assert "triplets laid end to end" in str(failures[2])
    assert sum("keeps a graph cannot be trained" in line for line in said) == 1  # before anything is computed
    scorers = [type(Network.load(run.path).scorer).__name__ for run in runs if run.failure is None]
    assert scorers == ["CosineScorer", "CosineScorer", "PairHead", "ConcatHead"]
    assert all(0 <= run.metrics["unseen"]["pair_auc"] <= 1 for run in runs if run.failure is None)


def test_a_bench_of_nothing_but_such_rows_is_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="second time"):
        bench(recipe_with(prepared, tmp_path, [{"loss": "DynamicSoftMarginLoss"}]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_loss_is_set_by_its_name(prepared: Path, tmp_path: Path) -> None:
    overrides = ("objectives.1.loss=SupConLoss", "objectives.1.miner=MultiSimilarityMiner")
    objective = recipe_with(
        prepared, tmp_path, ["frozen", {"name": "mine", "loss": "NTXentLoss"}], overrides
    ).objectives[1]

    assert (objective.name, objective.loss, objective.miner) == (
        "mine",
        {"name": "SupConLoss"},
        {"name": "MultiSimilarityMiner"},
    )


def test_untrained_features_cannot_stand_behind_embeddings_that_a_head_scores(prepared: Path, tmp_path: Path) -> None:
    for loss in ({"name": "PairLoss", "distance": "PairHead"}, MEMORY):
        recipe = recipe_with(prepared, tmp_path, [{"loss": loss, "head": {"keep": 0.5}}])
        with pytest.raises(MorelliError, match=r"Set head\.untrained_weight to 0"):
            bench(recipe, tmp_path / "runs")
