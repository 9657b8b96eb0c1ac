"""Copies of one picture are found, whatever was done to them, and different pictures are not taken for copies."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from morelli import SyntheticPainters, prepare, read_paintings
from morelli.data.copies import (
    COPIES,
    count_copies,
    is_shared,
    paintings_and_copies,
    pictures_of,
    with_copies,
    without_copies,
)
from morelli.data.prepared import TABLE, write_paintings
from morelli.data.splits import SIDES, SplitConfig, split_paintings
from morelli.errors import MorelliError

HANDS = SyntheticPainters(artists=4, paintings_per_artist=6, size=128, seed=5)
Kind = Literal["competition", "seed", "fraction", "folds", "rotation"]


def saved(image: Image.Image, quality: int) -> Image.Image:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded)


def smaller(image: Image.Image, share: float) -> Image.Image:
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": lambda image: saved(image, 30),
    "three quarters": lambda image: saved(smaller(image, 0.75), 75),
    "thumbnail": lambda image: saved(smaller(image, 0.4), 80),
    "mirrored": ImageOps.mirror,
    "mirrored thumbnail": lambda image: saved(smaller(ImageOps.mirror(image), 0.5), 80),
    "cropped": lambda image: cropped(image, 0.02),
    "warmer": lambda image: Image.merge(
        "RGB",
        [
            band.point(lambda v, k=k: min(255, int(v * k)))
            for band, k in zip(image.split(), (1.05, 1, 0.9), strict=True)
        ],
    ),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.15),
    "grey": lambda image: image.convert("L"),
}


def folder_of(root: Path, pictures: dict[str, Image.Image]) -> Path:
    for name, picture in pictures.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return root


def painted() -> dict[str, Image.Image]:
    return {f"Artist {a}/{n}.png": HANDS.paint(a, n).convert("RGB") for a in range(4) for n in range(6)}


def groups_in(folder: Path) -> list[set[str]]:
    """The sources' names, group by group: an id begins with its file's."""
    table = read_paintings(folder)
    copied = table[table["copy_of"].notna()]
    return [{one.rsplit("-", 1)[0] for one in ids} for ids in copied.groupby("copy_of")["id"].agg(list)]


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_and_nothing_else(tmp_path: Path, change: str) -> None:
    originals = painted()
    copies = {f"{name[:-4]}-again.png": CHANGES[change](picture) for name, picture in list(originals.items())[::2]}
    source = folder_of(tmp_path / "source", originals | copies)

    summary = prepare(source, tmp_path / "out", workers=1)

    assert (summary.usable, summary.copies, summary.shared_pictures) == (36, 12, 0)
    assert sorted(map(sorted, groups_in(tmp_path / "out"))) == sorted([str(n), f"{n}-again"] for n in (0, 2, 4) * 4)
    listed = pd.read_csv(tmp_path / "out" / COPIES)
    assert listed.columns.tolist() == ["copy_of", "id", "artist"]
    assert len(listed) == 24
    kept = without_copies(read_paintings(tmp_path / "out"))
    assert len(kept) == 24
    assert not kept["id"].str.contains("again").any()  # the largest stays, of equals the one with the plainest name


def test_pictures_that_only_their_hashes_confuse_are_no_copies(tmp_path: Path) -> None:
    """Monochromes, the same frame around other colours, a series that differs in one stroke, ovals on white."""

    def framed(colour: str) -> Image.Image:
        picture = Image.new("RGB", (120, 120), "black")
        picture.paste(Image.new("RGB", (100, 100), colour), (10, 10))
        return picture

    def stroke(angle: int) -> Image.Image:
        picture = framed("white")
        ImageDraw.Draw(picture).arc((30, 30, 90, 90), angle, angle + 90, "red", 5)
        return picture

    def column(colour: str) -> Image.Image:
        picture = Image.new("RGB", (120, 120), "white")
        ImageDraw.Draw(picture).rectangle((0, 90, 120, 120), "#d8d8d8")
        ImageDraw.Draw(picture).rectangle((50, 20, 70, 100), colour)
        return picture

    def oval(number: int) -> Image.Image:
        white = Image.new("RGB", (128, 128), "white")
        mask = Image.new("L", white.size)
        ImageDraw.Draw(mask).ellipse((6, 6, 122, 122), fill=255)
        white.paste(HANDS.paint(number, 0).convert("RGB").resize(white.size), (0, 0), mask)
        return white

    pictures = {f"Klein/{colour}.png": Image.new("RGB", (120, 120), colour) for colour in ("blue", "red", "pink")}
    pictures |= {f"Baer/{colour}.png": framed(colour) for colour in ("white", "teal", "gold")}
    pictures |= {f"Baer/{angle}.png": stroke(angle) for angle in (0, 180)}
    pictures |= {f"Truitt/{place}.png": column(colour) for place, colour in enumerate(("#8a8a8a", "#c07a40"))}
    pictures |= {f"Rokotov/{number}.png": oval(number) for number in range(4)}
    prepare(folder_of(tmp_path / "source", pictures), tmp_path / "out", workers=1)

    assert groups_in(tmp_path / "out") == []


def test_a_picture_under_several_artists_is_told_apart(tmp_path: Path) -> None:
    pictures = painted()
    pictures["Artist 1/borrowed.png"] = smaller(pictures["Artist 0/0.png"], 0.8)
    summary = prepare(folder_of(tmp_path / "source", pictures), tmp_path / "out", workers=1)
    table = read_paintings(tmp_path / "out")

    assert (summary.copies, summary.shared_pictures) == (0, 1)
    assert len(without_copies(table)) == len(table)
    assert set(table["artist"][is_shared(table)]) == {"Artist 0", "Artist 1"}
    assert is_shared(table).sum() == 2


def test_a_folder_of_the_first_format_gets_its_copies_on_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = painted()
    pictures["Artist 0/0-again.png"] = saved(pictures["Artist 0/0.png"], 60)
    out = tmp_path / "out"
    prepare(folder_of(tmp_path / "source", pictures), out, workers=1)
    new = read_paintings(out)
    table = pq.read_table(out / TABLE).drop_columns(["hash", "copy_of"])
    pq.write_table(table.replace_schema_metadata({b"morelli_prepared_format": b"1"}), out / TABLE)
    (out / COPIES).unlink()

    old = read_paintings(out)
    assert old["hash"].isna().all()
    pd.testing.assert_frame_equal(old.drop(columns=["hash", "copy_of"]), new.drop(columns=["hash", "copy_of"]))

    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "touch", _refuse)
        assert paintings_and_copies(out)["copy_of"].dropna().to_dict() == new["copy_of"].dropna().to_dict()
    assert not (out / COPIES).exists()

    found = paintings_and_copies(out)
    assert count_copies(found).copies == 1
    pd.testing.assert_frame_equal(read_paintings(out), new)
    assert (out / COPIES).is_file()


def _refuse(path: Path) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_hashes_are_computed_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(folder_of(tmp_path / "source", painted()), out, workers=1)
    table = read_paintings(out)
    shutil.rmtree(out / "images")

    assert with_copies(out, table)["hash"].tolist() == table["hash"].tolist()
    with pytest.raises(MorelliError, match="cannot be read"):
        with_copies(out, table.assign(hash=None))


def test_a_table_without_hashes_can_be_written_and_gets_them_later(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(folder_of(tmp_path / "source", painted()), out, workers=1)
    write_paintings(out, read_paintings(out).drop(columns=["hash", "copy_of"]))

    assert read_paintings(out)["hash"].isna().all()
    assert count_copies(paintings_and_copies(out)).copies == 0


def with_groups(seed: int) -> pd.DataFrame:
    """150 pictures by 15 artists, 60 copies of the first 50 of them, a few under another artist."""
    random = np.random.default_rng(seed)
    picture = np.concatenate([np.arange(150), random.integers(0, 50, 60)])
    artist = np.where(random.random(210) < 0.95, picture % 15, random.integers(0, 15, 210))
    ids = [f"p{row:04}" for row in range(210)]
    copied = pd.Series(picture).duplicated(keep=False)
    return pd.DataFrame(
        {
            "id": ids,
            "artist": [f"Artist {number:02}" for number in artist],
            "artist_group": np.where(artist < 3, "test_only", "train_and_test"),
            "in_train": random.random(210) < 0.6,
            "width": random.integers(50, 100, 210),
            "height": 50,
            "sha256": ids,
            "copy_of": [f"p{one:04}" if is_copied else None for one, is_copied in zip(picture, copied, strict=True)],
        }
    )


@pytest.mark.parametrize("kind", ["competition", "seed", "fraction", "folds", "rotation"])
@pytest.mark.parametrize("seed", range(3))
def test_no_picture_is_on_two_sides_or_twice_on_one(kind: Kind, seed: int) -> None:
    table = with_groups(seed)
    sizes = {"train_artists": 6, "validation_artists": 3, "unseen_artists": 3, "per_artist": 6}
    split = split_paintings(table, SplitConfig(kind=kind, seed=seed, folds=3, **sizes), fold=0)

    shown = dict(zip(table["id"], pictures_of(table), strict=True))
    used = [shown[one] for side in SIDES for one in getattr(split, side)]
    assert len(used) == len(set(used))


def test_keeping_copies_is_the_reading_of_before() -> None:
    table = with_groups(1)
    plain = SplitConfig(kind="fraction")
    kept = split_paintings(table, plain.model_copy(update={"keep_copies": True}))

    assert kept == split_paintings(table.drop(columns="copy_of"), plain)
    assert sum(len(getattr(kept, side)) for side in SIDES) == len(table)


def test_a_split_with_copies_is_that_of_the_originals() -> None:
    originals = with_groups(0).head(150).assign(copy_of=None)
    copied = originals.sample(60, random_state=1)
    copies = copied.assign(id=copied["id"] + "-medium", sha256=copied["id"] + "m", width=20, copy_of=copied["id"])
    table = pd.concat([originals, copies]).sample(frac=1, random_state=2).reset_index(drop=True)
    table.loc[table["id"].isin(copied["id"]), "copy_of"] = table["id"]

    clean = split_paintings(originals, SplitConfig(kind="fraction"))
    split = split_paintings(table, SplitConfig(kind="fraction"))
    assert {side: set(getattr(split, side)) for side in SIDES} == {side: set(getattr(clean, side)) for side in SIDES}


def test_copies_are_counted_with_their_pairs() -> None:
    rows = [("a", "A", "1"), ("b", "A", "1"), ("c", "A", "1"), ("d", "A", "2"), ("e", "B", "3"), ("f", "C", "3")]
    table = pd.DataFrame(rows, columns=["id", "artist", "copy_of"])

    counts = count_copies(table)
    assert (counts.copies, counts.pairs, counts.shared) == (2, 3, 1)
    assert count_copies(table, pd.Series(["c"])).of_side() == {"copies": 2, "copy_pairs": 3}
    assert count_copies(table, pd.Series(["d", "e"])).of_side() == {"copies": 0, "copy_pairs": 0}
