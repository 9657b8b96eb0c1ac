"""Two processes do what one does, a process that dies does not leave the other waiting, and training goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import BatchSampler

from morelli.data.sampling import ArtistBalancedSampler

SCRIPT = Path(__file__).with_name("several_processes.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folders ``one``, ``two`` and ``killed``, and how every process ended."""
    folder = tmp_path_factory.mktemp("processes")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        timeout=540,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["one"] == [0], done.stderr
    assert outcome["two"] == [0, 0], done.stderr
    return folder, outcome


def assert_close(left: dict[str, Tensor], right: dict[str, Tensor], atol: float = 1e-5) -> None:
    assert left.keys() == right.keys()
    for key in left:
        torch.testing.assert_close(left[key], right[key], atol=atol, rtol=0, msg=lambda why, key=key: f"{key}: {why}")


def test_gradients_of_two_halves_are_those_of_the_whole_batch(work: tuple[Path, dict[str, Any]]) -> None:
    one, two = (load_file(work[0] / name / "gradients.safetensors") for name in ("one", "two"))
    assert len(one) > 400
    assert_close(one, two)
    at_once = {key: value for key, value in one.items() if ", None, " in key}
    in_chunks = {key: one[key.replace(", None, ", ", 2, ")] for key in at_once}
    assert_close(at_once, in_chunks)


def test_a_training_of_two_is_that_of_one_and_sees_the_same_rows(work: tuple[Path, dict[str, Any]]) -> None:
    one, two = work[0] / "one", work[0] / "two"
    assert_close(load_file(one / "0.safetensors"), load_file(two / "0.safetensors"))
    losses = [json.loads((folder / "losses.json").read_text()) for folder in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert [len(list((folder / "tensorboard").iterdir())) for folder in (one, two)] == [1, 1]  # the first alone logs
    whole, first, second = (
        json.loads((work[0] / name).read_text())
        for name in ("one/asked-0.json", "two/asked-0.json", "two/asked-1.json")
    )
    assert len(whole) == len(first) == len(second) == 20
    for batch, own, other in zip(whole, first, second, strict=True):
        assert len(own) == len(other) == 12
        assert [*own, *other][: len(batch)] == batch  # a short last batch is filled up, and the filling not counted


def test_a_balanced_batch_is_split_into_parts_that_share_no_painting() -> None:
    labels = [artist for artist in range(9) for _ in range(7)]
    parts = []
    for process in (0, 1, 2):
        batches = BatchSampler(ArtistBalancedSampler(labels, m=3, batch_size=18, seed=5), 18, drop_last=False)
        parts.append(list(BatchSamplerShard(batches, 3, process, split_batches=True)))
    for pieces in zip(*parts, strict=True):
        assert [len(piece) for piece in pieces] == [6, 6, 6]
        batch = [index for piece in pieces for index in piece]
        assert len(set(batch)) == 18
        assert sorted(Counter(labels[index] for index in batch).values()) == [3] * 6


def test_embeddings_are_shared_out_and_gathered(work: tuple[Path, dict[str, Any]]) -> None:
    expected = load_file(work[0] / "one" / "embedded-0.safetensors")
    for process in (0, 1):
        assert_close(load_file(work[0] / "two" / f"embedded-{process}.safetensors"), expected)


def test_a_run_of_two_has_the_metrics_of_one(work: tuple[Path, dict[str, Any]]) -> None:
    one, two = work[0] / "one" / "run", work[0] / "two" / "run"
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    expected, metrics = (json.loads((folder / "metrics.json").read_text()) for folder in (one, two))
    for side in ("validation", "seen", "unseen"):
        assert metrics[side].pop("interval").keys() == expected[side].pop("interval").keys()
        assert metrics[side] == pytest.approx(expected[side], abs=1e-4)
    processes = [json.loads((folder / "environment.json").read_text())["processes"] for folder in (one, two)]
    assert processes == [1, 2]
    for process in (0, 1):
        assert "holds a finished run" in (work[0] / "two" / f"error-run-{process}.txt").read_text()
        odd = (work[0] / "two" / f"error-odd-{process}.txt").read_text()
        assert "9 paintings cannot be split among 2 processes" in odd


def test_a_backbone_is_fine_tuned_by_two(work: tuple[Path, dict[str, Any]]) -> None:
    for name in ("one", "two"):  # augmentation is drawn apart, so the metrics differ
        metrics = json.loads((work[0] / name / "fine-tuned" / "metrics.json").read_text())
        assert 0 <= metrics["unseen"]["pair_auc"] <= 1


def test_when_one_is_killed_the_other_stops_and_both_resume_exactly(work: tuple[Path, dict[str, Any]]) -> None:
    folder, outcome = work
    assert outcome["killed"] == [1, -signal.SIGKILL]
    assert outcome["seconds"] < 60
    assert outcome["resumed"] == [0, 0]
    whole = load_file(folder / "two" / "0.safetensors")
    for process in (0, 1):
        assert_close(load_file(folder / "killed" / f"{process}.safetensors"), whole, atol=0)


@pytest.mark.slow
def test_the_launcher_stops_all_when_one_is_killed_and_resume_goes_on(tmp_path: Path) -> None:
    recipe = {
        "name": "two",
        "synthetic": {"artists": 12, "paintings_per_artist": 6, "size": 64},
        "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32, "train": "all"}],
        "objectives": ["triplet"],
        "split": {"kind": "fraction"},
        "training": {"epochs": 12, "batch_size": 8, "m": 2, "validate_every": 1, "patience": 99},
    }
    (tmp_path / "two.yaml").write_text(json.dumps(recipe))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "morelli"]
    command = [*launch, "train", str(tmp_path / "two.yaml"), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 300
        while not (tmp_path / "out" / "checkpoint.pt").is_file():
            assert running.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        psutil.Process(running.pid).children()[-1].kill()
        assert running.wait(timeout=60) != 0
    assert not (tmp_path / "out" / "metrics.json").exists()
    done = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Unseen: ") == 1
    assert len((tmp_path / "out" / "history.csv").read_text().splitlines()) == 13
