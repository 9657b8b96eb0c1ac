"""Progress of long work: lines where there is no terminal, one bar where there is one."""

import io

import pandas as pd
import pytest
import torch
from rich.progress import DownloadColumn

from morelli import _progress
from morelli._progress import progress_bar
from morelli.evaluation.evaluate import evaluate
from morelli.evaluation.identification import learn_identification
from morelli.evaluation.normalisation import CohortScorer
from morelli.models.heads import PairHead


class Clock:
    """Seconds that pass when it is told so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_in_a_log_long_work_says_every_half_minute_how_far_it_is(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(clock=clock) as progress:
        for _ in progress.track(range(600), description="Embedding"):
            clock.now += 0.25
    with progress_bar(clock=clock) as progress:
        task = progress.add_task("train", total=5, completed=1)
        for loss in (0.5, 0.4, 0.3):
            clock.now += 3600
            progress.update(task, advance=1, description=f"train (loss {loss})")
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.splitlines() == [
        "Embedding: 120/600, 0:02:00 left",
        "Embedding: 240/600, 0:01:30 left",
        "Embedding: 360/600, 0:01:00 left",
        "Embedding: 480/600, 0:00:30 left",
        "train (loss 0.5): 2/5",
        "train (loss 0.4): 3/5, 2:00:00 left",
        "train (loss 0.3): 4/5, 1:00:00 left",
    ]


def test_bytes_are_said_as_bytes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    content = io.BytesIO(bytes(4_000_000))
    with (
        progress_bar(DownloadColumn(), clock=clock) as progress,
        progress.wrap_file(content, 4_000_000, description="Reading list.csv") as file,
    ):
        while file.read(1_000_000):
            clock.now += 20
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Reading list.csv: 3.0/4.0 MB, 0:00:20 left"]


@pytest.mark.parametrize(("seconds", "hidden"), [(0.04, False), (5, True)])
def test_short_and_hidden_work_says_nothing(
    seconds: float, hidden: bool, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(hidden=hidden, clock=clock) as progress:
        for _ in progress.track(range(600), description="Embedding"):
            clock.now += seconds
    assert not capsys.readouterr().err


def test_what_lasts_is_said_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for hidden in (False, True):
        with progress_bar(lasting=True, hidden=hidden, clock=clock) as progress:
            progress.advance(progress.add_task("Preparing", total=2), 2)
    assert capsys.readouterr().err == "Preparing: 2/2\n"


def test_measuring_says_what_it_is_at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_progress, "EVERY", 0.0)
    random = torch.Generator().manual_seed(0)
    embeddings, cohort = (torch.randn(rows, 8, generator=random) for rows in (600, 20))
    artists = [f"Artist {row % 20}" for row in range(600)]
    head = PairHead(8)
    normalised = {"csls": CohortScorer(head, cohort, ["Other"])}
    evaluate(embeddings, pd.DataFrame({"artist": artists}), head, normalised=normalised)
    learn_identification(embeddings, artists, head)
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        *("Scoring pairs: 1/3", "Scoring pairs: 2/3"),
        *("Scoring the cohort: 1/3", "Scoring the cohort: 2/3"),
        *(f"Learning to identify: {number}/5" for number in range(1, 5)),
    ]


def test_a_terminal_has_one_bar_at_a_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(lasting=True) as outer:
        for _ in outer.track(range(2), description="Training"):
            with progress_bar(lasting=True) as inner:
                list(inner.track(range(3), description="Scoring"))
    with progress_bar(lasting=True) as later:
        list(later.track(range(4), description="Embedding"))
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "4/4" in shown
    assert "Scoring" not in shown
