"""Training: it learns, keeps the best, stops when it should, and goes on as if it had never been interrupted."""

import os
import pickle
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, TensorBoardTracker
from torch import Tensor

import morelli.training.fit as module
from morelli.errors import MorelliError, MorelliWarning
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.embedder import Embedder
from morelli.models.heads import EmbeddingHead, HeadConfig
from morelli.training.checkpoint import CHECKPOINT
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import TrainingConfig, check_tracker, create_accelerator, fit
from morelli.training.objectives import Objective, ObjectiveConfig, create_objective

ARTISTS, EACH, FEATURES = 6, 8, 12
LABELS = [artist for artist in range(ARTISTS) for _ in range(EACH)]
TRIPLET = ObjectiveConfig.model_validate("triplet")
QUICK = {"epochs": 6, "batch_size": 12, "m": 2, "validate_every": 2, "learning_rate": 1e-2}


def features() -> Tensor:
    """Each artist's features lie about a centre, drowned in noise along other directions."""
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(ARTISTS, 3, generator=generator)
    signal = centres[torch.tensor(LABELS)] + 0.3 * torch.randn(len(LABELS), 3, generator=generator)
    noise = 3 * torch.randn(len(LABELS), FEATURES - 3, generator=generator)
    return torch.cat([signal, noise], dim=1)


def made(kind: Any = "triplet", dropout: float = 0.2) -> tuple[EmbeddingHead, Objective]:
    torch.manual_seed(3)
    head = EmbeddingHead(FEATURES, HeadConfig(hidden=(16,), width=8, dropout=dropout))
    head.standardise(features())
    objective = create_objective(ObjectiveConfig.model_validate(kind), width=8, artists=ARTISTS, normalised=True)
    assert objective is not None
    return head, objective


def separation(head: EmbeddingHead) -> float:
    """Share of paintings whose nearest other painting is by the same artist."""
    with torch.no_grad():
        points = head.eval()(features())
    nearest = torch.cdist(points, points).fill_diagonal_(torch.inf).argmin(1)
    labels = torch.tensor(LABELS)
    return float((labels[nearest] == labels).float().mean())


def trained(
    folder: Path,
    head: EmbeddingHead,
    objective: Objective,
    validate: Callable[[], float] = lambda: 0.5,
    *,
    resume: bool = False,
    keep: Callable[[], None] = lambda: None,
    log: str | None = None,
    **config: Any,
) -> pd.DataFrame:
    dataset = FeatureDataset(features(), LABELS)
    options = TrainingConfig(**{**QUICK, **config})
    known: dict[str, Any] = {"seed": 5, "resume": resume, "keep": keep}
    known["accelerator"] = create_accelerator("no", log, folder)
    return fit(head, objective, dataset, LABELS, validate, options, folder, **known)


def weights(*parts: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{n}.{key}": value.clone() for n, part in enumerate(parts) for key, value in part.state_dict().items()}


def assert_identical(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key]), key


@pytest.mark.parametrize("kind", ["triplet", "bce-pair", "bce-concat", "bce-onehot"])
def test_it_learns(kind: str, tmp_path: Path) -> None:
    head, objective = made(kind, dropout=0.0)
    before = separation(head)
    looks = iter(range(1000))
    history = trained(tmp_path, head, objective, lambda: next(looks) / 1000, epochs=60, validate_every=20)
    assert separation(head) > before + 0.2
    assert len(history) == 60
    assert history["validation_pair_auc"].notna().sum() == 3
    assert (history[["loss", "gradient_norm", "learning_rate", "seconds"]] >= 0).all(axis=None)
    logged = {"triplet": "active_triplets", "bce-onehot": "classifier_accuracy"}.get(kind, "pair_accuracy")
    assert history[logged].between(0, 1).all()


def test_the_best_weights_by_validation_are_kept(tmp_path: Path) -> None:
    head, objective = made()
    seen: list[dict[str, Tensor]] = []
    values = iter([0.6, 0.9, 0.7])

    def validate() -> float:
        seen.append(weights(head, objective))
        return next(values)

    trained(tmp_path, head, objective, validate)
    assert_identical(weights(head, objective), seen[1])
    assert any(not torch.equal(seen[1][key], seen[2][key]) for key in seen[1])


def test_early_stop(tmp_path: Path) -> None:
    values = iter([0.6, 0.5, 0.6, 0.9])
    history = trained(tmp_path, *made(), lambda: next(values), epochs=100, validate_every=3, patience=2)
    assert len(history) == 9
    assert history["validation_pair_auc"].dropna().tolist() == [0.6, 0.5, 0.6]


def test_the_last_epoch_is_always_looked_at(tmp_path: Path) -> None:
    history = trained(tmp_path, *made(), epochs=5, validate_every=4)
    assert history.loc[history["validation_pair_auc"].notna(), "epoch"].tolist() == [4, 5]


@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0.0), ("constant", 1e-2)])
def test_the_learning_rate_rises_and_follows_its_schedule(schedule: str, last: float, tmp_path: Path) -> None:
    history = trained(tmp_path, *made(), epochs=10, warmup=0.3, schedule=schedule)
    rates = history["learning_rate"]
    assert rates[:3].is_monotonic_increasing
    assert rates.max() == pytest.approx(1e-2)
    assert rates.iloc[-1] == pytest.approx(last, abs=1e-9)


def test_layers_learn_the_slower_the_earlier_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BackboneConfig(name="test_efficientnet", weights="none", image_size=32, train="all")
    network = Embedder(Backbone(config), EmbeddingHead(256, HeadConfig(hidden=(), width=8)))
    pictures = [(torch.randn(3, 32, 32), label) for label in LABELS]
    net = network.backbone.net
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    options = TrainingConfig(**QUICK, layer_decay=0.1, weight_decay=0.0)

    fit(network, made()[1], cast(Any, pictures), LABELS, lambda: 0.5, options, tmp_path)

    moved = {name: float((value.detach() - before[name]).abs().mean()) for name, value in net.named_parameters()}
    assert moved["conv_head.weight"] > 5 * moved["blocks.3.0.conv_pw.weight"] > 0
    assert moved["blocks.3.0.conv_pw.weight"] > 5 * moved["blocks.1.0.conv_pwl.weight"]


def test_the_objective_is_told_the_epoch(tmp_path: Path) -> None:
    kind = "examples.ablations.classify_first:ClassifyFirst"
    classified = {"kind": kind, "loss": TRIPLET.loss, "miner": TRIPLET.miner, "options": {"epochs": 2}}
    history = trained(tmp_path, *made(classified), epochs=4, validate_every=1)
    # Only the triplet loss logs the triplets that it still has to learn from.
    assert history["active_triplets"].isna().tolist() == [True, True, False, False]


def test_a_loss_that_is_not_a_number_stops_training_and_says_why(tmp_path: Path) -> None:
    head, objective = made("bce-onehot")
    with torch.no_grad():
        objective.get_parameter("loss.log_scale").fill_(torch.nan)
    with pytest.raises(MorelliError, match=r"(?s)loss became nan in epoch 1.*training.learning_rate"):
        trained(tmp_path, head, objective)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"kind": "triplet", "miner": {"name": "TripletMarginMiner", "margin": -9.0}},
            "its miner TripletMarginMiner found",
        ),
        ({"kind": "triplet", "loss": {"name": "TripletMarginLoss", "margin": -9.0}, "miner": {}}, "Raise its margin"),
    ],
)
def test_a_loss_that_stays_at_zero_says_so_once_in_the_first_epoch(config: Any, words: str, tmp_path: Path) -> None:
    with pytest.warns(MorelliWarning, match=f"zero throughout the first epoch.*{words}") as caught:
        history = trained(tmp_path, *made(config), epochs=3)
    assert len(caught) == 1
    assert (history["loss"] == 0).all()


def test_batches_that_do_not_fit_the_artists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="would fit"):
        trained(tmp_path, *made(), m=9, batch_size=18)


def interrupted_at(look: int) -> Callable[[], float]:
    looks: Iterator[int] = count(1)

    def validate() -> float:
        number = next(looks)
        if number == look:
            raise KeyboardInterrupt
        return 0.5 + number / 100

    return validate


@pytest.mark.parametrize("kind", ["triplet", "bce-concat", {"loss": {"name": "ProxyAnchorLoss"}}], ids=str)
@pytest.mark.parametrize("sampling", ["balanced", "tuples"])
def test_an_interrupted_training_goes_on_to_the_same_weights(kind: Any, sampling: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 8}
    if sampling == "tuples":
        if kind not in ("triplet", "bce-concat"):
            pytest.skip("one case is enough")
        options |= {"sampling": "triplets" if kind == "triplet" else "pairs", "optimiser": "adam"}
        if kind == "triplet":
            kind = {"kind": "triplet", "miner": {}}
    whole, cut = made(kind), made(kind)
    expected = trained(tmp_path / "whole", *whole, interrupted_at(99), **options)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", *cut, interrupted_at(3), **options)
    again = made(kind)
    looks = count(3)
    history = trained(tmp_path / "cut", *again, lambda: 0.5 + next(looks) / 100, resume=True, **options)

    assert_identical(weights(*whole), weights(*again))
    steady = ["epoch", "loss", "gradient_norm", "learning_rate", "validation_pair_auc"]
    pd.testing.assert_frame_equal(history[steady], expected[steady], check_exact=True)


def test_an_interruption_leaves_the_best_weights_so_far(tmp_path: Path) -> None:
    head, objective = made()
    best: list[dict[str, Tensor]] = []
    kept: list[dict[str, Tensor]] = []
    values = iter([0.9, 0.6])

    def validate() -> float:
        best.append(weights(head, objective))
        value = next(values, None)
        if value is None:
            raise KeyboardInterrupt
        return value

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, head, objective, validate, keep=lambda: kept.append(weights(head, objective)))
    assert_identical(weights(head, objective), best[0])
    assert_identical(kept[0], best[0])
    assert len(kept) == 1


def test_an_interruption_before_the_first_look_keeps_nothing(tmp_path: Path) -> None:
    head, objective = made()
    untrained = weights(head)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, head, objective, interrupted_at(1), keep=lambda: pytest.fail("nothing was measured yet"))
    assert any(not torch.equal(untrained[key], value) for key, value in weights(head).items())


def test_without_resume_a_checkpoint_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"anything")
    assert len(trained(tmp_path, *made())) == 6


def test_resume_without_a_checkpoint_trains_from_the_start(tmp_path: Path) -> None:
    assert len(trained(tmp_path, *made(), resume=True)) == 6


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads in a run folder: figure → (epoch, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_is_told_every_epoch_also_over_an_interruption(tmp_path: Path) -> None:
    first = made()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, *first, interrupted_at(3), epochs=8, log="tensorboard")
    looks = count(3)
    history = trained(
        tmp_path, *made(), lambda: 0.5 + next(looks) / 100, resume=True, epochs=8, log="tensorboard"
    ).set_index("epoch")

    told = logged(tmp_path)
    assert {"loss", "learning_rate", "validation_pair_auc", "active_triplets"} <= set(told)
    for name, values in told.items():
        expected = history[name].dropna()
        assert [epoch for epoch, _ in values] == expected.index.tolist(), name
        assert [value for _, value in values] == pytest.approx(expected.tolist(), rel=1e-6), name


def _of_mlflow(folder: Path) -> list[float]:
    from mlflow import MlflowClient

    client = MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("morelli").experiment_id])
    assert run.info.run_name == folder.name
    return [metric.value for metric in client.get_metric_history(run.info.run_id, "loss")]


def _of_dvclive(folder: Path) -> list[float]:
    return list(pd.read_csv(folder / "dvclive" / "plots" / "metrics" / "loss.tsv", sep="\t")["loss"])


def _of_trackio(folder: Path) -> list[float]:
    from trackio.sqlite_storage import SQLiteStorage

    return [row["loss"] for row in SQLiteStorage.get_logs("morelli", folder.name)]


@pytest.mark.filterwarnings("default")  # theirs
@pytest.mark.parametrize(("log", "read"), [("mlflow", _of_mlflow), ("dvclive", _of_dvclive), ("trackio", _of_trackio)])
def test_trackers_that_need_no_network_are_told_and_ask_nobody(
    log: str, read: Callable[[Path], list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are not in the extra ``test`` are tried where they are installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip(log)
    asked: list[Any] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        asked.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    (tmp_path / "run").mkdir()
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    history = trained(tmp_path / "run", *made(), epochs=3, log=log)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"  # it is silent in tests anyway
    assert read(tmp_path / "run") == pytest.approx(history["loss"].tolist(), rel=1e-6)
    assert [one for one in asked if isinstance(one, tuple) and one[0] not in ("127.0.0.1", "::1", "localhost")] == []


def test_a_tracker_that_cannot_log_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tracker(TensorBoardTracker):
        def start(self) -> None:
            raise RuntimeError("no account\nlog in first")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "tensorboard", Tracker)
    with pytest.raises(MorelliError, match=r"--log tensorboard cannot log: no account$"):
        trained(tmp_path, *made(), log="tensorboard")


def test_without_a_tracker_nothing_is_logged(tmp_path: Path) -> None:
    trained(tmp_path, *made())
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_tracker("tensorboard")
    with pytest.raises(MorelliError, match=r'No tracker is called "tensorbord"\. Did you mean "tensorboard"\?.*here: '):
        check_tracker("tensorbord")
    monkeypatch.setattr("morelli.training.fit.get_available_trackers", lambda: ["mlflow", "aim"])
    check_tracker(None)
    check_tracker("aim")
    with pytest.raises(MorelliError, match=r"pip install tensorboard\. Installed here: aim, mlflow\."):
        check_tracker("tensorboard")


class _Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle ran')",))


@pytest.mark.parametrize("what", ["cut", "empty", "pickle", "torch pickle", "other network", "other content"])
def test_a_damaged_or_foreign_checkpoint_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    trained(tmp_path, *made())
    content = path.read_bytes()
    if what == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "pickle":
        path.write_bytes(pickle.dumps(_Attack()))
    elif what == "torch pickle":
        torch.save(_Attack(), path)
    elif what == "other content":
        torch.save({"weights": {}}, path)
    else:
        trained(tmp_path, *made("bce-concat"))
    head, objective = made()
    with pytest.raises(MorelliError, match=r"(?s)checkpoint\.pt does not fit this run.*Delete it"):
        trained(tmp_path, head, objective, resume=True)


@pytest.mark.parametrize(("name", "plain"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_optimisers_of_timm_give_the_same_weights_as_torchs(
    name: str, plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(folder: Path) -> dict[str, Tensor]:
        head, objective = made()
        trained(folder, head, objective, optimiser=name, weight_decay=0.1)
        return head.state_dict()

    by_name = weights(tmp_path / "timm")
    monkeypatch.setattr(
        module,
        "create_optimizer_v2",
        lambda groups, _, rate, decay, **options: plain(groups, rate, weight_decay=decay, **options),
    )
    directly = weights(tmp_path / "torch")
    assert all(torch.equal(by_name[key], directly[key]) for key in directly)


def test_any_optimiser_of_timm_trains(tmp_path: Path) -> None:
    head, objective = made()
    before = separation(head)
    trained(tmp_path, head, objective, optimiser="lion", epochs=12)
    assert separation(head) > before
    with pytest.raises(ValueError, match=r'timm has no optimiser "lionn"\. Did you mean "lion'):
        TrainingConfig(optimiser="lionn")
