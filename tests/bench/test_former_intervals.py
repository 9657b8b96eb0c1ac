"""Recipes and run folders from before intervals left one artist out: read on, or one sentence."""

from pathlib import Path

import pytest

from morelli.bench.compare_runs import compare_runs
from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import CONFIG, RunFolder
from morelli.errors import MorelliError, MorelliWarning


def test_a_recipe_that_names_resamples_is_used_with_a_note() -> None:
    with pytest.warns(MorelliWarning, match=r"evaluation\.resamples is not used: intervals leave one artist out"):
        recipe = load_recipe("demo", ["evaluation.resamples=200"])
    assert recipe == load_recipe("demo")


def test_a_folder_begun_with_resamples_goes_on(tmp_path: Path) -> None:
    evaluation = {"cohort": 1000, "calibration": "platt"}
    run = RunFolder(tmp_path)
    run.start({"recipe": "old", "evaluation": {**evaluation, "resamples": 1000}})
    assert "resamples" in (tmp_path / CONFIG).read_text()
    run.start({"recipe": "old", "evaluation": evaluation})
    with pytest.raises(MorelliError, match="another evaluation"):
        run.start({"recipe": "old", "evaluation": {**evaluation, "cohort": 10}})


def test_runs_with_resamples_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "resamples_unseen.parquet").write_bytes(b"")
    with pytest.raises(MorelliError, match=r"earlier version.* run it again"):
        compare_runs(tmp_path, tmp_path, ["pair_auc"])
    with pytest.raises(MorelliError, match=r"no leave_one_out_seen\.parquet"):
        compare_runs(tmp_path, tmp_path, ["pair_auc"], "seen")
