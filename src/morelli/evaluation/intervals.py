"""Confidence intervals by leaving artists out (delete-one jackknife), for metrics, for the difference of two runs.

Pairs share paintings and paintings share artists, so only artists are independent: every metric is computed again
without each artist, and how much these values differ says how much the metric would vary with other artists (Tukey
1958; Efron and Stein 1981).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import special

from morelli._files import written_whole
from morelli.errors import MorelliError, UnmeasurableError, did_you_mean

Array = np.ndarray

FEWEST_ARTISTS: Final = 5
"""With fewer artists there is no interval. An artist counts for a metric who has two paintings that it is taken of:
one of fifty artists cannot say how much it would vary with other fifty."""
_ABOUT: Final = b"morelli_leave_one_out"
Scale = Literal["share", "cost", "difference"]
_SCALES: Final[dict[Scale, tuple[Callable[..., Any], Callable[..., Any], Callable[[float], float]]]] = {
    "share": (special.logit, special.expit, lambda value: 1 / (value * (1 - value))),
    "cost": (lambda value: np.log(value) if value > 0 else np.nan, np.exp, lambda value: 1 / value),
    "difference": (np.positive, np.positive, lambda _: 1.0),
}
"""To the scale on which an interval is even, back from it, and its slope."""


def standard_error(without: Array) -> float | None:
    """The jackknife's standard error of a metric, from its (A,) values without each artist: √((A−1)/A · Σ(v − v̄)²).

    None with fewer than five artists, or where a value is NaN or all are the same.
    """
    artists = len(without)
    if artists < FEWEST_ARTISTS or np.isnan(without).any():
        return None
    error = float(np.std(without)) * np.sqrt(artists - 1)
    return error if error > 1e-12 else None


def interval(value: float, without: Array, level: float = 0.95, scale: Scale = "share") -> tuple[float, float] | None:
    """Interval of a metric: Student's t on its log-odds, its logarithm, or itself.

    The standard error is taken to that scale by the delta method, so that the interval of a share is the wider towards
    one half and never leaves 0 to 1. In simulation (tests/evaluation/test_intervals.py) it holds the truth in 93 to
    97 % of draws of 50 artists.

    Args:
        value: the metric on all artists.
        without: (A,) the metric without each artist; NaN where that leaves it undefined.
        level: the share of samples whose interval is to hold the truth.
        scale: ``share`` of what lies between 0 and 1, ``cost`` of what is positive, ``difference`` of anything.

    Returns:
        The bounds, or None where there is no standard error, or the value is at an end of its scale.
    """
    error = standard_error(without)
    to, back, slope = _SCALES[scale]
    if error is None or not np.isfinite(to(value)):
        return None
    reach = error * slope(value) * special.stdtrit(len(without) - 1, (1 + level) / 2)
    low, high = back(to(value) + np.array([-reach, reach]))
    return float(low), float(high)


@dataclass(frozen=True)
class LeaveOneOut:
    """The metrics of one run without each artist, to be compared with those of any other run on these paintings.

    Attributes:
        measured: metric → its value on all artists.
        values: one row an artist who is left out, in the order of their names; one column a metric.
        paintings: fingerprint of the paintings; runs with the same one can be compared.
    """

    measured: dict[str, float]
    values: pd.DataFrame
    paintings: str

    def write(self, path: Path) -> None:
        """Write one parquet file, whole or not at all."""
        about = {"measured": self.measured, "paintings": self.paintings}
        table = pa.Table.from_pandas(self.values, preserve_index=False)
        with written_whole(path) as temporary:
            pq.write_table(table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()}), temporary)

    @classmethod
    def read(cls, path: Path) -> "LeaveOneOut":
        """Read what :meth:`write` wrote.

        Raises:
            MorelliError: no such file, or not one of these.
        """
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[_ABOUT])
            return cls(about["measured"], table.to_pandas(), about["paintings"])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            raise MorelliError(
                f"{path} holds no leave-one-out values of a run ({error}). Run the evaluation again."
            ) from error


@dataclass(frozen=True)
class Difference:
    """How much higher the first of two runs measures, with its interval."""

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def paired_difference(metric: str, first: LeaveOneOut, second: LeaveOneOut, level: float = 0.95) -> Difference:
    """Compare two runs on the same paintings, leaving the same artists out of both, so that luck cancels.

    The interval is value ± t·(standard error of the difference), t at A−1 degrees of freedom, A the number of artists.

    Raises:
        MorelliError: the runs were not measured on the same paintings, or lack the metric; an
            :class:`~morelli.errors.UnmeasurableError` if they have too few artists for an interval.
    """
    if first.paintings != second.paintings:
        raise MorelliError(
            "The two runs were not measured on the same paintings, so they cannot be paired. Evaluate both on the same "
            "split."
        )
    for run in (first, second):
        if metric not in run.values:
            hint = did_you_mean(metric, run.values.columns)
            raise MorelliError(f'"{metric}" was not measured.{hint} There are: {", ".join(run.values.columns)}.')
    value = first.measured[metric] - second.measured[metric]
    without = first.values[metric].to_numpy() - second.values[metric].to_numpy()
    error = standard_error(without)
    if error is None:
        raise UnmeasurableError(
            f"The difference in {metric} has no interval: {len(without)} artists are too few, or leaving one out "
            "leaves it undefined or changes nothing."
        )
    reach = error * float(special.stdtrit(len(without) - 1, (1 + level) / 2))
    return Difference(value, value - reach, value + reach)


def mean_over_runs(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """Mean over folds and seeds, and the half-width of its Student's t interval (None for a single run).

    This is the spread that published tables give (Musgrave et al. 2020). Folds share training artists, so it says how
    stable the number is, not how it would differ on other artists.
    """
    if len(values) < 2:
        return float(np.mean(values)), None
    error = float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return float(np.mean(values)), error * float(special.stdtrit(len(values) - 1, (1 + level) / 2))
