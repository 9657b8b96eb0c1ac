"""``PaintersByNumbers`` is a PML dataset over a prepared folder."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pytorch_metric_learning.datasets import BaseDataset
from pytorch_metric_learning.losses import ArcFaceLoss
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from morelli.data.artists import artist_key
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import read_paintings, write_paintings
from morelli.data.splits import SplitConfig, split_paintings
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


def test_spellings_share_a_label_and_every_split_numbers_its_own_artists(competition: Path) -> None:
    everything = PaintersByNumbers(competition)
    train, test = PaintersByNumbers(competition, "train"), PaintersByNumbers(competition, "test")

    assert everything.labels == [2, 0, 1, 0, 2, 1]
    assert train.labels == [0, 1, 0, 1]
    assert test.labels == [0, 0]
    assert [artist_key(name) for name in everything.artists] == ["anna", "bela", "zoe"]
    assert train.artists == everything.artists[:2]
    assert test.artists == everything.artists[2:]
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

    assert [reduced.artists[label] for label in reduced.labels] == [dataset.artists[2], dataset.artists[0]]
    assert reduced.labels == [1, 0]
    assert [Path(path).name for path in reduced.paths] == ["4.jpg", "1.jpg"]
    assert list(reduced.paintings["id"]) == ["4", "1"]
    assert reduced[1][1] == 0
    assert len(dataset) == 6
    assert (len(dataset.only([])), dataset.only([]).artists) == (0, [])


def test_labels_of_what_was_kept_are_the_classes_of_a_loss(prepared: Path) -> None:
    whole = PaintersByNumbers(prepared, transform=TO_TENSOR)
    split = split_paintings(whole.paintings, SplitConfig(kind="fraction"))
    train = whole.only(split.train)

    assert sorted(set(train.labels)) == list(range(len(train.artists)))
    assert len(train.artists) < len(whole.artists)
    assert [train.artists[label] for label in train.labels] == list(train.paintings["artist"])
    images, labels = next(iter(DataLoader(train, batch_size=len(train))))
    loss = ArcFaceLoss(num_classes=len(train.artists), embedding_size=3)
    assert loss(images.mean((2, 3)), labels).isfinite()
    assert [label for _, label in train] == train.labels


def test_two_datasets_can_share_their_numbers(competition: Path) -> None:
    whole = PaintersByNumbers(competition)
    query, gallery = whole.only(["0"], artists=whole.artists), whole.only(["4", "1"], artists=whole.artists)

    assert (query.labels, gallery.labels) == ([2], [2, 0])
    assert query.artists == gallery.artists == whole.artists
    with pytest.raises(MorelliError, match="not among the 2 artists"):
        whole.only(["0"], artists=whole.artists[:2])
    with pytest.raises(MorelliError, match="list of ids"):
        whole.only("0")


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
