"""Compare two runs: is one better, or could the difference be which artists were measured?"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from morelli.bench.run_folder import leave_one_out_path, resamples_path
from morelli.errors import MorelliError, UnmeasurableError
from morelli.evaluation.intervals import Difference, LeaveOneOut, paired_difference


def compare_runs(first: Path, second: Path, metrics: Sequence[str], subset: str = "unseen") -> pd.DataFrame:
    """Return how much higher ``first`` measures than ``second``, one row a metric.

    Columns: ``metric, first, second, difference, low, high`` (95 %, over artists) and ``distinguishable`` from zero.
    Where artists are too few for an interval, ``low`` and ``high`` are NaN.

    Raises:
        MorelliError: a run cannot be read, the two were not measured on the same paintings, or a metric is unknown.
    """
    left, right = _read(first, subset), _read(second, subset)
    rows = []
    for metric in metrics:
        try:
            difference = paired_difference(metric, left, right)
        except UnmeasurableError:
            difference = Difference(left.measured[metric] - right.measured[metric], float("nan"), float("nan"))
        rows.append(
            {
                "metric": f"{subset}_{metric}",
                "first": left.measured[metric],
                "second": right.measured[metric],
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
                "distinguishable": difference.distinguishable,
            }
        )
    return pd.DataFrame(rows)


def _read(folder: Path, subset: str) -> LeaveOneOut:
    path = leave_one_out_path(folder, subset)
    if path.is_file():
        return LeaveOneOut.read(path)
    if resamples_path(folder, subset).is_file():
        raise MorelliError(
            f"{folder} was measured by an earlier version, whose resamples cannot be compared any more. Move it "
            "away and run it again."
        )
    raise MorelliError(f"{folder} has no {path.name}: it is no finished run, or was not measured on {subset} artists.")
