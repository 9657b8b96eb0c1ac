"""Files of every format, changed at random: read as they were, or refused by name in one sentence."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from morelli._csv import read_csv, write_csv
from morelli._json import json_text, parsed_json, read_json, write_json
from morelli._tensors import read_tensors
from morelli._yaml import YAMLError, load_yaml, read_yaml
from morelli.errors import MorelliError

sys.path.insert(0, str(Path(__file__).parent))
from file_formats import FORMATS, Format, make_files, outcome, outcomes, path_of

COUNT = 40
"""Changed files for each format; ``benchmarks/mutations.py`` makes any number."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound file of every format."""
    base = tmp_path_factory.mktemp("files")
    make_files(base)
    return base


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_changed_is_refused_by_name_or_read_and_as_it_was_if_it_has_a_checksum(name: str, files: Path) -> None:
    counts = outcomes(name, files, COUNT, seed=1)
    assert counts.keys() <= {"refused", "read"}
    if FORMATS[name].has_checksum:
        assert counts["refused"] > counts["read"]


def test_a_reader_that_is_wrong_would_be_seen(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files / "recipe.yaml"
    for read, said in (
        (lambda _: {}["x"], "raised KeyError"),
        (lambda _: 2, "read otherwise"),
        (lambda _: parsed_json("nan", float), "raised ValueError"),
        (lambda path: read_json(path.with_name("other.json"), dict[str, Any]), "refused without its name"),
    ):
        monkeypatch.setitem(FORMATS, "wrong", Format("recipe.yaml", read, has_checksum=True))
        assert outcome("wrong", path, whole=1).startswith(said)


def test_a_block_of_another_program_has_no_digest(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")[0]["a"], torch.ones(2))
    with pytest.raises(MorelliError, match=r"a\.safetensors cannot be read"):
        read_tensors(tmp_path / "a.safetensors", needs_digest=True)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "name", [name for name, one in FORMATS.items() if one.is_named and one.place.endswith((".json", ".yaml"))]
)
@pytest.mark.parametrize("content", [DEEP, '{"a":' * 100_000, "- " * 50_000, "", "\ufeff", "9" * 5000, "1e999", "null"])
def test_deep_nesting_and_other_extremes_are_refused(name: str, content: str, files: Path) -> None:
    path = path_of(name, files)
    whole = path.read_bytes()
    path.write_text(content, encoding="utf-8")
    assert outcome(name, path) == "refused"
    path.write_bytes(whole)


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
        b"artist,paintings,auc\nA,1,inf\n",
        b"artist,paintings,auc\nA,1,nan\n",
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
