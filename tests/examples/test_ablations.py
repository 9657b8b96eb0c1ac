"""The ablations, named by dotted paths: auxiliary losses, batches of a style, classification first, covariances."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from examples.ablations import back_ends, distil_heads, mix_heads, vlad
from examples.ablations.covariance import CovarianceStages, lite0_6stages_160px
from examples.ablations.tune_backbones import Paintings, halfway, tune
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from morelli.bench.grid import grid
from morelli.bench.recipe import load_recipe
from morelli.bench.runner import bench
from morelli.data.artists import artist_key
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import TABLE
from morelli.data.splits import Split, SplitConfig, split_paintings
from morelli.errors import MorelliError
from morelli.models.backbones import Backbone
from morelli.models.config import BackboneConfig
from morelli.models.heads import CosineScorer
from morelli.training.config import ObjectiveConfig
from morelli.training.objectives import Objective, create_objective

WIDTH, ARTISTS = 8, 4
LABELS = torch.arange(16) % ARTISTS
SUPCON = {"name": "SupConLoss"}
LABELLED = "examples.ablations.labels:WithLabels"
CLASSIFIED = "examples.ablations.classify_first:ClassifyFirst"
TINY: dict[str, Any] = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "head": {"hidden": [8], "width": 8, "dropout": 0.1},
    "training": {"epochs": 4, "batch_size": 8, "m": 2, "validate_every": 1},
}


def embeddings() -> Tensor:
    drawn = torch.randn(len(LABELS), WIDTH, generator=torch.Generator().manual_seed(0))
    return functional.normalize(drawn, dim=1).requires_grad_()


def made(config: Any, **setup: Any) -> Objective:
    torch.manual_seed(0)
    setup = {"width": WIDTH, "artists": ARTISTS, **setup}
    objective = create_objective(ObjectiveConfig.model_validate(config), **setup)
    assert objective is not None
    return objective.eval()


def test_auxiliary_losses_are_added_with_their_weights() -> None:
    style_of = [label % 3 for label in range(ARTISTS)]
    config = {"kind": LABELLED, "loss": SUPCON, "options": {"losses": {"style": 0.25}}}
    paintings = pd.DataFrame({"style": [f"style {number}" for number in style_of]})
    both = made(config, paintings=paintings, labels=range(ARTISTS))
    styles = NormalizedSoftmaxLoss(num_classes=3, embedding_size=WIDTH)
    styles.load_state_dict({"W": both.state_dict()["losses.style.W"]})
    points = embeddings()

    loss, figures = both(points, LABELS)

    alone, _ = made({"loss": {"name": "SupConLoss"}})(points, LABELS)
    of_style = styles(points, torch.tensor([style_of[label] for label in LABELS.tolist()]))
    assert loss.item() == pytest.approx(alone.item() + 0.25 * of_style.item(), rel=1e-6)
    assert figures["style_loss"].item() == pytest.approx(of_style.item(), rel=1e-6)
    assert isinstance(both.scorer, CosineScorer)
    assert "losses.style.W" in dict(both.named_parameters())  # and so it is trained
    with pytest.raises(ValueError, match="takes no options"):
        ObjectiveConfig.model_validate({"kind": "bce-pair", "options": {"losses": {"style": 1.0}}})


def test_classification_comes_first_and_then_the_loss_itself() -> None:
    both = made({"kind": CLASSIFIED, "loss": SUPCON, "options": {"epochs": 2}})
    classifier = NormalizedSoftmaxLoss(num_classes=ARTISTS, embedding_size=WIDTH)
    classifier.load_state_dict({"W": both.state_dict()["classifier.W"]})
    points = embeddings()

    of_epoch = []
    for both.epoch in range(4):
        of_epoch.append(both(points, LABELS)[0].item())

    alone, _ = made({"loss": {"name": "SupConLoss"}})(points, LABELS)
    classified = classifier(points, LABELS).item()
    assert of_epoch == pytest.approx([classified, classified, alone.item(), alone.item()], rel=1e-6)
    assert isinstance(both.scorer, CosineScorer)
    assert "classifier.W" in dict(both.named_parameters())  # and so it is trained
    with pytest.raises(ValueError, match="takes no options"):
        ObjectiveConfig.model_validate({"kind": "bce-onehot", "options": {"epochs": 2}})


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            {"kind": CLASSIFIED, "name": "SupConLoss", "loss": SUPCON, "options": {"epochs": 4}},
            ["SupConLoss classifies in its first 4 epochs", "has 4."],
        ),
        ({"kind": CLASSIFIED, "loss": SUPCON, "options": {"epoks": 2}}, ["epoks"]),
        ({"kind": CLASSIFIED, "options": {"epochs": 2}}, ["needs a loss"]),
        (
            {
                "kind": LABELLED,
                "loss": "TripletMarginLoss",
                "options": {"batches": "style"},
                "training": {"sampling": "triplets"},
            },
            ["options.batches fills balanced batches, so it goes with sampling=balanced"],
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(
    objective: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, "objectives": [objective]}))
    with pytest.raises(MorelliError) as raised:
        grid(load_recipe(path))
    for word in words:
        assert word in str(raised.value)


def test_style_and_genre_can_help_to_train(prepared: Path, tmp_path: Path) -> None:
    options = {"losses": {"style": 0.1}, "batches": "genre"}
    triplet = ObjectiveConfig.model_validate("triplet")
    objective = {"kind": LABELLED, "loss": triplet.loss, "miner": triplet.miner, "options": options}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, "data": str(prepared), "objectives": [objective]}))

    (run,) = bench(load_recipe(path), tmp_path / "runs")

    history = pd.read_csv(run.path / "history.csv")
    assert history["style_loss"].iloc[-1] < history["style_loss"].iloc[0]
    shutil.copytree(prepared, tmp_path / "plain")
    rows = pq.read_table(prepared / TABLE)
    without = rows.set_column(rows.column_names.index("genre"), "genre", pa.nulls(len(rows), pa.string()))
    pq.write_table(without, tmp_path / "plain" / TABLE)
    with pytest.raises(MorelliError, match="No painting has a genre"):
        bench(load_recipe(path, [f"data={tmp_path / 'plain'}"]), tmp_path / "nothing")
    assert not list((tmp_path / "nothing").rglob("*"))


@torch.no_grad()
def test_covariances_are_those_of_fixed_mixtures_of_channels() -> None:
    torch.manual_seed(0)
    config = BackboneConfig(name="resnet18", weights="none", image_size=64, pool="stages", stages=1)
    backbone = Backbone(config).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    (stage,) = backbone.net.forward_intermediates(images)[1][-1:]
    mixtures = torch.randn(16, 512, generator=torch.Generator().manual_seed(512)) / 512**0.5

    features = CovarianceStages(backbone)(images)

    torch.testing.assert_close(features[:, :512], backbone(images), atol=1e-5, rtol=1e-4)
    for picture, row in zip(stage.flatten(2), features[:, 512:], strict=True):
        wanted = torch.cov(mixtures @ picture, correction=0)[*torch.triu_indices(16, 16)]
        torch.testing.assert_close(row, wanted.sign() * (wanted.abs() + 1e-6).sqrt(), atol=1e-4, rtol=1e-3)


def test_a_recipe_names_the_covariances_of_the_table() -> None:
    module, _ = lite0_6stages_160px()
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 160, 160)).shape == (1, 2840)


@pytest.mark.parametrize("path", sorted(Path("configs/ablation").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ablation_can_be_read(path: Path) -> None:
    assert grid(load_recipe(path))


def test_tuned_weights_lie_halfway_and_load_as_a_file(prepared: Path, tmp_path: Path) -> None:
    paintings = Paintings(prepared, {"nobody"}, torch.device("cpu"), size=32, batch=8, m=2)
    torch.manual_seed(0)
    config = BackboneConfig(name="test_efficientnet", weights="none", image_size=32, pool="stages", train="all")
    backbone = Backbone(config)
    before = {key: tensor.clone() for key, tensor in backbone.net.state_dict().items()}

    after = tune(backbone, paintings, 3, head_steps=3).net.state_dict()
    save_file(halfway(before, after), tmp_path / "tuned.safetensors")
    found = Backbone(config.model_copy(update={"weights": str(tmp_path / "tuned.safetensors")})).net.state_dict()

    assert paintings.pictures.shape == (72, 3, 32, 32)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    for key, tensor in found.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (before[key] + after[key]) / 2, rtol=1e-3, atol=1e-4)


def test_known_artists_are_left_out_of_tuning(prepared: Path) -> None:
    every = Paintings(prepared, set(), torch.device("cpu"), size=32, batch=8, m=2)
    table = pd.read_parquet(prepared / TABLE)
    first = artist_key(table["artist"].iloc[0])

    without = Paintings(prepared, {first}, torch.device("cpu"), size=32, batch=8, m=2)

    assert len(every.labels) - len(without.labels) == (table["artist"].map(artist_key) == first).sum()


def test_fewer_artists_train_and_the_other_sides_stay() -> None:
    names = [f"Artist {number:02}" for number in range(24) for _ in range(5)]
    table = pd.DataFrame({"id": [f"p{row:03}" for row in range(len(names))], "artist": names})

    def split(train_artists: int) -> Split:
        kind = "examples.ablations.fewer_artists:FewerArtists"
        return split_paintings(table, SplitConfig(kind=kind, train_artists=train_artists))

    every, few = split(99), split(6)

    assert (few.unseen, few.validation) == (every.unseen, every.validation)
    assert few.keys(table, "train").nunique() == 6
    assert set(few.train) < set(every.train)
    assert set(few.seen) < set(every.seen)


def test_vlad_codes_are_those_they_were_learned_with(prepared: Path) -> None:
    config = BackboneConfig(name="test_efficientnet", weights="none", image_size=64, pool="stages")
    torch.manual_seed(0)
    backbone = Backbone(config).eval()
    dataset = PaintersByNumbers(prepared, transform=backbone.transform())
    codes = vlad.learned_codes(backbone, DataLoader(dataset, batch_size=8), axes=4, centres=3, kept=5)
    images = torch.stack([dataset[row][0] for row in range(4)])

    alone = vlad.VladStages(backbone, codes, with_means=False)(images)
    behind = vlad.VladStages(backbone, codes, with_means=True)(images)

    assert alone.shape == (4, 5)
    assert alone.std(0).min() > 0
    torch.testing.assert_close(behind, torch.cat([backbone(images), alone], dim=1))


def test_similarities_of_a_teacher_are_learned() -> None:
    student, teacher = functional.normalize(torch.randn(2, 6, 8), dim=2)
    assert float(distil_heads.similarity_distance(student, student)) == pytest.approx(0, abs=1e-6)
    assert float(distil_heads.similarity_distance(student, teacher)) > 0.01


@pytest.mark.parametrize("rows", [distil_heads.rows, mix_heads.rows, back_ends.rows])
def test_heads_are_tried_beside_a_plain_one(rows: Any) -> None:
    labels = [row // 4 for row in range(48)]
    generator = torch.Generator().manual_seed(0)
    centres, own = torch.randn(12, 20, generator=generator), torch.randn(48, 2, 20, generator=generator)
    features = centres[labels][:, None] + 2 * own
    paintings = pd.DataFrame({"id": [f"p{row}" for row in range(48)], "artist": [f"Artist {row}" for row in labels]})

    found = rows(features, labels, features, epochs=2, batch=16, m=4)
    said: list[str] = []
    distil_heads.table(found, paintings, said.append)

    assert {len(one) for one in found.values()} == {48}
    assert not any(torch.equal(one, next(iter(found.values()))) for one in list(found.values())[1:])
    assert len(said) == 1 + len(found)
    assert all(line.count("|") == said[0].count("|", 0, said[0].index("\n")) for line in said[1:])


def test_plda_products_are_the_ratio_of_two_paintings_together() -> None:
    drawn = torch.randn(40, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    within, between = (one.T @ one / 40 for one in (drawn[:, 0], 2 * drawn[:, 1]))
    x, y = drawn[0, 2], drawn[1, 2]
    both = torch.cat([torch.cat([between + within, between], 1), torch.cat([between, between + within], 1)])
    together = -torch.linalg.inv(both)[:3, 3:]  # the part of −½ (x y) S⁻¹ (x y)ᵀ that has both

    found = back_ends.plda_embeddings(torch.stack([x, y]), within, between, torch.zeros(3, dtype=torch.float64))
    expected = [x @ together @ x, x @ together @ y, y @ together @ y]

    cosine = float(found[0] @ found[1])
    assert cosine == pytest.approx(float(expected[1] / (expected[0] * expected[2]).sqrt()))
