"""Scenarios for ``file_kills.py``: the commands that make prepared folders, runs, submissions, reports and exports."""

import hashlib
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from morelli import Painters
from morelli.bench.recipe import Recipe
from morelli.bench.runner import bench, train
from morelli.competition.submit import submit
from morelli.preparation.prepare import prepare
from morelli.report.report import report
from morelli.synthetic.painters import SyntheticPainters

torch.set_num_threads(1)
_TIMES = {"environment.json", "history.csv", "README.md"}
"""Files that tell how long something took."""


def files_and_contents(place: Path) -> Any:
    """Every file below ``place`` with the digest of what it holds; of those that tell times, only that it is there."""
    paths = sorted(path for path in place.rglob("*") if path.is_file() and path.name != ".lock")
    return [(str(path.relative_to(place)), "" if _varies(path) else _digest(path)) for path in paths]


def _varies(path: Path) -> bool:
    return path.name in _TIMES or "cache" in path.parts


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_in(base: Path) -> Path:
    """A prepared folder, a run and a list of pairs that all places below ``base`` share, made by the first."""
    made = base / "made"
    if not made.exists():
        SyntheticPainters(artists=12, paintings_per_artist=4, size=48, seed=1).write(made / "prepared", workers=1)
        os.environ["MORELLI_CACHE"] = str(made / "cache")
        train(tiny_recipe(made), made / "run", objective="frozen")
        images = [path.name for path in sorted((made / "prepared" / "images").rglob("*.jpg"))]
        pairs = [f"{n},{a},{b}" for n, (a, b) in enumerate(pairwise(images))]
        (made / "pairs.csv").write_text("\n".join(["index,image1,image2", *pairs, ""]))
    return made


def tiny_recipe(made: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "data": str(made / "prepared"),
            "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
            "backbones": [{"name": "test_resnet", "weights": "none", "image_size": 32}],
            "objectives": ["frozen", "triplet"],
            "head": {"hidden": [8], "width": 8},
            "training": {"epochs": 3, "batch_size": 8, "m": 2, "validate_every": 1},
        }
    )


class Synthesize:
    """Six paintings by two synthetic painters."""

    @staticmethod
    def start(place: Path) -> None:
        pass

    @staticmethod
    def work(place: Path) -> None:
        os.environ["MORELLI_CACHE"] = str(place / "cache")
        SyntheticPainters(artists=2, paintings_per_artist=3, size=32).write(place / "out", workers=1)

    found = staticmethod(files_and_contents)


class Prepare:
    """Six pictures of two artists, as old as each other; three are one picture and one is damaged."""

    @staticmethod
    def start(place: Path) -> None:
        for number in range(6):
            path = place / "pictures" / f"Artist {'AB'[number % 2]}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(max(number, 2)).integers(0, 256, (40, 30, 3), np.uint8)
            Image.fromarray(pixels).save(path)
        path.write_bytes(path.read_bytes()[:-2000])
        for path in place.rglob("*.png"):
            os.utime(path, (1e9, 1e9))  # prepare keeps when each was changed

    @staticmethod
    def work(place: Path) -> None:
        prepare(place / "pictures", place / "out", size=24, workers=1)

    found = staticmethod(files_and_contents)


class PrepareMore(Prepare):
    """A prepared folder of which one picture is gone, one has changed and one is new."""

    @staticmethod
    def start(place: Path) -> None:
        Prepare.start(place)
        Prepare.work(place)
        artist = place / "pictures" / "Artist A"
        (artist / "0.png").rename(artist / "8.png")
        Image.new("RGB", (40, 30), "teal").save(artist / "2.png")
        os.utime(artist / "2.png", (1.1e9, 1.1e9))


class PrepareParquet(Prepare):
    """The same pictures in the rows of a Parquet file."""

    @staticmethod
    def start(place: Path) -> None:
        Prepare.start(place)
        pictures = sorted((place / "pictures").rglob("*.png"))
        columns = {"image": [path.read_bytes() for path in pictures], "artist": [path.parent.name for path in pictures]}
        pq.write_table(pa.table(columns), place / "table.parquet", row_group_size=4)
        os.utime(place / "table.parquet", (1e9, 1e9))

    @staticmethod
    def work(place: Path) -> None:
        prepare(place / "table.parquet", place / "out", size=24, workers=1)


class Bench:
    """Two runs: features as they are, and a trained head."""

    @staticmethod
    def start(place: Path) -> None:
        made_in(place.parent)

    @staticmethod
    def work(place: Path) -> None:
        os.environ["MORELLI_CACHE"] = str(place / "cache")
        runs = bench(tiny_recipe(made_in(place.parent)), place / "runs")
        assert [run.failure for run in runs] == [None, None]

    found = staticmethod(files_and_contents)


class Train(Bench):
    """``train --resume``, which begins where nothing is there yet."""

    @staticmethod
    def work(place: Path) -> None:
        os.environ["MORELLI_CACHE"] = str(place / "cache")
        train(tiny_recipe(made_in(place.parent)), place / "run", resume=True)


class Submit(Bench):
    """47 pairs of a prepared folder."""

    @staticmethod
    def work(place: Path) -> None:
        os.environ["MORELLI_CACHE"] = str(place / "cache")
        made = made_in(place.parent)
        submit(made / "run", made / "prepared", made / "pairs.csv", place / "submission.csv")


class Report(Bench):
    """A page of one run, with its paintings."""

    @staticmethod
    def work(place: Path) -> None:
        os.environ["MORELLI_CACHE"] = str(place / "cache")
        made = made_in(place.parent)
        report([made / "run"], place / "report.html", data=made / "prepared")


class Export(Bench):
    """A network as ONNX, with what stands beside it."""

    @staticmethod
    def work(place: Path) -> None:
        os.environ["MORELLI_CACHE"] = str(place / "cache")
        Painters.load(made_in(place.parent) / "run").export(place / "network.onnx")

    found = staticmethod(files_and_contents)
