"""A bench on pictures of two sources standardises each by itself, and its network does so wherever it is measured."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli import (
    Network,
    PaintersByNumbers,
    Split,
    evaluate,
    load_recipe,
    merge,
    read_paintings,
    split_paintings,
)
from morelli.bench.runner import bench
from morelli.data.artists import rows_by_source
from morelli.data.prepared import write_paintings
from morelli.data.sampling import ArtistBalancedSampler
from morelli.models import sources
from morelli.models.network import embed_with
from morelli.synthetic.painters import SyntheticPainters

SMALL = (
    "split={kind: fraction, unseen_fraction: 0.25, validation_fraction: 0.25}",
    "backbones=[{name: test_efficientnet, weights: none, image_size: 32}]",
    "objectives=[triplet]",
    "head={hidden: [8], width: 8}",
    "training={epochs: 2, batch_size: 6, m: 2, validate_every: 1}",
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for seed, name in enumerate(("museum", "archive")):
        SyntheticPainters(artists=8, paintings_per_artist=6, size=48, seed=seed).write(folder / name, workers=1)
        write_paintings(folder / name, read_paintings(folder / name).assign(source=name))
    merge([folder / "museum", folder / "archive"], folder / "both")
    return folder / "both"


def test_a_network_of_two_sources(both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FEWEST", 10)
    drawn: list[list[int]] = []
    draw = ArtistBalancedSampler.__iter__

    def noted(sampler: ArtistBalancedSampler) -> object:
        drawn.append(list(draw(sampler)))
        return iter(drawn[-1])

    monkeypatch.setattr(ArtistBalancedSampler, "__iter__", noted)
    run = bench(load_recipe("demo", [f"data={both}", *SMALL]), tmp_path / "runs")[0]
    assert not run.failure

    paintings = read_paintings(both)
    assert sorted(paintings["source"].unique()) == ["archive", "museum"]
    network = Network.load(run.path)
    assert len(network.card.sources) == 1  # the other one is the reference
    assert network.sources is not None
    assert not torch.equal(network.sources.centre[0], network.sources.centre[1])

    size = run.config["training"]["batch_size"]
    split = Split.load(run.path / "split.json")
    of_row = split.rows(paintings, "train")["source"].to_numpy()
    batches = [of_row[rows[start : start + size]] for rows in drawn for start in range(0, len(rows), size)]
    assert batches
    assert all(len(np.unique(batch)) == 1 for batch in batches)

    unseen = split.rows(paintings, "unseen")
    embeddings = embed_with(network, PaintersByNumbers(both).only(list(unseen["id"])), torch.device("cpu"))
    measured = evaluate(embeddings, unseen, network.scorer).metrics
    assert measured["pair_auc"] == pytest.approx(run.metrics["unseen"]["pair_auc"], abs=1e-6)


def test_what_is_learned_from_pairs_is_learned_within_each_source(both: Path) -> None:
    rows = read_paintings(both)
    places = rows_by_source(rows)
    assert sorted(np.concatenate(places).tolist()) == list(range(len(rows)))
    assert [set(rows["source"].iloc[one]) for one in places] == [{"archive"}, {"museum"}]
    assert len(rows_by_source(rows.assign(source=None))) == 1
    assert len(rows_by_source(rows.drop(columns="source"))) == 1


def test_a_source_with_one_validation_artist_stops_no_bench(both: Path, tmp_path: Path) -> None:
    recipe = [f"data={tmp_path / 'uneven'}", *SMALL]
    rows = read_paintings(both)
    split = split_paintings(rows, load_recipe("demo", recipe).split)
    validating = sorted(split.rows(rows, "validation")["artist"].unique())
    alone = rows["artist"] == validating[0]
    shutil.copytree(both, tmp_path / "uneven")
    write_paintings(tmp_path / "uneven", rows.assign(source=rows["source"].where(~alone, "attic")))

    run = bench(load_recipe("demo", recipe), tmp_path / "runs")[0]
    assert not run.failure
    assert Network.load(run.path).card.threshold is not None
