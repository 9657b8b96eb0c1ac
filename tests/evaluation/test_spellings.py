"""An artist under several spellings is one artist: in splits, in measures, and where a network must know its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from morelli.data.artists import artist_key
from morelli.data.dataset import PaintersByNumbers
from morelli.data.describe import describe
from morelli.data.prepared import read_paintings, write_paintings
from morelli.data.splits import SIDES, SplitConfig, split_paintings
from morelli.errors import MorelliError
from morelli.evaluation.calibration import calibrate
from morelli.evaluation.evaluate import evaluate, pair_scores
from morelli.evaluation.normalisation import CohortScorer
from morelli.models.heads import CosineScorer

WAYS: list[Callable[[str], str]] = [
    str,
    lambda name: name.replace(" ", "_"),
    lambda name: ", ".join(reversed(name.rsplit(" ", 1))),
    lambda name: name.upper().replace(" ", "-"),
]


def written(name: str, number: int) -> str:
    return WAYS[number % len(WAYS)](name)


@pytest.fixture
def once() -> pd.DataFrame:
    artists = np.repeat([f"{given} {name}" for given in ("Ada", "Bela") for name in ("Abt", "Érard", "Orth", "Ure")], 6)
    ids = [f"p{row:02}" for row in range(len(artists))]
    none = dict.fromkeys(("artist_group", "in_train", "title", "style", "genre", "date", "source"))
    paintings = pd.DataFrame({"id": ids, "file": ids, "artist": artists, **none})
    return paintings.assign(width=64, height=64, sha256=[f"file-{one}" for one in ids], status="ok")


@pytest.fixture
def mixed(once: pd.DataFrame) -> pd.DataFrame:
    return once.assign(artist=[written(name, number) for number, name in enumerate(once["artist"])])


@pytest.mark.parametrize("kind", ["fraction", "folds", "rotation", "seed"])
def test_splits_are_those_of_one_spelling(kind: str, once: pd.DataFrame, mixed: pd.DataFrame) -> None:
    config = SplitConfig(
        kind=kind, unseen_fraction=0.4, folds=2, train_artists=3, validation_artists=2, unseen_artists=2, per_artist=4
    )
    split = split_paintings(mixed, config)
    assert split == split_paintings(once, config)
    on = {side: set(split.rows(mixed, side)["artist"].map(artist_key)) for side in SIDES}
    assert not (on["train"] | on["validation"]) & on["unseen"]


def test_measures_are_those_of_one_spelling(once: pd.DataFrame, mixed: pd.DataFrame) -> None:
    embeddings = torch.randn(len(once), 8, generator=torch.Generator().manual_seed(0))
    one, other = (evaluate(embeddings, table, CosineScorer()) for table in (once, mixed))

    assert other.metrics == one.metrics
    assert other.intervals == one.intervals
    assert other.metrics["artists"] == 8


def test_a_calibration_and_a_cohort_know_their_artists_again(once: pd.DataFrame, mixed: pd.DataFrame) -> None:
    embeddings = torch.randn(len(once), 8, generator=torch.Generator().manual_seed(0))
    calibration = calibrate(*pair_scores(embeddings, once, CosineScorer()), ["Abt, Ada", "bela_ure"])
    with pytest.raises(MorelliError, match="2 of the evaluated artists are also in the calibration"):
        evaluate(embeddings, once, CosineScorer(), calibration=calibration)

    cohort = {"csls": CohortScorer(CosineScorer(), embeddings, ["ERARD, BELA"])}
    with pytest.raises(MorelliError, match="1 of the evaluated artists are also in the cohort"):
        evaluate(embeddings, mixed, CosineScorer(), normalised=cohort)


def test_a_folder_prepared_before_has_one_count_of_artists(tmp_path: Path, mixed: pd.DataFrame) -> None:
    write_paintings(tmp_path, mixed)
    for file in mixed["file"]:
        Image.new("RGB", (16, 16)).save(tmp_path / file, "JPEG")

    described = describe(tmp_path)
    assert described["artists"] == 8
    assert described["largest_artists"] == dict.fromkeys(sorted(described["largest_artists"]), 6)
    assert read_paintings(tmp_path)["artist"].nunique() == 8
    assert len(PaintersByNumbers(tmp_path).artists) == len(set(PaintersByNumbers(tmp_path).labels)) == 8
