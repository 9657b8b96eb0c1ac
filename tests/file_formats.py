"""Files of every format that is read, each with what reads it: changed at random by ``test_damaged_files.py``."""

import gzip
import json
import math
import os
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from morelli import Painters
from morelli._files import UnreadableError
from morelli.bench.artist_tables import artist_table, render_artists
from morelli.bench.compare_runs import compare_runs
from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import RunFolder, find_runs
from morelli.bench.runner import train
from morelli.bench.tables import render, table
from morelli.competition.pair_kinds import kinds_of, read_kinds
from morelli.competition.scoring import score_submission
from morelli.data.prepared import read_left_out, read_paintings, read_spellings
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.evaluation.intervals import LeaveOneOut
from morelli.gallery.index import PictureIndex
from morelli.gallery.pictures import open_picture
from morelli.gallery.store import append
from morelli.models.feature_cache import cached_features
from morelli.models.network import Network, NetworkCard
from morelli.models.state_dicts import read_tensors
from morelli.preparation.archives import DamagedEntryError, Originals
from morelli.preparation.iiif import IIIFSource
from morelli.preparation.journal import claim, opened_journal
from morelli.preparation.parquet import ParquetSource
from morelli.preparation.picture_files import UnusableError
from morelli.preparation.pool import Record
from morelli.preparation.prepare import prepare
from morelli.preparation.source import SourceOptions
from morelli.preparation.table import TableSource
from morelli.report import charts
from morelli.report.runs import shown_runs
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.checkpoint import CHECKPOINT, TrainingState

sys.path.insert(0, str(Path(__file__).parent))
from killed_commands import made_in, tiny_recipe

_OPTIONS = {"format": 2, "kind": "folders", "name": "x", "size": 24, "only_artists": [], "limit": None}
_FEATURES = torch.arange(48.0 * 4).reshape(48, 4)


def _every_picture(path: Path) -> Any:
    """The table, and which pictures can be had."""
    catalogue = ParquetSource().read(path, SourceOptions(path.parent / "out"))
    lengths = []
    with Originals(path.parent) as originals:
        for file in catalogue.files.values():
            with suppress(DamagedEntryError, UnusableError), originals.open(file) as stream:
                lengths.append(len(stream.read()))
    return catalogue.paintings, lengths


class Format(NamedTuple):
    """One file, and what reads it.

    Attributes:
        place: in the folder that :func:`make_files` fills; it may be a pattern.
        read: what commands do with it; whatever may be compared.
        has_checksum: what is accepted must be as it was.
        is_named: every refusal names the file.
        share: of the files of other formats, how many are tried: some take long to read.
    """

    place: str
    read: Callable[[Path], Any]
    has_checksum: bool = False
    is_named: bool = True
    share: float = 1.0


def make_files(base: Path) -> None:
    """Fill an empty folder with what the commands write, small, and with what users give them."""
    with mock.patch.dict(os.environ, MORELLI_CACHE=str(base / "cache")):
        made = made_in(base)
        train(tiny_recipe(made), base / "run", objective="triplet")
        pictures = sorted((made / "prepared" / "images").rglob("*.jpg"))
        painters = Painters.load(base / "run")
        painters.index(made / "prepared" / "images", base / "an.index")
        _enroll(painters, base, pictures)
        index = PictureIndex.load(base / "an.index")
        append(index.path / "pictures.parquet", index.pictures.take([0, 1, 2]))
    _cached_features(base / "blocks", made / "prepared")
    _training(base).save()
    _write_pictures(base / "pictures", pictures[0])
    _write_lists(base, pictures)


def _enroll(painters: Painters, base: Path, pictures: list[Path]) -> None:
    for number, artist in enumerate(("Ada", "Berthe")):
        folder = base / "enrolled" / artist
        folder.mkdir(parents=True)
        for picture in pictures[3 * number : 3 * number + 3]:
            (folder / picture.name).write_bytes(picture.read_bytes())
        painters.enroll(base / "an.index", artist, folder)


def _write_pictures(folder: Path, picture: Path) -> None:
    folder.mkdir()
    with Image.open(picture) as image:
        for suffix in ("jpg", "png", "tif", "webp", "gif", "bmp"):
            image.save(folder / f"a.{suffix}")


def _write_lists(base: Path, pictures: list[Path]) -> None:
    rows = range(40)
    (base / "submission.csv").write_text("index,sameArtist\n" + "".join(f"{n},{n / 40}\n" for n in rows))
    (base / "solution.csv").write_text("index,sameArtist\n" + "".join(f"{n},{n % 2}\n" for n in rows))
    with gzip.open(base / "submission.csv.gz", "wb") as packed:
        packed.write((base / "submission.csv").read_bytes())
    for name, method in (("deflated", zipfile.ZIP_DEFLATED), ("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        with zipfile.ZipFile(base / f"submission-{name}.csv.zip", "w", method) as archive:
            archive.write(base / "submission.csv", "submission.csv")
        with zipfile.ZipFile(base / f"paintings-{name}.zip", "w", method) as archive:
            for number, picture in enumerate(pictures[:4]):
                archive.write(picture, f"Artist {number % 2}/{picture.name}")
    (base / "list").mkdir()
    for picture in pictures[:6]:
        (base / "list" / picture.name).write_bytes(picture.read_bytes())
    lines = [f"{picture.name},Zoë {n % 3},{1900 + n}" for n, picture in enumerate(pictures[:6])]
    (base / "list" / "paintings.csv").write_text("\n".join(["path,artist,date", *lines, ""]), encoding="utf-8")
    columns = {
        "image": [picture.read_bytes() for picture in pictures[:6]],
        "artist": ["Zoë", "Ada"] * 3,
        "year": range(6),
    }
    pq.write_table(pa.table(columns), base / "list" / "paintings.parquet", row_group_size=4, write_page_checksum=True)
    body = {"id": "https://a.b/c.jpg", "type": "Image", "width": 300, "height": 200}
    canvas = {"type": "Canvas", "items": [{"items": [{"motivation": "painting", "body": body}]}]}
    told = [{"label": {"en": ["Artist"]}, "value": {"none": ["Zoë <b>O</b>"]}}]
    manifest = {"id": "https://a.b/m", "type": "Manifest", "label": "x", "items": [canvas], "metadata": told}
    (base / "list" / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
    competition = base / "competition"
    competition.mkdir()
    header = "artist,date,genre,style,title,new_filename,in_train,artist_group,source"
    rows = [f"A {n % 2},1900,x,y,z,{n}.jpg,{n < 2},train_and_test,wikiart" for n in range(4)]
    with zipfile.ZipFile(competition / "all_data_info.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("all_data_info.csv", "\n".join([header, *rows, ""]))
    for name, numbers in (("train", (0, 1)), ("test", (2, 3))):
        with zipfile.ZipFile(competition / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
            for number in numbers:
                archive.write(pictures[number], f"{name}/{number}.jpg")
    torch.save({"model": {"a.weight": _FEATURES, "a.bias": torch.ones(3)}, "epoch": 3}, base / "weights.pth")
    save_file({"a.weight": _FEATURES, "a.bias": torch.ones(3)}, base / "weights.safetensors")
    SyntheticPainters(artists=2, paintings_per_artist=2, size=32).write(base / "synthetic", workers=1)
    claim(base / "claimed", _OPTIONS, {})
    with opened_journal(base / "claimed", {}) as journal:
        for n in range(8):
            journal.add(Record(f"a-{n}", "ok", 3, 4, f"{n:064x}", 500 + n, version="1-2"))
    left_out = 'id,file,artist,reason\n1,a.jpg,NA,truncated\n2,"b,c.jpg",007,damaged\n'
    (base / "claimed" / "left_out.csv").write_text(left_out)
    spellings = 'artist,written,paintings,judged\nAda Lund,"lund, ada",2,the same artist\nNA,007,1,"perhaps, or not"\n'
    (base / "claimed" / "spellings.csv").write_text(spellings)
    (base / "recipe.yaml").write_text(
        "backbones: [test_vit]\nobjectives: [frozen, {loss: SupConLoss}]\nsplit: {kind: fraction}\nseeds: [0, 1]\n"
    )


def _training(folder: Path) -> TrainingState:
    head = nn.Linear(6, 4)
    state = TrainingState(
        head, nn.Linear(4, 2), {"optimiser": torch.optim.Adam(head.parameters())}, folder / CHECKPOINT
    )
    state.validated(0.5)
    return state


def _resumed(path: Path) -> Any:
    state = _training(path.parent)
    state.load()
    return {f"{name}.{key}": one for name, module in state.modules.items() for key, one in module.state_dict().items()}


def _cached_features(cache: Path, prepared: Path) -> dict[str, torch.Tensor]:
    """Features of a backbone; they are always right, and a block that was made anew counts as refused."""
    engine: Any = SimpleNamespace(fingerprint="f" * 32, backbone=SimpleNamespace(config=SimpleNamespace(name="none")))
    with mock.patch.dict(os.environ, MORELLI_CACHE=str(cache)), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (found,) = cached_features(
            [engine], prepared, read_paintings(prepared), lambda _, rows, _told: [_FEATURES[rows.index]]
        )
    assert torch.equal(found, _FEATURES)
    if said:
        raise UnreadableError(str(said[0].message))
    return {"features": found}


def _tables_and_charts(path: Path) -> Any:
    """All that is made of run folders, but the report's page."""
    run = path if path.is_dir() else path.parent
    runs = find_runs([run])
    render_artists(artist_table(runs), 3, "md")
    compare_runs(run, run.parent / "made" / "run", ["pair_auc"], "unseen")
    for shown in shown_runs(runs):
        for chart in (charts.roc, charts.reliability, charts.histogram, charts.learning):
            chart(shown)
    return render(table(runs), "md")


def _compared(path: Path) -> Any:
    """A model folder's answers on two pictures."""
    pictures = [path.parents[2] / "pictures" / f"a.{suffix}" for suffix in ("png", "bmp")]
    painters = Painters.load(path.parents[1])
    return painters.compare(*pictures).text() + repr(NetworkCard.read(path.parent))


def _identified(path: Path) -> Any:
    index, picture = path.parents[2] / "an.index", path.parents[2] / "pictures" / "a.png"
    return Painters.load(path.parents[1]).identify(index, picture).text()


def _prepared(path: Path) -> Any:
    source = path.parent if path.parent.name == "competition" else path
    with tempfile.TemporaryDirectory() as out:
        prepare(source, Path(out) / "out", size=24, workers=1)
        return read_paintings(Path(out) / "out")


def _kinds(path: Path) -> Any:
    paintings = read_paintings(path.parent / "prepared")
    return read_kinds(path, paintings, kinds_of(paintings)).index.tolist()


def _scored(path: Path) -> Any:
    solution = path if path.name == "solution.csv" else path.parent / "solution.csv"
    submission = path.parent / "submission.csv" if path == solution else path
    return score_submission(submission, solution).frame()


def _records(path: Path) -> Any:
    """A journal is never refused: what was changed in it is done again."""
    with opened_journal(path.parent, {}) as journal:
        found = journal.records
    assert all(len(one.sha256) == 64 and one.version == "1-2" and 500 <= one.jpeg_bytes < 508 for one in found.values())
    return None


def _picture(path: Path) -> Any:
    return open_picture(path, 32).info


FORMATS: dict[str, Format] = {
    "table of paintings": Format("made/prepared/paintings.parquet", lambda path: read_paintings(path.parent), True),
    "leave-one-out values": Format("run/leave_one_out_unseen.parquet", lambda p: LeaveOneOut.read(p).values, True),
    "index": Format("an.index/pictures.parquet", lambda path: _index(path), True),
    "part of an index": Format("an.index/pictures-00001.parquet", lambda path: _index(path), True),
    "enrolled artists": Format("an.index/artists.parquet", lambda path: _index(path), True),
    "cached features": Format(
        "blocks/features/*/*.safetensors",
        lambda p: _cached_features(p.parents[2], p.parents[3] / "made/prepared"),
        True,
    ),
    "weights": Format("run/model/model.safetensors", lambda p: Network.load(p.parent).state_dict(), True, share=0.2),
    "checkpoint": Format("checkpoint.pt", _resumed, True, share=0.5),
    "weights of others, .pth": Format("weights.pth", read_tensors, True),
    "weights of others, .safetensors": Format("weights.safetensors", read_tensors),
    "metrics.json": Format("run/metrics.json", lambda path: RunFolder(path.parent).metrics),
    "metrics.json, used": Format("run/metrics.json", _tables_and_charts, is_named=False, share=0.05),
    "config.yaml": Format("run/config.yaml", lambda path: RunFolder(path.parent).config, share=0.5),
    "config.yaml, used": Format("run/config.yaml", _tables_and_charts, is_named=False, share=0.05),
    "environment.json": Format("run/environment.json", lambda path: RunFolder(path.parent).environment),
    "environment.json, used": Format("run/environment.json", _tables_and_charts, is_named=False, share=0.05),
    "split.json": Format("run/split.json", Split.load),
    "split.json, used": Format("run/split.json", _tables_and_charts, is_named=False, share=0.05),
    "history.csv": Format("run/history.csv", _tables_and_charts, share=0.1),
    "artists.csv": Format("run/per_artist_unseen.csv", _tables_and_charts, is_named=False, share=0.1),
    "histogram.csv": Format("run/score_histogram_unseen.csv", _tables_and_charts, share=0.1),
    "reliability.csv": Format("run/reliability_unseen.csv", _tables_and_charts, share=0.1),
    "network.json": Format("run/model/network.json", lambda path: NetworkCard.read(path.parent)),
    "network.json, used": Format("run/model/network.json", _compared, is_named=False, share=0.2),
    "network.json, identified": Format("run/model/network.json", _identified, is_named=False, share=0.2),
    "left_out.csv": Format("claimed/left_out.csv", lambda path: read_left_out(path.parent)),
    "spellings.csv": Format("claimed/spellings.csv", lambda path: read_spellings(path.parent)),
    "prepare.json": Format("claimed/prepare.json", lambda path: claim(path.parent, _OPTIONS, {}), is_named=False),
    "journal": Format("claimed/progress.jsonl", _records),
    "synthetic.json": Format(
        "synthetic/synthetic.json",
        lambda p: SyntheticPainters(artists=2, paintings_per_artist=2, size=32).write(p.parent, workers=1),
        is_named=False,
    ),
    "recipe": Format("recipe.yaml", load_recipe, share=0.3),
    "table of a source": Format(
        "list/paintings.csv", lambda p: TableSource().read(p, SourceOptions(p.parent / "out")).paintings
    ),
    "Parquet of a source": Format("list/paintings.parquet", _every_picture),
    "IIIF manifest": Format(
        "list/manifest.json", lambda p: IIIFSource().read(p, SourceOptions(p.parent / "out")).paintings
    ),
    "competition's table": Format("competition/all_data_info.csv.zip", _prepared, share=0.05),
    "competition's pictures": Format("competition/train.zip", _prepared, is_named=False, share=0.05),
    **{
        f"zip of pictures, {how}": Format(f"paintings-{how}.zip", _prepared, is_named=False, share=0.05)
        for how in ("deflated", "bzip2", "lzma")
    },
    "list of pairs": Format("made/pairs.csv", _kinds),
    "submission": Format("submission.csv", _scored),
    "solution": Format("solution.csv", _scored),
    "submission, .gz": Format("submission.csv.gz", _scored, True),
    **{
        f"submission, {how}": Format(f"submission-{how}.csv.zip", _scored, True)
        for how in ("deflated", "bzip2", "lzma")
    },
    **{
        f"picture, .{suffix}": Format(f"pictures/a.{suffix}", _picture)
        for suffix in ("jpg", "png", "tif", "webp", "gif", "bmp")
    },
}


def _index(path: Path) -> Any:
    index = PictureIndex.load(path.parent)
    stores = (index.pictures, index.artists)
    return {str(n): one.embeddings for n, one in enumerate(stores)}, [one.pictures for one in stores]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to three changes: flipped bits, and bytes cut out, doubled or overwritten."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(len(changed) + 1))
        end = min(len(changed), start + int(rng.integers(1, 9)))
        kind = rng.integers(5)
        if kind == 0 and start < len(changed):
            changed[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end]
        elif kind == 3:
            changed[start:end] = rng.choice(
                [b"-1", b"null", b"1e999", b"NaN", b"[[", b"{}", b'"', b"\xff", b",", b"\n"]
            )
        else:
            changed[start:] = b""
    return bytes(changed)


_ODD = (None, True, -1, 0, 2.5, 1e308, 10**20, "", "x", "NA", "\x1b[31m", [], {}, [None], {"a": 1})
_ODD_CELLS = ("", "NA", "nan", "inf", "-1", "1e999", "x", "\x1b[31m", '"', "a,b")


def with_another_field(path: Path, content: bytes, rng: np.random.Generator) -> bytes:
    """The content of a JSON, YAML or CSV file with one value or cell replaced by an odd one, or taken out."""
    if path.suffix == ".csv":
        rows = [line.split(",") for line in content.decode().splitlines()]
        row = rows[rng.integers(len(rows))]
        row[rng.integers(len(row))] = _ODD_CELLS[rng.integers(len(_ODD_CELLS))]
        return "\n".join([*map(",".join, rows), ""]).encode()
    tree = yaml.safe_load(content)
    places = list(_places(tree))
    inside, key = places[rng.integers(len(places))]
    if rng.integers(4):
        inside[key] = _ODD[rng.integers(len(_ODD))]
    else:
        del inside[key]
    return (yaml.safe_dump(tree) if path.suffix == ".yaml" else json.dumps(tree)).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a tree of plain values, with each of its keys; long lists count as one key."""
    keys = list(tree) if isinstance(tree, dict) else range(min(3, len(tree))) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def same(one: Any, other: Any) -> bool:
    """Whether two readings of a file are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def path_of(name: str, base: Path) -> Path:
    """Where the file of a format lies below the folder that :func:`make_files` filled."""
    (path,) = base.glob(FORMATS[name].place)
    return path


def outcome(name: str, path: Path, whole: Any = None) -> str:
    """What becomes of one file: "refused", "read", or what must not be; ``whole`` is the reading of the sound one."""
    one = FORMATS[name]
    try:
        found = one.read(path)
    except MorelliError as error:
        if one.is_named and path.name not in str(error):
            return f"refused without its name: {error}"
        return "refused"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"raised {type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
    return "read" if not one.has_checksum or same(found, whole) else "read otherwise"


def outcomes(
    name: str, base: Path, count: int, seed: int, before_each: Callable[[], object] = lambda: None
) -> Counter[str]:
    """Change the file of a format that often, each time from what it was; → what became of it how often."""
    path, rng, counts = path_of(name, base), np.random.default_rng(seed), Counter[str]()
    content, whole = path.read_bytes(), FORMATS[name].read(path)
    for _ in range(math.ceil(count * FORMATS[name].share)):
        has_fields = path.suffix in (".json", ".yaml", ".csv") and rng.integers(2)
        changed = with_another_field(path, content, rng) if has_fields else mutated(content, rng)
        path.write_bytes(changed)
        before_each()
        counts[outcome(name, path, whole)] += 1
    path.write_bytes(content)
    return counts
