"""``EmbedPictures`` gives a batch the columns of an index, for pictures of every kind, and never stops at a bad one."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from morelli import EmbedPictures, MorelliError, Painters
from morelli.gallery.index import PictureIndex
from morelli.gallery.store import SCHEMA


@pytest.fixture
def files(pictures: Path) -> list[str]:
    return sorted(map(str, pictures.rglob("*.png")))


def vectors(batch: Any) -> torch.Tensor:
    return torch.tensor(np.stack(batch["vector"].to_numpy(zero_copy_only=False)))


def test_a_batch_gets_the_columns_that_an_index_has(
    painters: Painters, model: Path, pictures: Path, files: list[str]
) -> None:
    index = PictureIndex.load(painters.index(pictures).path).pictures
    batch = EmbedPictures(model)({"path": np.array(files, dtype=object), "number": list(range(len(files)))})
    assert list(batch) == ["path", "number", *SCHEMA.names[3:], "vector", "left_out"]
    assert batch["number"] == list(range(len(files)))
    assert batch["left_out"].null_count == len(files)
    torch.testing.assert_close(vectors(batch), index.embeddings, atol=1e-6, rtol=0)
    for name in SCHEMA.names[3:]:
        assert batch[name].to_pylist() == index.pictures[name].tolist(), name


def as_structs(files: list[str]) -> list[dict[str, Any]]:
    return [{"bytes": Path(file).read_bytes() if place % 2 else None, "path": file} for place, file in enumerate(files)]


@pytest.mark.parametrize(
    "make",
    [
        lambda files: {"image": [Path(file).read_bytes() for file in files]},
        lambda files: {"image": as_structs(files)},
        lambda files: {"image": [np.array(Image.open(file)) for file in files]},
        lambda files: {"file": files},
        lambda files: {"name": [None] * len(files), "path": files},
    ],
    ids=["bytes", "structs", "arrays", "file", "path"],
)
def test_pictures_of_every_kind_give_the_same(model: Path, painters: Painters, files: list[str], make: Any) -> None:
    found = EmbedPictures(model)(make(files))
    torch.testing.assert_close(vectors(found), painters.embed(files), atol=1e-5, rtol=0)


def test_what_is_no_picture_has_a_reason_and_no_vector(model: Path, files: list[str], tmp_path: Path) -> None:
    flat = np.zeros((40, 40), np.uint8)
    bad = [None, b"", b"a letter", {"bytes": None, "path": None}, str(tmp_path), "none.png", "a\0b", 7, flat, [1, 2]]
    batch = EmbedPictures(model, "scan")({"scan": [*bad, files[0]]})
    *reasons, none = batch["left_out"].to_pylist()
    assert none is None
    assert all(reasons)
    assert batch["vector"].is_valid().to_pylist() == [*[False] * len(bad), True]
    assert "40, 40" in reasons[8]
    none_at_all = EmbedPictures(model)({"image": bad[:3]})
    assert none_at_all["vector"].type == batch["vector"].type


def test_a_column_alone_gives_structs(model: Path, files: list[str]) -> None:
    embed = EmbedPictures(model)
    structs = embed(pa.array([*files, None]).to_pylist())
    assert structs.type == pa.struct(embed.schema)
    rows = structs.to_pylist()
    assert rows[0]["vector"] is not None
    assert rows[-1]["left_out"] == "no picture"


def test_it_is_sent_to_workers_without_its_network(model: Path, files: list[str]) -> None:
    embed = EmbedPictures(model, "image", expected=9)
    before = embed({"image": files})
    sent = pickle.dumps(embed)
    assert len(sent) < 1000
    assert pickle.loads(sent)({"image": files})["vector"] == before["vector"]


def test_a_batch_without_pictures_is_named(model: Path) -> None:
    with pytest.raises(MorelliError, match=r"no column scan; it has: a, b\. Give one as column=NAME"):
        EmbedPictures(model, "scan")({"a": [], "b": []})
    with pytest.raises(MorelliError, match="no column image or bytes or path or file; it has: none"):
        EmbedPictures(model)({})


DAFT = """
import sys
import daft
import pyarrow as pa
from morelli import EmbedPictures

model, *files = sys.argv[1:]
embed = EmbedPictures(model)
result = daft.DataType.from_arrow_type(pa.struct(embed.schema))
one = daft.func.batch(return_dtype=result)(embed)
call = daft.method.batch(return_dtype=result)(EmbedPictures.__call__)
other = daft.cls(type("Embed", (EmbedPictures,), {"__call__": call}))(model)
for embedded in (one, other):
    found = daft.from_pydict({"file": [*files, "none.png"]}).with_column("picture", embedded(daft.col("file")))
    *rows, none = found.to_arrow()["picture"].to_pylist()
    assert none["vector"] is None and none["left_out"]
    assert [row["vector"] for row in rows] == embed(files).field("vector").to_pylist()
"""


def test_daft_takes_it_as_it_is(model: Path, files: list[str]) -> None:
    pytest.importorskip("daft")
    subprocess.run([sys.executable, "-c", DAFT, model, *files], check=True, timeout=300)
