"""The charts of one run: ROC, reliability, scores of same and different hands, and how it learned.

Each is drawn from the CSV files of the run folder; where a run has none, there is no chart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from morelli._text import read_named_csv
from morelli.bench.run_folder import RunFolder
from morelli.errors import MorelliError
from morelli.report.svg import Chart, Plot, padded

Array = np.ndarray

SIDES = ("seen", "unseen")
_ROC_POINTS, _BARS = 120, 32


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    """Read one of a run's CSV files; None where the run has none.

    Raises:
        MorelliError: it cannot be read, or lacks a column.
    """
    if not path.is_file():
        return None
    try:
        frame: pd.DataFrame = read_named_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise MorelliError(f"{path} cannot be read ({error}). Delete {path.parent} and run it again.") from error
    if missing := [column for column in columns if column not in frame]:
        raise MorelliError(f"{path} has no column {missing[0]}. Delete {path.parent} and run it again.")
    return frame


@dataclass(frozen=True)
class Scores:
    """How many pairs by same and by different hands have which score, bins (B,) with the lowest first."""

    score: Array
    same: Array
    different: Array

    @classmethod
    def read(cls, run: RunFolder, side: str) -> "Scores | None":
        """From ``score_histogram_<side>.csv``; None where that is missing or holds pairs of one kind only."""
        frame = read_csv(run.path / f"score_histogram_{side}.csv", ("score", "same", "different"))
        if frame is None or not frame["same"].sum() or not frame["different"].sum():
            return None
        frame = frame.sort_values("score")
        return cls(*(frame[column].to_numpy(float) for column in ("score", "same", "different")))

    def rates(self) -> tuple[Array, Array]:
        """False and true accept rates as the threshold falls past each bin, both from 0 to 1."""
        accepted = [np.concatenate([[0], np.cumsum(x[::-1])]) / x.sum() for x in (self.different, self.same)]
        even = np.linspace(0, 2, _ROC_POINTS)
        kept = np.unique(np.searchsorted(accepted[0] + accepted[1], even).clip(max=len(self.score)))
        return accepted[0][kept], accepted[1][kept]

    def density(self, counts: Array, edges: Array) -> Array:
        """Share of pairs a unit of score, between the edges (E,) → (E − 1,)."""
        between = (self.score[1:] + self.score[:-1]) / 2
        below = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
        bounds = np.concatenate([self.score[:1], between, self.score[-1:]])
        shares: Array = np.diff(np.interp(edges, bounds, below)) / np.diff(edges)
        return shares

    def middle(self) -> tuple[float, float]:
        """The range of scores without the outermost 0.1 % of either kind at each end."""
        ends = []
        for counts in (self.same, self.different):
            below = np.cumsum(counts) / counts.sum()
            places = np.searchsorted(below, [0.001, 0.999]).clip(max=len(below) - 1)
            ends.append(self.score[places])
        return min(low for low, _ in ends), max(high for _, high in ends)


def roc(run: RunFolder, baseline: RunFolder | None) -> Chart | None:
    """True against false accept rate, seen and unseen, and the unseen curve of the untrained baseline."""
    plot = Plot((0, 1), (0, 1))
    plot.line("chance", np.array([0, 1]), np.array([0, 1]))
    curves = [("baseline", baseline, "unseen"), ("seen", run, "seen"), ("unseen", run, "unseen")]
    for css, of, side in curves:
        if of is not None and (of is not run or css != "baseline") and (scores := Scores.read(of, side)):
            plot.line(css, *scores.rates())
    if not any(shape.css.startswith(SIDES) for shape in plot.shapes):
        return None
    return plot.chart(f"ROC curves: {_measured(run, 'pair_auc', 'pair AUC')}.", "false accepts", "true accepts")


def reliability(run: RunFolder) -> Chart | None:
    """Share of pairs that are by the same hand against the probability that the network gave them."""
    plot = Plot((0, 1), (0, 1))
    plot.line("chance", np.array([0, 1]), np.array([0, 1]))
    for side in SIDES:
        frame = read_csv(run.path / f"reliability_{side}.csv", ("probability", "share", "mass"))
        if frame is not None and len(frame := frame[frame["mass"] > 0]):
            frame = frame.sort_values("probability")
            xs, ys = frame["probability"].to_numpy(float), frame["share"].to_numpy(float)
            plot.line(side, xs, ys)
            plot.dots(side, xs, ys)
    if len(plot.shapes) == 1:
        return None
    label = f"Reliability: {_measured(run, 'ece', 'expected calibration error')}."
    return plot.chart(label, "stated probability", "observed share")


def histogram(run: RunFolder) -> Chart | None:
    """How the scores of pairs by one hand and by two lie, on unseen artists."""
    scores = Scores.read(run, "unseen")
    if scores is None or len(scores.score) < 2:
        return None
    low, high = scores.middle()
    if not high > low:
        return None
    edges = np.linspace(low, high, _BARS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    shares = [scores.density(counts, edges) for counts in (scores.different, scores.same)]
    plot = Plot((low, high), (0, 1.06 * max(float(share.max()) for share in shares)))
    for css, share in zip(("different", "same"), shares, strict=True):
        plot.area(css, centres, share)
        plot.line(css, centres, share)
    pairs = f"{scores.same.sum():,.0f} pairs by the same hand, {scores.different.sum():,.0f} by different hands"
    label = f"Scores of unseen artists' pairs: {pairs}; {_measured(run, 'pair_auc', 'pair AUC')}."
    return plot.chart(label, "score", "density", y_ticks=False)


def learning(run: RunFolder) -> list[Chart]:
    """Validation pair AUC and the share of active triplets, epoch by epoch, and the loss; empty without training."""
    frame = read_csv(run.path / "history.csv", ("epoch", "loss"))
    if frame is None or frame.empty:
        return []
    epochs = frame["epoch"].to_numpy(float)
    across = (float(epochs.min()), float(epochs.max())) if len(epochs) > 1 else padded(epochs.tolist())
    plot, said = Plot(across, (0, 1)), []
    for column, css, words in (
        ("active_triplets", "active", "share of active triplets"),
        ("validation_pair_auc", "validation", "validation pair AUC"),
    ):
        measured = frame[["epoch", column]].dropna().to_numpy(float) if column in frame else np.empty((0, 2))
        if len(measured):
            plot.line(css, measured[:, 0], measured[:, 1])
            if css == "validation":  # where the best weights, which are kept, were found
                best = measured[[measured[:, 1].argmax()]]
                plot.dots(css, best[:, 0], best[:, 1])
            said.append(f"{words} from {measured[0, 1]:.3f} to {measured[-1, 1]:.3f}")
    loss = Plot(across, padded(frame["loss"].tolist(), 0.1), height=120)
    loss.line("loss", epochs, frame["loss"].to_numpy(float))
    over = f"over {len(epochs)} epochs"
    charts = [plot.chart(f"{'; '.join(said).capitalize()} {over}.", "epoch", "share")] if said else []
    ends = f"Loss from {frame['loss'].iloc[0]:.3g} to {frame['loss'].iloc[-1]:.3g} {over}."
    return [*charts, loss.chart(ends, "epoch", "loss")]


def _measured(run: RunFolder, metric: str, words: str) -> str:
    values = {side: run.metrics[side].get(metric) for side in SIDES if side in run.metrics}
    parts = [f"{value:.3f} on {side} artists" for side, value in values.items() if value is not None]
    return f"{words} {' and '.join(parts)}" if parts else f"{words} not measured"
