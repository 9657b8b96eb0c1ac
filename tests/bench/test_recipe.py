"""Recipes: what is read, what overrides change, and how mistakes are named."""

from pathlib import Path

import pytest

from morelli.bench.grid import fit_grid, grid
from morelli.bench.recipe import built_in_recipes, load_recipe
from morelli.cli._options import overrides_of
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError

RECIPE = """
name: mine
split: {kind: fraction}
backbones: [test_vit, {name: test_resnet, weights: none, image_size: 64}]
objectives: [frozen, triplet, {loss: {name: SupConLoss, temperature: 0.2}, training: {epochs: 3}}]
training: {epochs: 7, batch_size: 16}
seeds: [0, 1]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize("name", built_in_recipes())
def test_every_built_in_recipe_loads_and_makes_a_grid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert grid(recipe)
    assert load_recipe(f"configs/{name}.yaml") == recipe


def test_who_is_known_to_the_weights_of_a_backbone_does_not_validate(recipe: Path) -> None:
    assert load_recipe(recipe).split.unknown_to is None
    tuned = ["backbones.0={name: tf_efficientnet_lite0, weights: painters}"]
    assert load_recipe(recipe, tuned).split.unknown_to == "painters"
    assert load_recipe(recipe, [*tuned, "split.unknown_to="]).split.unknown_to is None


def test_the_built_in_recipes_are_the_promised_ones() -> None:
    assert {"demo", "competition", "painters", "painters_mini", "seed"} <= set(built_in_recipes())
    assert load_recipe() == load_recipe("demo")


def test_short_forms_and_defaults(recipe: Path) -> None:
    loaded = load_recipe(recipe)
    assert [backbone.name for backbone in loaded.backbones] == ["test_vit", "test_resnet"]
    assert [objective.name for objective in loaded.objectives] == ["frozen", "triplet", "SupConLoss"]
    assert loaded.training.m == 4


def test_a_number_is_a_number_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_text(RECIPE.replace("0.2", "2e-1").replace("epochs: 7", "epochs: 7, learning_rate: 1E-3"))

    loaded = load_recipe(path, ["objectives.0=triplet", "objectives.2.loss.base_temperature=5e-2", "split.seed=1e1"])

    assert loaded.objectives[2].loss == {"name": "SupConLoss", "temperature": 0.2, "base_temperature": 0.05}
    assert loaded.training.learning_rate == 1e-3
    assert loaded.split.seed == 10


@pytest.mark.parametrize(
    "folder", ["2024", "1e-1", "2024-05-01", "no", "a: b", "null", "[x]", "Émile 🎨", "x" * 90 + " y"]
)
def test_a_folder_is_a_folder_whatever_its_name(folder: str, recipe: Path) -> None:
    assert load_recipe(recipe, overrides_of(Path(folder), ["training.epochs=9"])).data == Path(folder)


def test_the_grid_is_backbones_by_objectives_by_folds_by_seeds(recipe: Path) -> None:
    points = grid(load_recipe(recipe, ["split.kind=folds", "split.folds=3"]))
    assert len(points) == len({point.folder_name for point in points}) == 2 * 3 * 3 * 2
    assert {point.training.epochs for point in points if point.objective.name == "SupConLoss"} == {3}
    assert {point.training.epochs for point in points if point.objective.name == "triplet"} == {7}


def test_overrides_reach_values_sections_lists_and_list_items(recipe: Path) -> None:
    loaded = load_recipe(
        recipe,
        [
            *("training.epochs=9", "seeds=[4,5,6]", "head.width=32", "data=some/folder", "seeds.1=8"),
            *("backbones.0.image_size=96", "backbones.1.name=test_efficientnet", "objectives.1=bce-pair"),
            "objectives.2.loss.temperature=0.5",
        ],
    )
    assert (loaded.training.epochs, loaded.seeds, loaded.head.width) == (9, (4, 8, 6), 32)
    assert loaded.data == Path("some/folder")
    assert (loaded.backbones[0].name, loaded.backbones[0].image_size) == ("test_vit", 96)
    assert loaded.backbones[1].name == "test_efficientnet"
    assert loaded.objectives[1].kind == "bce-pair"
    assert loaded.objectives[2].loss["temperature"] == 0.5


def test_an_override_of_an_objective_that_is_a_plain_name(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["objectives.1.training={epochs: 2}"])
    assert grid(loaded)[2].training.epochs == 2
    assert loaded.objectives[1].kind == "triplet"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epoch=3", ['unknown key "training.epoch"', 'Did you mean "epochs"?']),
        ("backbones.1.pol=stages", ['unknown key "backbones.1.pol"', 'Did you mean "pool"?']),
        ("objectives.2.minor={}", ['unknown key "objectives.2.minor"', 'Did you mean "miner"?']),
        ("trainning.epochs=3", ['unknown key "trainning"', 'Did you mean "training"?']),
        ("objectives.1=tripet", ["objectives.1.kind", "tripet", 'Did you mean "triplet"?']),
        ("split.kind=competiton", ["split.kind", 'Did you mean "competition"?']),
        ("training.epochs=many", ["training.epochs", "many", "integer"]),
        ("training.epochs=0", ["training.epochs", "greater than or equal to 1"]),
        ("objectives.1=metric", ["objectives.1", "needs a loss"]),
        ("name=../elsewhere", ["name: '../elsewhere' becomes a folder's name; use letters"]),
        ("backbones=[]", ["backbones", "at least 1 item"]),
        ("training.epochs", ["takes key=value", "training.epochs=10"]),
        ("training.epochs=[1", ["not YAML"]),
        ("name.first=x", ['"name" is a single value']),
        ("seeds.5=1", ['"5" is not one of', "0 to 1"]),
        ("seeds.last=1", ['"last" is not one of']),
        ("backbones.first.name=x", ['"first" is not one of']),
    ],
)
def test_wrong_overrides_are_named(override: str, words: list[str], recipe: Path) -> None:
    with pytest.raises(MorelliError) as raised:
        load_recipe(recipe, [override])
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("objectives.2.training.epohs=3", ["training of objective SupConLoss", '"epohs"', 'Did you mean "epochs"?']),
        ("objectives.2.head={widht: 3}", ["head of objective SupConLoss", 'Did you mean "width"?']),
        ("objectives.2.loss.name=SupConLos", ['no loss "SupConLos"', 'Did you mean "SupConLoss"?']),
        ("objectives.2.miner={name: BatchHard}", ['no miner "BatchHard"', 'Did you mean "BatchHardMiner"?']),
        ("objectives.2.loss.margin=1", ["SupConLoss does not take", "temperature"]),
        ("backbones.0=test_vitt", ['no backbone "test_vitt"', 'Did you mean "test_vit']),
        ("objectives.2=triplet", ["two runs called test_"]),
        ("seeds=[1,1]", ["two runs called", "each seed once"]),
    ],
)
def test_what_the_grid_refuses_before_anything_runs(override: str, words: list[str], recipe: Path) -> None:
    with pytest.raises(MorelliError) as raised:
        grid(load_recipe(recipe, [override]))
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.m=40", ["m=40", "would"]),
        ("split.kind=competition", ["no unseen artist", "split.kind=fraction"]),
    ],
)
def test_what_does_not_fit_the_paintings_is_refused(
    override: str, words: list[str], recipe: Path, prepared: Path
) -> None:
    paintings = read_paintings(prepared)
    fit_grid(grid(load_recipe(recipe)), paintings)
    with pytest.raises(MorelliError) as raised:
        fit_grid(grid(load_recipe(recipe, [override])), paintings)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["training.batch_size=300"],
            ["Batches fitted to 8 training artists", "training.batch_size=32 instead of 300"],
        ),
        (
            ["training.m=8", "training.batch_size=16"],
            ["Batches fitted to 8 training artists: training.m=4 instead of 8."],
        ),
        (["split.kind=seed"], ["Split fitted to 12 artists", "split.train_artists=8 instead of 800", "8 train"]),
        (["split.kind=folds", "split.folds=9"], ["split.folds=6 instead of 9", "2 are unseen in the first fold"]),
    ],
)
def test_numbers_are_fitted_to_the_paintings_recorded_and_said(
    overrides: list[str], words: list[str], recipe: Path, prepared: Path
) -> None:
    paintings = read_paintings(prepared)
    asked = grid(load_recipe(recipe, overrides))
    points, notes = fit_grid(asked, paintings)
    for word in words:
        assert word in " ".join(notes)
    assert [point.resolved("") for point in points] != [point.resolved("") for point in asked]
    again, nothing = fit_grid(points, paintings)
    assert nothing == []
    assert [point.resolved("") for point in again] == [point.resolved("") for point in points]


def test_a_missing_file_names_the_built_in_recipes() -> None:
    with pytest.raises(MorelliError, match=r'no recipe deno.*Did you mean "demo"\?.*painters_mini'):
        load_recipe("deno")
    with pytest.raises(MorelliError, match=r"no recipe elsewhere/demo\.yaml"):
        load_recipe("elsewhere/demo.yaml")


@pytest.mark.parametrize("text", ["a: [1", "\tname: x", "a: b: c"])
def test_a_file_that_is_not_yaml(text: str, recipe: Path) -> None:
    recipe.write_text(text)
    with pytest.raises(MorelliError, match=r"mine\.yaml is not YAML"):
        load_recipe(recipe)


@pytest.mark.parametrize("text", ["", "- a list", "just words", "3"])
def test_a_file_that_is_no_recipe(text: str, recipe: Path) -> None:
    recipe.write_text(text)
    with pytest.raises(MorelliError, match=r"mine\.yaml is not a recipe"):
        load_recipe(recipe)


def test_a_picture_instead_of_a_recipe(recipe: Path) -> None:
    recipe.write_bytes(b"\xff\xd8\xff\xe0 JFIF \x00")
    with pytest.raises(MorelliError, match="is not YAML"):
        load_recipe(recipe)


def test_missing_keys_are_named(recipe: Path) -> None:
    recipe.write_text("name: x\n")
    with pytest.raises(MorelliError, match=r"backbones: Field required; objectives: Field required"):
        load_recipe(recipe)


def test_yaml_that_would_run_code_is_refused(recipe: Path) -> None:
    recipe.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(MorelliError, match="is not YAML"):
        load_recipe(recipe)
