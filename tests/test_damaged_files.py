"""Files of every format, changed at random: read as they were, or refused by name in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from morelli._csv import read_csv, write_csv
from morelli._json import json_text, parsed_json, read_json, write_json
from morelli._tensors import read_tensors, write_tensors
from morelli._yaml import YAMLError, load_yaml, read_yaml, write_yaml
from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import CONFIG, ENVIRONMENT, METRICS, RunFolder
from morelli.data.prepared import TABLE, read_left_out, read_paintings
from morelli.data.splits import Split
from morelli.errors import MorelliError

COUNT = 150
"""Changed files for each format; ``benchmarks/mutations.py`` makes any number."""


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


def refused_or(read: Callable[[], Any], path: Path) -> Any:
    """What is read, or None where it is refused with the file's name, on one line."""
    said = ""
    try:
        return read()
    except MorelliError as error:
        said = str(error)
    assert path.name in said
    assert "\x1b" not in said
    return None


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, dict) and one and all(isinstance(value, torch.Tensor) for value in one.values()):
        return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    return bool(one == other)


def a_table(folder: Path, prepared: Path) -> Callable[[], Any]:
    (folder / TABLE).write_bytes((prepared / TABLE).read_bytes())
    return lambda: read_paintings(folder)


def some_tensors(folder: Path, _: Path) -> Callable[[], Any]:
    path = folder / "a.safetensors"
    write_tensors(path, {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(True)}, {"keys": "1,2"})
    return lambda: read_tensors(path, needs_digest=True)[0]


@pytest.mark.parametrize("make", [a_table, some_tensors])
def test_what_has_a_checksum_is_read_as_it_was_or_refused(
    make: Callable[[Path, Path], Callable[[], Any]], tmp_path: Path, prepared: Path
) -> None:
    read = make(tmp_path, prepared)
    (path,) = tmp_path.glob("*.*")
    content, whole = path.read_bytes(), read()
    rng, refused = np.random.default_rng(0), 0
    for _ in range(COUNT):
        path.write_bytes(mutated(content, rng))
        found = refused_or(read, path)
        refused += found is None
        assert found is None or same(found, whole)
    assert refused > COUNT / 2


def test_a_block_of_another_program_has_no_digest(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")[0]["a"], torch.ones(2))
    with pytest.raises(MorelliError, match=r"a\.safetensors cannot be read"):
        read_tensors(tmp_path / "a.safetensors", needs_digest=True)


SUBSET = {"artists": 3, "pair_auc": 0.8, "interval": {"pair_auc": [0.7, 0.9]}}
BACKBONE = {"name": "x", "beside": [], "pool": "global", "train": "frozen", "image_size": None, "fit": "c", "views": 1}
READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    METRICS: (
        json.dumps({"parameters": 1, "image_size": 2, "embedding_width": 3, "seen": SUBSET, "unseen": SUBSET}).encode(),
        lambda path: RunFolder(path.parent).metrics,
    ),
    CONFIG: (
        write_yaml({"format": 1, "recipe": "r", "seed": 0, "backbone": BACKBONE, "training": {"rate": 0.1}}).encode(),
        lambda path: RunFolder(path.parent).config,
    ),
    ENVIRONMENT: (
        json.dumps({"training_seconds": 1.5, "images_per_second": 2.5, "versions": {"torch": None}}).encode(),
        lambda path: RunFolder(path.parent).environment,
    ),
    "split.json": (
        json.dumps(
            {"format": 1, "paintings": {"train": ["a"], "validation": [], "seen": [], "unseen": ["b"]}}
        ).encode(),
        Split.load,
    ),
    "left_out.csv": (
        b'id,file,artist,reason\n1,a.jpg,NA,truncated\n2,"b,c.jpg",007,damaged\n',
        lambda p: read_left_out(p.parent),
    ),
    "recipe.yaml": (
        b"backbones: [test_vit]\nobjectives: [frozen, {loss: SupConLoss}]\nsplit: {kind: fraction}\nseeds: [0, 1]\n",
        load_recipe,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_what_has_none_is_read_or_refused_by_name(name: str, tmp_path: Path) -> None:
    content, read = READERS[name]
    path, rng = tmp_path / name, np.random.default_rng(1)
    path.write_bytes(content)
    assert read(path) is not None
    refused = 0
    for _ in range(COUNT):
        path.write_bytes(mutated(content, rng))
        refused += refused_or(lambda: read(path), path) is None
    assert refused > COUNT / 10


DEEP = "[" * 100_000


@pytest.mark.parametrize("name", [name for name in READERS if not name.endswith(".csv")])
@pytest.mark.parametrize("content", [DEEP, '{"a":' * 100_000, "- " * 50_000, "", "\ufeff", "9" * 5000, "1e999", "null"])
def test_deep_nesting_and_other_extremes_are_refused(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(MorelliError, match=name):
        READERS[name][1](tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["!!float y", "!!timestamp x", "!!timestamp 2001-99-99", "!!int 0b_", "&a [*a]", "!!binary é", "{" * 3000, "\x00"],
)
def test_what_a_tag_or_an_alias_does_not_fit_is_no_yaml(text: str, tmp_path: Path) -> None:
    with pytest.raises(YAMLError):
        read_yaml(text)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(MorelliError, match=r"a\.yaml cannot be read"):
        load_yaml(tmp_path / "a.yaml")


def test_an_argument_of_other_bytes_is_no_yaml() -> None:
    with pytest.raises(YAMLError, match="surrogates"):
        read_yaml("a\ud800")


def test_a_few_lines_of_aliases_may_not_stand_for_billions() -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    with pytest.raises(YAMLError, match="more than 1,000,000 values"):
        read_yaml("\n".join(["a0: &a0 [x]", *lines]))
    assert read_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_json_has_no_nan(text: str) -> None:
    with pytest.raises(ValueError, match="column"):
        parsed_json(text, object)


def test_json_that_is_written_is_read_back(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, "é\x1b"], "b": {}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json", dict[str, Any]) == content
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"a": float("nan")})
    with pytest.raises(MorelliError, match=r"b\.json cannot be read \(No such file"):
        read_json(tmp_path / "b.json", dict[str, Any])


def test_json_for_terminals_has_no_nan_and_moves_no_cursor() -> None:
    content = {"auc": float("nan"), "artist": "Zoë\n\x1b[31m\x85\u202e", "file": "\udce9", "rows": [1]}
    text = json_text(content)
    assert text.replace("\n", "").isprintable()
    assert "Zoë" in text
    assert json.loads(text) == content | {"auc": None}


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    table = pd.DataFrame({"artist": ["NA", "007", "", "nan"], "paintings": [1, 2, 3, 4], "auc": [0.5, None, 0.25, 1]})
    write_csv(tmp_path / "a.csv", table)
    found = read_csv(tmp_path / "a.csv", {"artist": str, "paintings": int})
    assert found["artist"].tolist() == ["NA", "007", "", "nan"]
    assert found["paintings"].tolist() == [1, 2, 3, 4]
    assert found["auc"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"artist\n",
        b"artist,paintings\nA,x\n",
        b"artist,paintings\nA\xff,1\n",
        b"artist,paintings\nA,1,2\n",
        b"artist,paintings,auc\nA,1\n",
        b"artist,paintings,artist\nA,1,B\n",
        b'artist,paintings\n"A,1\n',
    ],
)
def test_a_csv_of_other_columns_or_types_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(MorelliError, match=r"a\.csv cannot be read"):
        read_csv(tmp_path / "a.csv", {"artist": str, "paintings": int})
