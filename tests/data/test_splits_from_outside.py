"""A split of one's own, named by a dotted path: fitted and divided like the others; each mistake is one sentence."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from morelli.data.splits import SplitConfig, fit_split, split_paintings
from morelli.errors import MorelliError

PLUGIN = """
from morelli.data.splitters import SplitConfig, Splitter, sides_around

class ByInitial(Splitter):
    "Artists of one initial are unseen, another one in each fold."
    folds = 2

    def sides(self, table, fold):
        return sides_around(table, sorted({key for key in table["key"] if key[0] == "ab"[fold]}), self.config)

class Broken(Splitter):
    def sides(self, table, fold):
        return table["no such column"]

class Strange(Splitter):
    def sides(self, table, fold):
        return ["held out"] * len(table)

class Other: ...
made = ByInitial(SplitConfig())
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    (tmp_path / "own_split.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_split", raising=False)
    artists = [f"{initial} Painter {number}" for initial in "ABC" for number in range(6) for _ in range(5)]
    return pd.DataFrame({"id": [str(row) for row in range(len(artists))], "artist": artists})


def test_a_split_of_ones_own_says_how_many_folds_it_has(table: pd.DataFrame) -> None:
    config = SplitConfig(kind="own_split:ByInitial")
    assert config.fold_numbers == range(2)
    fitted = fit_split(table, config)
    assert (fitted.config, len(fitted.folds)) == (config, 2)
    for fold, split in enumerate(fitted.folds):
        assert split == split_paintings(table, config, fold)
        assert {name[0] for name in split.rows(table, "unseen")["artist"]} == {"AB"[fold]}
        assert split.validation


def test_reading_a_config_imports_nothing(table: pd.DataFrame) -> None:
    assert SplitConfig.model_validate({"kind": "own_split:ByInitial"}).kind == "own_split:ByInitial"
    assert "own_split" not in sys.modules
    assert len(table)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("own_split:Missing", 'own_split has no "Missing"'),
        ("own_split:Other", "it is the class Other"),
        ("own_split:made", "it could not be made"),
        ("no_such_module:Split", "importing no_such_module failed"),
        ("own_split:Broken", r"sides\(\) failed \(KeyError: 'no such column'\)"),
        ("own_split:Strange", r"sides\(\) failed \(ValueError: no such side: held out; there are train, "),
    ],
)
def test_a_mistake_in_it_is_one_sentence(name: str, found: str, table: pd.DataFrame) -> None:
    with pytest.raises(MorelliError, match=rf"^{name} must be a .*morelli\.data\.splitters\.Splitter, but {found}"):
        fit_split(table, SplitConfig(kind=name))
