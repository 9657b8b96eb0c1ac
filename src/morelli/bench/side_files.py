"""What a run keeps of each side beside its metrics: small files that tables, reports and comparisons read."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from morelli._files import written_whole

if TYPE_CHECKING:  # what reads these files needs nothing that measures
    from morelli.evaluation.evaluate import Evaluation


def leave_one_out_path(folder: Path, side: str) -> Path:
    """Where a run keeps every metric without each of one side's artists."""
    return folder / f"leave_one_out_{side}.parquet"


def resamples_path(folder: Path, side: str) -> Path:
    """Where earlier versions kept every metric on bootstrap resamples of the artists."""
    return folder / f"resamples_{side}.parquet"


def per_artist_path(folder: Path, side: str) -> Path:
    """Where a run keeps one row for each of one side's artists."""
    return folder / f"per_artist_{side}.csv"


def write_side(folder: Path, side: str, measured: "Evaluation") -> None:
    """Write what was measured of one side, each file whole or not at all.

    - ``per_artist_<side>.csv``: ``artist, paintings, pair_auc`` and the retrieval measures, a row an artist.
    - ``score_histogram_<side>.csv``: ``score, same, different``, a row a bin of score: its middle, and how many pairs
      by the same and by different hands fall into it. Enough for ROC curves and for plots of both kinds.
    - ``reliability_<side>.csv``: ``probability, share, mass``, a row a bin; only with a calibration.
    - ``leave_one_out_<side>.parquet``: every metric without each artist.
    """
    _write(measured.per_artist, per_artist_path(folder, side))
    _write(measured.score_histogram, folder / f"score_histogram_{side}.csv")
    for path in (folder / f"reliability_{side}.csv", resamples_path(folder, side)):
        path.unlink(missing_ok=True)  # of an earlier measurement that had one
    if measured.reliability is not None:
        _write(measured.reliability, folder / f"reliability_{side}.csv")
    measured.leave_one_out.write(leave_one_out_path(folder, side))


def _write(table: pd.DataFrame, path: Path) -> None:
    with written_whole(path) as temporary:
        table.to_csv(temporary, index=False)
