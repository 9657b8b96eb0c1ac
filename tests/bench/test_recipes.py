"""The built-in recipes: the quick one learns what it is for, and all of them fit together."""

from pathlib import Path

import pandas as pd
import pytest

from morelli.bench.compare_runs import compare_runs
from morelli.bench.grid import fit_grid, grid
from morelli.bench.recipe import built_in_recipes, load_recipe
from morelli.bench.runner import bench
from morelli.models.weights import weights_at_hand
from morelli.synthetic.painters import SyntheticPainters

RECIPES = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_makes_a_grid(path: Path) -> None:
    assert grid(load_recipe(path))


def test_recipes_are_found_by_name() -> None:
    assert {"demo", "competition", "painters", "painters_mini", "painters_large", "seed"} <= set(built_in_recipes())


def test_the_demo_has_the_default_objective_beside_the_five_and_fits_its_painters() -> None:
    demo = load_recipe()
    default, wanted = grid(demo)[0], grid(load_recipe("painters_mini"))[0]
    assert default.objective.loss == wanted.objective.loss
    assert default.head == wanted.head
    assert {"frozen", "triplet", "bce-pair", "bce-concat", "bce-onehot"} == {one.name for one in demo.objectives[1:]}
    assert "frozen" in demo.caption
    assert demo.data is None
    ids = [
        f"{artist} {work}"
        for artist in range(demo.synthetic.artists)
        for work in range(demo.synthetic.paintings_per_artist)
    ]
    paintings = pd.DataFrame({"id": ids, "artist": [one.split()[0] for one in ids]})
    points, notes = fit_grid(grid(demo), paintings)
    assert not notes
    assert len(points) == len(demo.objectives)
    assert all(one.recipe == demo and one.training.batch_size == demo.training.batch_size for one in points)


@pytest.mark.skipif(weights_at_hand("tf_efficientnet_lite0") != "packaged", reason="needs the packaged weights")
def test_the_quick_recipe_beats_frozen_features_on_hands_it_never_saw(tmp_path: Path) -> None:
    SyntheticPainters(artists=120, paintings_per_artist=8, size=64).write(tmp_path / "prepared", workers=1)
    recipe = load_recipe(
        "painters_mini",
        [
            f"data={tmp_path / 'prepared'}",
            "split={kind: fraction, unseen_fraction: 0.3, validation_fraction: 0.15}",
            "backbones.0.image_size=64",
            "training.batch_size=128",
            # A loss from which nothing is learned, beside the recipe's own.
            "objectives=[{name: supcon, loss: {name: SupConLoss, temperature: 0.07}, head: {keep: 0.7}}, frozen,"
            " {name: idle, loss: {name: SupConLoss}, head: {keep: 0.7}, training: {learning_rate: 1.0e-12}}]",
        ],
        quick=True,
    )
    learned, frozen, idle = bench(recipe, tmp_path / "runs")

    assert learned.metrics["unseen"]["pair_auc"] > frozen.metrics["unseen"]["pair_auc"] + 0.03
    assert idle.metrics["unseen"]["pair_auc"] < frozen.metrics["unseen"]["pair_auc"] + 0.01
    assert compare_runs(learned.path, frozen.path, ["pair_auc"])["low"].item() > 0
