"""Likelihood ratios in the report: Tippett plot, empirical cross-entropy (ECE), asked and realised error rates.

The plots are drawn of ``score_histogram_<subset>.csv`` with the calibration in ``model/network.json``.
"""

from typing import Any, Final

import numpy as np

from morelli._json import read_json
from morelli.bench.columns import Cell, TableColumn
from morelli.bench.run_folder import AGAIN, SUBSETS, RunFolder, per_artist_path
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.likelihood_ratios import calibrated_by_pav, cross_entropy, tippett
from morelli.evaluation.metrics import FALSE_ACCEPT_RATES
from morelli.report.charts import Scores, measured_on, read_csv
from morelli.report.runs import Shown
from morelli.report.svg import Chart, Plot
from morelli.report.tables import Table

Array = np.ndarray
_PRIOR_ODDS: Final = np.linspace(-2.5, 2.5, 61)
_WAYS: Final = {"": "own scores", "_own_cohort": "own cohort"}


def tippett_plot(shown: Shown) -> list[Chart]:
    """The share of pairs whose ratio is above each one, by one hand and by two."""
    found = _ratios(shown.run)
    if not found:
        return []
    low, high = (float(end(ratios)) for end, ratios in _ends(found))
    grid, plot = np.linspace(low, high, 81), Plot((low, high), (0, 1))
    plot.line("chance", np.zeros(2), np.array([0, 1]))
    for subset, (ratios, scores) in found.items():
        for counts in (scores.same, scores.different):
            plot.line(subset, grid, tippett(ratios, counts, grid))
    return [plot.chart(f"Tippett plot: {measured_on(shown.run, 'cllr', 'Cllr')}.", "log10 LR", "share above")]


def cross_entropy_plot(shown: Shown) -> list[Chart]:
    """What is not known of a pair, in bits, at each prior: with the ratios, at best, and without any."""
    found = _ratios(shown.run)
    if not found:
        return []
    plot = Plot((float(_PRIOR_ODDS[0]), float(_PRIOR_ODDS[-1])), (0, 1))
    nothing = np.zeros(1), np.ones(1)
    plot.line("chance", _PRIOR_ODDS, cross_entropy(nothing[0], nothing[1], nothing[1], _PRIOR_ODDS))
    for subset, (ratios, scores) in found.items():
        plot.line(subset, _PRIOR_ODDS, cross_entropy(ratios, scores.same, scores.different, _PRIOR_ODDS))
        if subset == "unseen":
            best = calibrated_by_pav(scores.same, scores.different) / np.log(10)
            plot.line("baseline", _PRIOR_ODDS, cross_entropy(best, scores.same, scores.different, _PRIOR_ODDS))
    label = f"Empirical cross-entropy: {measured_on(shown.run, 'cllr_cal', 'Cllr lost by calibration')}."
    return [plot.chart(label, "prior log10 odds", "bits")]


def realised_rates(shown: list[Shown]) -> Table | None:
    """The false-accept rates that were asked for, and those that came out; None where no run has any."""
    rows: list[dict[str, Any]] = []
    for one in shown:
        for subset in SUBSETS:
            measured = one.run.metrics.get(subset, {})
            for suffix, way in _WAYS.items():
                cells = {
                    f"{rate:g} asked": _cell(measured, f"realised_far_{rate}{suffix}") for rate in FALSE_ACCEPT_RATES
                }
                if any(cell.text != "-" for cell in cells.values()):
                    rows.append(
                        {"network": Cell(one.name, one.name), "artists": Cell(subset), "scores": Cell(way)} | cells
                    )
    if not rows:
        return None
    groups = dict.fromkeys(("network", "artists", "scores"), "name")
    return Table([TableColumn(key, [row[key] for row in rows], groups.get(key, "")) for key in rows[0]])


def misled(run: RunFolder) -> dict[str, list[str]]:
    """By subset, the artists whose own paintings are less alike than theirs and others': pair AUC below a half."""
    found = {}
    for subset in SUBSETS:
        frame = read_csv(per_artist_path(run.path, subset), ("artist", "pair_auc"))
        if frame is not None:
            below = frame[frame["pair_auc"] < 0.5].sort_values("pair_auc")
            found[f"{len(below)} of {int(frame['pair_auc'].notna().sum())} {subset} artists"] = below["artist"].tolist()
    return found


def _ratios(run: RunFolder) -> dict[str, tuple[Array, Scores]]:
    """By subset: the log10 ratio of each bin of scores, and the scores."""
    path = run.path / "model" / "network.json"
    kept = read_json(path, dict, AGAIN).get("calibration") if path.is_file() else None
    scores = {subset: found for subset in SUBSETS if (found := Scores.read(run, subset))}
    if not kept or not scores:
        return {}
    calibration = Calibration.from_dict(kept)
    return {name: (calibration.log_likelihood_ratio(one.score) / np.log(10), one) for name, one in scores.items()}


def _ends(found: dict[str, tuple[Array, Scores]]) -> list[tuple[Any, Array]]:
    together = np.concatenate([ratios for ratios, _ in found.values()])
    return [(np.min, np.minimum(together, -0.5)), (np.max, np.maximum(together, 0.5))]


def _cell(measured: dict[str, Any], name: str) -> Cell:
    value = measured.get(name)
    if value is None:
        return Cell("-")
    bounds = measured["interval"].get(name)
    return Cell(f"{value:.4f}", value, tuple(bounds) if bounds else None)
