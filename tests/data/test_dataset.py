"""``PaintersByNumbers`` is a PML dataset over a prepared folder."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pytorch_metric_learning.datasets import BaseDataset
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from morelli.data.artists import artist_key
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import read_paintings, write_paintings
from morelli.errors import MorelliError

TO_TENSOR = v2.Compose([v2.ToImage(), v2.Resize([16, 16]), v2.ToDtype(torch.float32, scale=True)])


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """Five artists, of whom Zoë is unseen; one picture is grey on disk."""
    artists = ["Zoë", "anna", "Bela", "ANNA", "zoe", "Bela"]
    groups = ["test_only", "train_only", "train_and_test", "train_only", "test_only", "train_and_test"]
    folder = tmp_path / "folder"
    (folder / "images" / "00").mkdir(parents=True)
    files = [f"images/00/{number}.jpg" for number in range(6)]
    for number, file in enumerate(files):
        picture = Image.fromarray(np.full((20, 30), 40 * number, np.uint8))
        (picture if number == 2 else picture.convert("RGB")).save(folder / file)
    ids = [str(number) for number in range(6)]
    table = pd.DataFrame({"id": ids, "file": files, "artist": artists, "artist_group": groups, "sha256": ids})
    text = dict.fromkeys(("in_train", "title", "style", "genre", "date", "source"))
    write_paintings(folder, table.assign(**text, width=30, height=20, status="ok"))
    return folder


def test_it_is_a_pml_dataset(prepared: Path) -> None:
    dataset = PaintersByNumbers(prepared, transform=TO_TENSOR)

    assert isinstance(dataset, BaseDataset)
    assert len(dataset) == 72
    images, labels = next(iter(DataLoader(dataset, batch_size=5)))
    assert images.shape == (5, 3, 16, 16)
    assert labels.tolist() == dataset.labels[:5]


def test_labels_number_the_artists_in_alphabetical_order(prepared: Path) -> None:
    dataset = PaintersByNumbers(prepared)
    table = read_paintings(prepared)

    assert dataset.artists == sorted(table["artist"].unique(), key=artist_key)
    assert [dataset.artists[label] for label in dataset.labels] == list(table["artist"])
    assert list(dataset.paintings["id"]) == list(table["id"])


def test_spellings_share_a_label_and_mean_the_same_in_every_split(competition: Path) -> None:
    everything = PaintersByNumbers(competition)
    train, test = PaintersByNumbers(competition, "train"), PaintersByNumbers(competition, "test")

    assert everything.labels == [2, 0, 1, 0, 2, 1]
    assert train.labels == [0, 1, 0, 1]
    assert test.labels == [2, 2]
    assert [artist_key(name) for name in everything.artists] == ["anna", "bela", "zoe"]
    assert train.artists == test.artists == everything.artists
    assert [Path(path).name for path in test.paths] == ["0.jpg", "4.jpg"]


def test_items_are_rgb_pictures_and_labels(competition: Path) -> None:
    dataset = PaintersByNumbers(competition)

    image, label = dataset[2]

    assert (image.mode, image.size, label) == ("RGB", (30, 20), 1)
    assert image.getpixel((0, 0)) == pytest.approx((80, 80, 80), abs=2)


def test_transforms_are_applied(competition: Path) -> None:
    dataset = PaintersByNumbers(competition, transform=lambda image: image.size, target_transform=lambda label: -label)

    assert dataset[0] == ((30, 20), -2)


def test_only_some_paintings_in_the_order_asked_for(competition: Path) -> None:
    dataset = PaintersByNumbers(competition)

    reduced = dataset.only(["4", "1"])

    assert reduced.labels == [2, 0]
    assert [Path(path).name for path in reduced.paths] == ["4.jpg", "1.jpg"]
    assert list(reduced.paintings["id"]) == ["4", "1"]
    assert reduced[1][1] == 0
    assert len(dataset) == 6
    assert len(dataset.only([])) == 0


def test_a_painting_that_is_not_there_is_named(competition: Path) -> None:
    with pytest.raises(MorelliError, match='no painting "nine"'):
        PaintersByNumbers(competition).only(["4", "nine"])


def test_a_picture_that_went_missing_or_bad_is_named(competition: Path) -> None:
    dataset = PaintersByNumbers(competition)
    Path(dataset.paths[0]).unlink()
    Path(dataset.paths[1]).write_bytes(Path(dataset.paths[1]).read_bytes()[:200])

    for place, file in enumerate(["0.jpg", "1.jpg"]):
        with pytest.raises(MorelliError, match=f"{file}.*morelli data prepare"):
            dataset[place]


def test_a_split_without_unseen_artists_is_refused(prepared: Path) -> None:
    with pytest.raises(MorelliError, match=r"no painting in split 'test'.*morelli\.data\.splits"):
        PaintersByNumbers(prepared, "test")


def test_an_unknown_split_is_refused(prepared: Path) -> None:
    with pytest.raises(ValueError, match="split"):
        PaintersByNumbers(prepared, "validation")


def test_a_folder_that_is_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="No prepared folder"):
        PaintersByNumbers(tmp_path / "nowhere")
    with pytest.raises(MorelliError, match="not a prepared folder"):
        PaintersByNumbers(tmp_path)
