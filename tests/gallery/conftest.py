"""A tiny trained network, another one, and a folder of pictures to use them on."""

from pathlib import Path

import pytest
import yaml

from morelli import Painters, SyntheticPainters, load_recipe, train

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.3, "validation_fraction": 0.4},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 64, "pool": "stages"}],
    "objectives": ["triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 10, "batch_size": 16, "m": 2, "validate_every": 2},
}


@pytest.fixture(scope="session")
def train_tiny(tmp_path_factory: pytest.TempPathFactory):
    """Train the tiny recipe with some keys replaced; gives the run folder's path."""
    prepared = tmp_path_factory.mktemp("prepared") / "hands"
    SyntheticPainters(artists=30, paintings_per_artist=7, size=64).write(prepared, workers=1)

    def run(name: str, **changes) -> Path:
        folder = tmp_path_factory.mktemp(name)
        (folder / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, **changes, "data": str(prepared)}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MORELLI_CACHE", str(folder / "cache"))
            return train(load_recipe(folder / "tiny.yaml"), folder / "run").path

    return run


@pytest.fixture(scope="session")
def model(train_tiny) -> Path:
    return train_tiny("model")


@pytest.fixture(scope="session")
def other_model(train_tiny) -> Path:
    """A network with other weights."""
    return train_tiny("other", seeds=[1])


@pytest.fixture(scope="session")
def painters(model: Path) -> Painters:
    return Painters.load(model)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Nine pictures by three artists, at two depths."""
    folder = tmp_path / "pictures"
    hands = SyntheticPainters(artists=3, paintings_per_artist=3, size=96, seed=7)
    for artist in range(3):
        for painting in range(3):
            inner = folder / f"artist-{artist}" / ("deep" if painting else ".")
            inner.mkdir(parents=True, exist_ok=True)
            hands.paint(artist, painting).save(inner / f"{painting}.png")
    return folder
