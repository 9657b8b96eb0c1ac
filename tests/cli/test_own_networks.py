"""A network that was trained elsewhere goes through every command, and a module of one's own through a recipe."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import yaml
from torch import nn
from torchvision.transforms import v2

from morelli import Network, Painters, PaintersByNumbers, evaluate, evaluate_network
from morelli.bench.recipe import load_recipe
from morelli.bench.runner import bench
from morelli.cli import main
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.evaluation.shift import CONDITIONS
from morelli.models.embedder import embed
from morelli.models.heads import CosineScorer

Command = Callable[..., tuple[int, str, str]]
SHOWN = v2.Compose(
    [v2.Resize((64, 64)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
)


class Own(nn.Module):
    """A trunk that no library makes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(images)
        return features


@pytest.fixture
def morelli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process; gives its status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["morelli", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="module")
def network(prepared: Path) -> Network:
    torch.manual_seed(0)
    trunk = timm.create_model("test_resnet", pretrained=False, num_classes=0)
    artists = sorted(read_paintings(prepared)["artist"].unique())[:5]
    return Network.of(trunk, nn.Linear(96, 16), transform=SHOWN, name="elsewhere", training_artists=artists)


def test_it_is_measured_as_its_embeddings_are(network: Network, prepared: Path) -> None:
    dataset = PaintersByNumbers(prepared, transform=SHOWN)
    is_seen = dataset.paintings["artist"].isin(network.card.training_artists)
    embeddings = embed(network, dataset, torch.device("cpu"))

    measured = evaluate_network(network, prepared)

    assert (measured["model"], measured["objective"]) == ("in memory", "elsewhere")
    for side, chosen in (("seen", is_seen), ("unseen", ~is_seen)):
        rows = dataset.paintings[chosen].reset_index(drop=True)
        expected = evaluate(embeddings[torch.tensor(chosen.to_numpy())], rows, CosineScorer()).metrics
        assert measured[side]["artists"] == rows["artist"].nunique()
        for metric in ("pair_auc", "precision_at_1", "mean_average_precision_at_r"):
            assert measured[side][metric] == pytest.approx(expected[metric], abs=1e-6)


def test_every_command_takes_its_folder(network: Network, prepared: Path, morelli: Command, tmp_path: Path) -> None:
    model, index = tmp_path / "model", tmp_path / "some.index"
    network.save(model)
    images = prepared / "images"
    one, *_, other = sorted(images.rglob("*.jpg"))
    folder = tmp_path / "enrolled"
    folder.mkdir()
    shutil.copy(other, folder)

    status, said, _ = morelli("evaluate", "--model", model, "--data", prepared, "--json")
    assert status == 0
    assert json.loads(said)["unseen"]["pair_auc"] == pytest.approx(
        evaluate_network(network, prepared)["unseen"]["pair_auc"]
    )
    status, said, _ = morelli("compare", one, other, "--model", model, "--explain", tmp_path / "why.png", "--json")
    assert status == 0
    embeddings = Painters(network, model).embed([one, other])
    assert json.loads(said)["score"] == pytest.approx(
        float(torch.cosine_similarity(embeddings[0], embeddings[1], dim=0)), abs=1e-5
    )
    for arguments in (
        ("index", images, "--model", model, "--out", index),
        ("search", index, one),
        ("enroll", index, folder, "--artist", "Ada"),
        ("identify", index, one),
    ):
        status, _, err = morelli(*arguments)
        assert status == 0, err
    pytest.importorskip("onnxscript", reason="needs the extra export")
    status, said, err = morelli("export", "--model", model, "--onnx", tmp_path / "mine.onnx")
    assert status == 0, err
    about = json.loads((tmp_path / "mine.onnx.json").read_text())
    assert [step["name"] for step in about["inputs"]["images"]["transform"]] == [
        "Resize",
        "ToImage",
        "ToDtype",
        "Normalize",
    ]


OWN_CONDITION = """
from PIL import ImageOps
from morelli.evaluation.shift import Condition

UPSIDE_DOWN = Condition("upside down", "turned over", ImageOps.flip)
"""


def test_it_is_measured_on_pictures_of_other_kinds(
    network: Network, prepared: Path, morelli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, index = tmp_path / "model", tmp_path / "some.index"
    network.save(model)
    (tmp_path / "conditions_of_mine.py").write_text(OWN_CONDITION)
    monkeypatch.chdir(tmp_path)
    about = ("evaluate", "--model", model, "--data", prepared)

    status, said, _ = morelli(*about, "--shift", "--with-condition", "conditions_of_mine:UPSIDE_DOWN", "--json")
    assert status == 0
    measured = json.loads(said)
    assert list(measured["shift"]) == [*(one.name for one in CONDITIONS), "upside down"]
    aucs = {name: one["unseen"]["pair_auc"] for name, one in measured["shift"].items()}
    status, said, _ = morelli(*about, "--shift", "--out", tmp_path / "measured")
    assert status == 0
    assert json.loads((tmp_path / "measured" / "metrics.json").read_text())["shift"].keys() == {*aucs} - {"upside down"}
    lines = {line.split("│")[1].strip(): line for line in said.splitlines() if line.startswith("│")}
    assert list(lines) == ["as they are", *list(aucs)[:-1]]
    for name, line in list(lines.items())[1:]:
        assert f" {aucs[name]:.3f} " in line

    assert morelli("index", prepared / "images", "--model", model, "--out", index)[0] == 0
    for mistake, why in (
        (("evaluate", "--model", model, "--data", index, "--shift"), str(index)),
        ((*about, "--with-condition", "conditions_of_mine:UPSIDE"), 'Did you mean "UPSIDE_DOWN"?'),
        ((*about, "--with-condition", "upside down"), "package.module:Name"),
    ):
        status, _, said = morelli(*mistake)
        assert status == 2
        assert why in said
        assert "Traceback" not in said
        assert len(said.strip().splitlines()) == 1


def test_a_folder_that_holds_no_such_code_is_one_sentence(prepared: Path, morelli: Command, tmp_path: Path) -> None:
    Network.of(Own(), transform=SHOWN).save(tmp_path / "model")

    status, _, said = morelli("evaluate", "--model", tmp_path / "model", "--data", prepared)

    assert status == 2
    assert "Network.load(" in said
    assert "trunk=" in said
    assert "Traceback" not in said
    loaded = Network.load(tmp_path / "model", trunk=Own())
    assert "unseen" in evaluate_network(loaded, prepared)


OWN = """
import torch
from torch import nn
from torchvision.transforms import v2

class Trunk(nn.Sequential):
    pass

def make():
    torch.manual_seed(0)
    steps = [v2.Resize((32, 32)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    return Trunk(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), v2.Compose(steps)

def nothing():
    return None
"""
RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25, "seen_fraction": 0.5},
    "backbones": [{"name": "own_trunk_of_a_test:make"}],
    "objectives": ["frozen", "triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 8, "m": 2, "validate_every": 1},
}


@pytest.fixture
def recipe(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    (tmp_path / "own_trunk_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)

    def write(backbone: str) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, "backbones": [{"name": backbone}], "data": str(prepared)}))
        return path

    return write


def test_a_recipe_names_a_module_of_ones_own(recipe: Callable[[str], Path], prepared: Path, tmp_path: Path) -> None:
    runs = bench(load_recipe(recipe("own_trunk_of_a_test:make")), tmp_path / "out")

    assert [run.failure for run in runs] == [None, None]
    assert [run.path.name for run in runs] == ["make-frozen-fold0-seed0", "make-triplet-fold0-seed0"]
    sys.modules.pop("own_trunk_of_a_test")
    with pytest.raises(MorelliError, match="trunk"):
        Network.load(runs[1].path)
    assert "own_trunk_of_a_test" not in sys.modules  # a folder never imports
    from own_trunk_of_a_test import make

    measured = evaluate_network(Network.load(runs[1].path, trunk=make()[0]), prepared)
    assert measured["seen"]["pair_auc"] == pytest.approx(runs[1].metrics["seen"]["pair_auc"], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own_trunk_of_a_test:missing", 'own_trunk_of_a_test has no "missing"'),
        (
            "no_such_module:make",
            "failed (ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("own_trunk_of_a_test:nothing", "must give a module and its transform"),
    ],
)
def test_what_a_recipe_names_must_be_there(
    recipe: Callable[[str], Path], tmp_path: Path, name: str, expected: str
) -> None:
    runs = bench(load_recipe(recipe(name)), tmp_path / "out")
    assert all(expected in (run.failure or "") for run in runs)


def test_a_module_of_ones_own_brings_its_settings(recipe: Callable[[str], Path]) -> None:
    with pytest.raises(MorelliError, match="brings its own settings, so image_size cannot be set"):
        load_recipe(recipe("own_trunk_of_a_test:make"), ["backbones.0.image_size=64"])
