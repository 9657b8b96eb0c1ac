"""Run folders: what is written can be read back, and what does not belong is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from morelli.bench.run_folder import CONFIG, ENVIRONMENT, FAILURE, METRICS, RunFolder, find_runs
from morelli.errors import MorelliError
from morelli.models.config import HeadConfig
from morelli.training.config import ObjectiveConfig, TrainingConfig

SETTINGS: dict[str, Any] = {"recipe": "Tableaux de Café", "seed": 0, "training": {"rate": 1e-3, "hidden": (16, 8)}}


def started(path: Path) -> RunFolder:
    run = RunFolder(path)
    run.start(SETTINGS)
    return run


def finished(path: Path) -> RunFolder:
    run = started(path)
    run.write(METRICS, {"unseen": {"pair_auc": 0.75}})
    return run


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = started(tmp_path / "deep" / "run")
    assert not run.is_finished
    assert run.failure is None
    run.write(ENVIRONMENT, {"cores": 2})
    run.write(METRICS, {"unseen": {"pair_auc": 0.75, "interval": {"pair_auc": (0.7, 0.8)}}})
    assert run.is_finished
    assert run.config["recipe"] == "Tableaux de Café"
    assert run.config["training"] == {"rate": 1e-3, "hidden": [16, 8]}
    assert run.environment == {"cores": 2}
    assert run.metrics["unseen"]["interval"]["pair_auc"] == [0.7, 0.8]
    assert not list(run.path.glob(".*"))


def test_the_same_settings_may_start_again(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.start(SETTINGS)
    assert run.is_finished


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.start(SETTINGS | {"caption": "another one"})
    with pytest.raises(MorelliError, match=r"made with another extra, seed\. Choose another --out"):
        run.start(SETTINGS | {"seed": 1, "extra": True})
    assert run.config["seed"] == 0


def test_a_run_from_before_an_option_came_goes_on_if_the_option_is_not_used(tmp_path: Path) -> None:
    settings = {"training": TrainingConfig(epochs=3).model_dump(mode="json"), "head": None}
    earlier = {key: value for key, value in settings["training"].items() if key not in ("chunk", "layer_decay")}
    RunFolder(tmp_path).start(settings | {"training": earlier})

    RunFolder(tmp_path).start(settings)

    with pytest.raises(MorelliError, match="made with another training"):
        RunFolder(tmp_path).start(settings | {"training": settings["training"] | {"layer_decay": 0.5}})


def test_a_run_of_before_goes_on_under_the_new_names(tmp_path: Path) -> None:
    head = HeadConfig(untrained_weight=0.7).model_dump(mode="json")
    objective = ObjectiveConfig.model_validate("bce-pair").model_dump(mode="json", exclude={"head", "training"})
    former = {"untrained_weight": "keep", "untrained_width": "keep_width"}
    RunFolder(tmp_path).start(
        {
            "head": {former.get(key, key): value for key, value in head.items()},
            "objective": {"kind": "bce-pair", "name": "bce-pair", "loss": {}, "miner": {}, "auxiliary": {}},
        }
    )

    RunFolder(tmp_path).start({"head": head, "objective": {**objective, "place": 20}})

    with pytest.raises(MorelliError, match="made with another objective"):
        RunFolder(tmp_path).start({"head": head, "objective": {**objective, "loss": {"name": "OneHotLoss"}}})


def test_a_failure_stands_until_the_run_starts_again(tmp_path: Path) -> None:
    run = started(tmp_path)
    (run.path / FAILURE).write_text("no weights\n")
    assert run.failure == "no weights\n"
    run.start(SETTINGS)
    assert run.failure is None


def test_figures_that_json_cannot_hold_are_not_written(tmp_path: Path) -> None:
    run = started(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        run.write(METRICS, {"unseen": {"pair_auc": float("nan")}})
    assert not run.is_finished


@pytest.mark.parametrize("content", ["", "[1, 2]", "- a", "a: [", "just words", "\x00"])
def test_a_damaged_config_is_refused(content: str, tmp_path: Path) -> None:
    run = finished(tmp_path)
    (run.path / CONFIG).write_text(content)
    with pytest.raises(MorelliError, match=r"(?s)config\.yaml.*(run it again|Run it again)"):
        _ = run.config


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", "null", '"text"'])
def test_damaged_metrics_are_refused(content: str, tmp_path: Path) -> None:
    run = finished(tmp_path)
    (run.path / METRICS).write_text(content)
    with pytest.raises(MorelliError, match=r"metrics\.json.*run it again"):
        _ = run.metrics


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=r"environment\.json cannot be read"):
        _ = finished(tmp_path).environment


@pytest.mark.parametrize("version", [0, 2, None])
def test_another_format_is_refused(version: int | None, tmp_path: Path) -> None:
    run = finished(tmp_path)
    (run.path / CONFIG).write_text(yaml.safe_dump({**run.config, "format": version}))
    with pytest.raises(MorelliError, match=f"run format {version}"):
        _ = run.config


def test_runs_are_found_at_any_depth_once_and_in_order(tmp_path: Path) -> None:
    shallow = finished(tmp_path / "a")
    deep = finished(tmp_path / "b" / "c" / "d")
    failed = started(tmp_path / "e")
    (failed.path / FAILURE).write_text("no weights")
    started(tmp_path / "f")  # not finished
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / METRICS).write_text(json.dumps({}))  # not a run
    assert find_runs([tmp_path]) == [shallow, deep, failed]
    assert find_runs([deep.path, tmp_path]) == [deep, shallow, failed]
    assert find_runs([shallow.path]) == [shallow]


def test_no_runs_and_no_folder_are_different_mistakes(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="There is no folder"):
        find_runs([tmp_path / "missing"])
    started(tmp_path / "unfinished")
    with pytest.raises(MorelliError, match=r"No finished run in .*morelli bench"):
        find_runs([tmp_path])
