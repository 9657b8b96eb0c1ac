"""The charts of a run: ROC, reliability, scores of same and different hands, and learning curves.

Each is drawn from the CSV files of the run folder; where a run has none, there is no chart. A new one is a function in
:data:`morelli.report.report.FIGURES` and a ``figure`` in ``templates/report.html``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from morelli import _csv
from morelli.bench.run_folder import AGAIN, SUBSETS, RunFolder
from morelli.report.runs import Shown
from morelli.report.svg import Chart, Plot, padded

Array = np.ndarray
_ROC_POINTS, _BARS = 120, 32


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    """Read one of a run's CSV files; None where the run has none.

    Raises:
        MorelliError: it cannot be read, or lacks a column.
    """
    if not path.is_file():
        return None
    return _csv.read_csv(path, {name: str if name == "artist" else float for name in columns}, remedy=AGAIN)


@dataclass(frozen=True)
class Scores:
    """How many pairs by same and by different hands have which score, bins (B,) with the lowest first."""

    score: Array
    same: Array
    different: Array

    @classmethod
    def read(cls, run: RunFolder, subset: str) -> "Scores | None":
        """From ``score_histogram_<subset>.csv``; None where that is missing or has no pairs of one hand, or of two."""
        columns = ("score", "same", "different")
        frame = read_csv(run.path / f"score_histogram_{subset}.csv", columns)
        if frame is None or not frame["same"].sum() or not frame["different"].sum():
            return None
        return cls(*frame.sort_values("score")[list(columns)].to_numpy(float).T)

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
            places = np.searchsorted(np.cumsum(counts) / counts.sum(), [0.001, 0.999])
            ends.append(self.score[places.clip(max=len(counts) - 1)])
        return min(low for low, _ in ends), max(high for _, high in ends)


def roc(shown: Shown) -> list[Chart]:
    """True against false accept rate, seen and unseen, and the unseen curve of the untrained baseline."""
    plot = _unit_plot()
    curves = [("baseline", shown.baseline, "unseen"), *((subset, shown.run, subset) for subset in SUBSETS)]
    for css, run, subset in curves:
        if run is not None and (scores := Scores.read(run, subset)):
            plot.line(css, *scores.rates())
    if not any(shape.css.startswith(SUBSETS) for shape in plot.shapes):
        return []
    label = f"ROC curves: {measured_on(shown.run, 'pair_auc', 'pair AUC')}."
    return [plot.chart(label, "false accepts", "true accepts")]


def reliability(shown: Shown) -> list[Chart]:
    """Share of pairs that are by the same hand against the probability that the network gave them."""
    plot = _unit_plot()
    for subset in SUBSETS:
        columns = ("probability", "share", "mass")
        frame = read_csv(shown.run.path / f"reliability_{subset}.csv", columns)
        if frame is not None and len(frame := frame[frame["mass"] > 0]):
            xs, ys = frame.sort_values("probability")[["probability", "share"]].to_numpy(float).T
            plot.line(subset, xs, ys)
            plot.dots(subset, xs, ys)
    if len(plot.shapes) == 1:
        return []
    label = f"Reliability: {measured_on(shown.run, 'ece', 'expected calibration error')}."
    return [plot.chart(label, "stated probability", "observed share")]


def histogram(shown: Shown) -> list[Chart]:
    """How the scores of pairs by one hand and by two lie, on unseen artists."""
    scores = Scores.read(shown.run, "unseen")
    low, high = scores.middle() if scores else (0.0, 0.0)
    if scores is None or not high > low:
        return []
    edges = np.linspace(low, high, _BARS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    shares = {css: scores.density(getattr(scores, css), edges) for css in ("different", "same")}
    plot = Plot((low, high), (0, 1.06 * max(float(share.max()) for share in shares.values())))
    for css, share in shares.items():
        plot.area(css, centres, share)
        plot.line(css, centres, share)
    pairs = f"{scores.same.sum():,.0f} pairs by the same hand, {scores.different.sum():,.0f} by different hands"
    label = f"Scores of unseen artists' pairs: {pairs}; {measured_on(shown.run, 'pair_auc', 'pair AUC')}."
    return [plot.chart(label, "score", "density", y_ticks=False)]


def learning(shown: Shown) -> list[Chart]:
    """Validation pair AUC and the share of active triplets, epoch by epoch, and the loss; empty without training."""
    frame = read_csv(shown.run.path / "history.csv", ("epoch", "loss"))
    if frame is None or (frame := frame.dropna(subset=["epoch", "loss"])).empty:
        return []
    epochs, losses = frame[["epoch", "loss"]].to_numpy(float).T
    across = (float(epochs.min()), float(epochs.max())) if len(epochs) > 1 else padded(epochs.tolist())
    plot, said = Plot(across, (0, 1)), []
    for column, css, words in (
        ("active_triplets", "active", "share of active triplets"),
        ("validation_pair_auc", "validation", "validation pair AUC"),
    ):
        measured = frame.reindex(columns=["epoch", column]).dropna().to_numpy(float)
        if len(measured):
            plot.line(css, *measured.T)
            if css == "validation":  # where the best weights, which are kept, were found
                plot.dots(css, *measured[[measured[:, 1].argmax()]].T)
            said.append(f"{words} from {measured[0, 1]:.3f} to {measured[-1, 1]:.3f}")
    loss = Plot(across, padded(losses.tolist(), 0.1), height=120)
    loss.line("loss", epochs, losses)
    over = f"over {len(epochs)} epochs"
    charts = [plot.chart(f"{'; '.join(said).capitalize()} {over}.", "epoch", "share")] if said else []
    return [*charts, loss.chart(f"Loss from {losses[0]:.3g} to {losses[-1]:.3g} {over}.", "epoch", "loss")]


def _unit_plot() -> Plot:
    plot = Plot((0, 1), (0, 1))
    plot.line("chance", np.array([0, 1]), np.array([0, 1]))
    return plot


def measured_on(run: RunFolder, metric: str, words: str) -> str:
    """A metric on seen and on unseen artists, in words."""
    values = {subset: run.metrics.get(subset, {}).get(metric) for subset in SUBSETS}
    parts = [f"{value:.3f} on {subset} artists" for subset, value in values.items() if value is not None]
    return f"{words} {' and '.join(parts)}" if parts else f"{words} not measured"
