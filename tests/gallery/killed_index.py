"""Scenarios for ``tests/file_kills.py``: an index made, one continued, one of the former format, and an enrolment."""

import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from morelli import Network, Painters
from morelli.gallery import index
from morelli.gallery.store import SCHEMA, Store

torch.set_num_threads(1)
index._KEPT_EVERY = 8  # a part for each batch


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((16, 16)), dtype=np.float32).transpose(2, 0, 1) / 255)


def cheap_painters() -> Painters:
    """A network of no cost: 4 × 4 mean colours, and nothing that depends on what else is in a batch."""
    network = Network.of(nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), transform=_tensor, prepared_size=32)
    return Painters(network, "nowhere")


def paint(folder: Path, numbers: range) -> None:
    """Noise, one picture a number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")


def in_former_format(path: Path) -> None:
    """Turn a store into the two files of format 1."""
    store = Store.read(path)
    embeddings = path.with_name(f"{path.stem}-0123456789ab.safetensors")
    save_file({"embeddings": store.embeddings}, embeddings)
    table = pq.read_table(path).select(SCHEMA.names)
    about = {"model": "nowhere", "version": None, "fingerprint": store.metadata.fingerprint}
    about |= {"folder": store.metadata.folder, "format": 1, "embeddings": embeddings.name}
    pq.write_table(table.replace_schema_metadata({"morelli_pictures": json.dumps(about)}), path)


def files_and_contents(place: Path) -> Any:
    """All files of the index, and for each table what it holds."""
    there = sorted(path for path in (place / "an.index").rglob("*") if path.name != ".lock")
    return [(path.name, *_content(path)) for path in there]


def _content(path: Path) -> list[Any]:
    store = Store.read(path)
    rows = store.pictures.drop(columns="mtime_ns").assign(look=[look.hex() for look in store.pictures["look"]])
    files = [Path(file).name for file in rows["file"]]
    digest = hashlib.sha256(store.embeddings.numpy().tobytes()).hexdigest()
    return [rows.assign(file=files).to_json(), digest, store.metadata.fingerprint, store.metadata.format]


PAINTERS = cheap_painters()


class Fresh:
    """An index of 20 pictures is made: two parts and a rest."""

    @staticmethod
    def start(place: Path) -> None:
        paint(place / "pictures", range(20))

    @staticmethod
    def work(place: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the former format
            PAINTERS.index(place / "pictures", place / "an.index")

    found = staticmethod(files_and_contents)


class Changed(Fresh):
    """Of an index, 3 pictures are gone, 1 has changed and 12 are new."""

    @staticmethod
    def start(place: Path) -> None:
        Fresh.start(place)
        Fresh.work(place)
        for number in range(3):
            (place / "pictures" / f"{number:02d}.png").unlink()
        shutil.copy(place / "pictures" / "03.png", place / "pictures" / "04.png")
        paint(place / "pictures", range(20, 32))


class Former(Changed):
    """An index of the former format, with an enrolled artist, is continued."""

    @staticmethod
    def start(place: Path) -> None:
        Enrolled.start(place)
        for name in ("pictures", "artists"):
            in_former_format(place / "an.index" / f"{name}.parquet")


class Enrolled:
    """One artist is there, and another is enrolled."""

    @staticmethod
    def start(place: Path) -> None:
        paint(place / "pictures", range(9))
        PAINTERS.index(place / "pictures", place / "an.index")
        for artist, numbers in (("first", range(40, 42)), ("second", range(50, 53))):
            paint(place / artist, numbers)
        PAINTERS.enroll(place / "an.index", "First", place / "first")

    @staticmethod
    def work(place: Path) -> None:
        PAINTERS.enroll(place / "an.index", "Second", place / "second", replace=True)

    found = staticmethod(files_and_contents)
