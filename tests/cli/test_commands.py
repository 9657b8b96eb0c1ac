"""The command line: what a person types, what they see, and how mistakes end."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from morelli.bench import runner
from morelli.cli import main

RECIPE = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.25, "validation_fraction": 0.25},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["frozen", "triplet"],
    "head": {"hidden": [8], "width": 8},
    "training": {"epochs": 2, "batch_size": 8, "m": 2, "validate_every": 1},
}
COMMANDS = [
    "",
    "bench",
    "table",
    "report",
    "train",
    "evaluate",
    "calibrate",
    "models",
    "backbones",
    "data",
    "data prepare",
    "data synthesize",
    "data info",
]


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def morelli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run the command in this process, as its entry point does."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["morelli", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        status = ended.value.code
        return Ended(status if isinstance(status, int) else 0, said.out, said.err)

    return run


@pytest.fixture
def recipe(tmp_path: Path, prepared: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "data": str(prepared)}))
    return path


def test_bench_then_table_then_evaluate(
    morelli: Callable[..., Ended], recipe: Path, prepared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    done = morelli("bench", recipe, "--out", out)
    assert done.status == 0
    assert "unseen pair AUC" in done.stdout
    assert "[2/2] test_efficientnet+32px-triplet-fold0-seed0" in done.stderr

    again = morelli("bench", recipe, "--out", out, "--format", "md")
    assert again.stderr.count("finished before") == 2
    assert again.stdout == morelli("table", out, "--format", "md").stdout
    csv = pd.read_csv(io.StringIO(morelli("table", out, "--format", "csv").stdout))
    assert csv["objective"].tolist() == ["frozen", "triplet"]
    assert {"seen_pair_auc", "unseen_pair_auc", "unseen_artists", "unseen_paintings"} <= set(csv.columns)
    assert r"\begin{tabular}" in morelli("table", out, "--format", "latex").stdout
    assert "unseen eer" in morelli("table", out, "--metric", "eer").stdout

    run = csv["folder"].tolist()[1]
    artists = morelli("table", run, "--artists", 1, "--metric", "precision_at_1", "--format", "md").stdout
    named = pd.read_csv(Path(run) / "per_artist_unseen.csv")["artist"]
    assert sum(name in artists for name in named) == 2
    measured = json.loads(morelli("evaluate", "--model", run, "--data", prepared, "--json").stdout)
    assert measured["seen"]["pair_auc"] == pytest.approx(csv["seen_pair_auc"].tolist()[1])
    shown = morelli("evaluate", "--model", run, "--data", prepared)
    assert shown.status == 0
    assert "pair_auc" in shown.stdout
    assert "paintings that the network was trained on are left out" in shown.stdout


def test_train_writes_a_run_and_prints_it(morelli: Callable[..., Ended], recipe: Path, tmp_path: Path) -> None:
    few = "--set", "training.epochs=1", "--log", "tensorboard"
    done = morelli("train", recipe, "--out", tmp_path / "one", "--objective", "triplet", *few)
    assert done.status == 0
    assert "triplet" in done.stdout
    assert (tmp_path / "one" / "model" / "model.safetensors").is_file()
    assert len(pd.read_csv(tmp_path / "one" / "history.csv")) == 1
    assert list((tmp_path / "one" / "tensorboard").glob("events.*"))


def test_a_train_interrupted_before_it_was_measured_leaves_no_network(
    morelli: Callable[..., Ended], recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner.Experiment, "_validate", interrupted)
        cut = morelli("train", recipe, "--out", tmp_path / "one")
    assert cut.status == 130
    assert "no network was kept" in cut.stderr
    assert not (tmp_path / "one" / "model").exists()
    assert morelli("train", recipe, "--out", tmp_path / "one", "--resume").status == 0


def test_an_interrupted_train_says_how_to_go_on(
    morelli: Callable[..., Ended], recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Iterator[float] = iter([0.5])

    def interrupted(_: object) -> float:
        value = next(looks, None)
        if value is None:
            raise KeyboardInterrupt
        return value

    with monkeypatch.context() as patch:
        patch.setattr(runner.Experiment, "_validate", interrupted)
        cut = morelli("train", recipe, "--out", tmp_path / "one")
    assert cut.status == 130
    assert "--resume" in cut.stderr
    assert (tmp_path / "one" / "model" / "network.json").is_file()
    assert morelli("train", recipe, "--out", tmp_path / "one").status == 2
    assert morelli("train", recipe, "--out", tmp_path / "one", "--resume").status == 0


def test_a_failing_run_is_told_and_ends_with_one(morelli: Callable[..., Ended], recipe: Path, tmp_path: Path) -> None:
    done = morelli("bench", recipe, "--out", tmp_path, "--set", "backbones.0.weights=/missing.safetensors")
    assert done.status == 1
    assert "2 of 2 runs failed" in done.stderr
    assert "failed" in done.stdout


def test_a_batch_larger_than_the_paintings_is_fitted_and_said(
    morelli: Callable[..., Ended], recipe: Path, tmp_path: Path
) -> None:
    done = morelli("train", recipe, "--out", tmp_path / "one", "--set", "training.batch_size=400")
    assert done.status == 0
    assert "training.batch_size=14 instead of 400" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("bench {recipe} --data {tmp}/missing", ["missing"]),
        ("train {recipe} --data {tmp}/missing", ["missing"]),
        ("bench {tmp}/missing.yaml", ["no recipe", "demo"]),
        ("bench {recipe} --set backbones.0=test_efficientnt", ['no backbone "test_efficientnt"', "Did you mean"]),
        ("bench {recipe} --set objectives.1={{loss: {{name: SupConLos}}}}", ['"SupConLoss"?']),
        ("bench {recipe} --set objectives.1={{kind: triplet, miner: {{name: Hard}}}}", ['no miner "Hard"']),
        ("bench {recipe} --set trainig.epochs=3", ['unknown key "trainig"', '"training"?']),
        ("bench {recipe} --set training.epochs=soon", ["training.epochs", "soon"]),
        ("train {recipe} --set training.m=40", ["m=40", "would"]),
        ("bench {recipe} --set training.m=40", ["m=40", "would"]),
        ("train {recipe} --set split.kind=competition", ["no unseen artist"]),
        ("train {recipe} --objective tripet", ['"triplet"?']),
        ("table {tmp}/missing", ["no folder"]),
        ("table {tmp}", ["No finished run", "morelli bench"]),
        ("evaluate --model {tmp} --data {tmp}", ["no trained model"]),
        ("backbones no_such_backbone", ["timm has no backbone"]),
    ],
)
def test_mistakes_end_with_two_and_no_traceback(
    arguments: str, words: list[str], morelli: Callable[..., Ended], recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    given = [
        part.format(recipe=recipe, tmp=tmp_path) for part in arguments.split(" ", 3 if "--set" in arguments else -1)
    ]
    out = ["--out", tmp_path / "runs"] if given[0] in ("bench", "train") else []
    ended = morelli(*given, *out)
    assert ended.status == 2
    assert ended.stderr.lstrip().startswith("Error: ")
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "runs").rglob("metrics.json"))
    for word in words:
        assert word in ended.stderr


def test_report(morelli: Callable[..., Ended], recipe: Path, prepared: Path, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "report.html"
    morelli("bench", recipe, "--out", runs)
    done = morelli("report", runs, "--data", prepared, "--out", out)
    assert done.status == 0
    assert done.stdout.startswith(f"{out}: 2 runs, 18 pictures of paintings, ")
    assert "data:image/webp" in out.read_text()
    bare = morelli("report", runs, "--out", out, "--no-images", "--run", "test_efficientnet+32px-frozen-fold0-seed0")
    assert bare.status == 0
    assert "Note: without the prepared folder there are no map and no galleries." in bare.stderr
    assert bare.stdout.endswith("Map, galleries and artists: test_efficientnet+32px-frozen-fold0-seed0.\n")
    for mistake in (["nowhere"], [runs, "--run", "best"], [runs, "--out", tmp_path], [runs, "--data", runs]):
        ended = morelli("report", *mistake)
        assert ended.status == 2
        assert ended.stderr.startswith("Error: ")
        assert "Traceback" not in ended.stderr


def test_an_unknown_metric(morelli: Callable[..., Ended], recipe: Path, tmp_path: Path) -> None:
    morelli("bench", recipe, "--out", tmp_path / "runs", "--set", "objectives=[frozen]")
    ended = morelli("table", tmp_path / "runs", "--metric", "pair_acu")
    assert ended.status == 2
    assert 'Did you mean "pair_auc"?' in ended.stderr


@pytest.mark.parametrize("arguments", ["bench --format html", "evaluate", "evaluate x --data y --resamples -1", "bnch"])
def test_what_typer_refuses(arguments: str, morelli: Callable[..., Ended]) -> None:
    assert morelli(*arguments.split()).status == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, morelli: Callable[..., Ended]) -> None:
    shown = morelli(*command.split(), "--help")
    assert shown.status == 0
    assert "Usage: " in shown.stdout
    if command not in ("", "data"):
        assert "Example" in shown.stdout


def test_backbones_are_listed_with_where_their_weights_come_from(morelli: Callable[..., Ended]) -> None:
    shown = morelli("backbones", "test_vit*")
    assert shown.status == 0
    rows = dict(line.split("\t") for line in shown.stdout.splitlines())
    assert "test_vit" in rows
    assert set(rows.values()) <= {"packaged", "hub", "none"}


def test_version(morelli: Callable[..., Ended]) -> None:
    assert morelli("--version").stdout.strip().count(".") == 2


def test_help_does_not_load_torch() -> None:
    code = """
import sys
from morelli.cli import main
sys.argv = ["morelli", "--help"]
try:
    main()
finally:
    heavy = {"torch", "timm", "pandas", "numpy", "accelerate", "pytorch_metric_learning"} & set(sys.modules)
    print("loaded:", sorted(heavy), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "loaded: []" in ended.stderr
    assert "bench" in ended.stdout
