"""Error bars by artist: the bootstrap resamples artists, never pairs or paintings.

Pairs share paintings and paintings share artists, so only artists are independent. A resample gives artist a the
weight w_a, how often it was drawn. A painting then counts w_a times, a pair by one artist w_a times, and a pair by
artists a and b w_a·w_b times; two draws of one artist are never compared with each other, for they would be a pair
"by different artists" that is not. (Field and Welsh 2007; the vertex bootstrap of Snijders and Borgatti 1999.)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import special, stats

from morelli._files import written_whole
from morelli.errors import MorelliError, UnmeasurableError, did_you_mean

Array = np.ndarray

FEWEST_ARTISTS: Final = 5
"""With fewer artists there is nothing to resample, and no interval is given. An artist counts for a measure who has
two paintings that it asks about: one of fifty artists cannot say how much it would vary with other fifty."""
_ABOUT = b"morelli_resamples"


def artist_weights(artists: int, resamples: int, seed: int) -> Array:
    """(resamples + 1, artists) how often each artist is drawn; row 0 is the sample itself, all ones."""
    drawn = np.random.default_rng(seed).multinomial(artists, np.full(artists, 1 / artists), size=resamples)
    return np.concatenate([np.ones((1, artists)), drawn]).astype(float)


def undefined_of_few(resampled: Array, artists: Array) -> Array:
    """(R + 1,) values of a measure on the resamples, or NaN throughout where too few artists define it.

    Args:
        resampled: the values; those of the sample itself in front.
        artists: (P,) whose the pairs by one artist are that the measure is taken of.
    """
    return resampled if len(np.unique(artists)) >= FEWEST_ARTISTS else np.full_like(resampled, np.nan)


def painting_mean(weights: Array, sums: Array, counts: Array) -> Array:
    """(R,) means over paintings, from each artist's (A,) sum and (A,) number of paintings."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = (weights @ sums) / (weights @ counts)
    return mean


def pair_sum(weights: Array, between: Array) -> Array:
    """(R,) sums over pairs of different artists, from their (A, A) sums: Σ w_a·w_b·between_ab."""
    total: Array = ((weights @ between) * weights).sum(1)
    return total


def interval(value: float, resampled: Array, artists: int, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of a measure that lies between 0 and 1: Student's t on its log-odds.

    The standard error is the bootstrap's, taken to the log-odds by the delta method, so that the interval is the wider
    towards one half and never leaves 0 to 1. Simulation (tests/evaluation/test_resampling.py) finds that it covers the
    truth in 93 to 97 % of draws of 50 artists, where plain percentiles cover it in 92 to 94 %.

    Args:
        value: the measure on the sample itself.
        resampled: (R,) the measure on every resample; NaN where a resample leaves it undefined.
        artists: A, how many were resampled.
        level: the share of samples whose interval is to hold the truth.

    Returns:
        The bounds, or None where resampling cannot tell: fewer than five artists, no resamples, one in twenty of them
        undefined, or all of them the same.
    """
    error = standard_error(resampled, artists)
    if error is None or not 0 < value < 1:
        return None
    reach = error / (value * (1 - value)) * stats.t.ppf((1 + level) / 2, artists - 1)
    low, high = special.expit(special.logit(value) + np.array([-reach, reach]))
    return float(low), float(high)


def standard_error(resampled: Array, artists: int) -> float | None:
    """The resamples' standard deviation, made larger by √(A/(A−1)): a bootstrap of few spreads too little.

    None under the conditions of :func:`interval`.
    """
    defined = resampled[~np.isnan(resampled)]
    if artists < FEWEST_ARTISTS or len(defined) < 2 or len(defined) < 0.95 * len(resampled):
        return None
    error = float(defined.std(ddof=1)) * np.sqrt(artists / (artists - 1))
    return error if error > 1e-12 else None


@dataclass(frozen=True)
class Resamples:
    """The measures of one run on the same draws of artists as any other run on these paintings.

    Attributes:
        measured: measure → its value on the sample itself.
        values: one row a resample, one column a measure.
        artists: how many artists were resampled.
        drawn_from: fingerprint of the paintings and the seed; equal fingerprints mean the same draws.
    """

    measured: dict[str, float]
    values: pd.DataFrame
    artists: int
    drawn_from: str

    def write(self, path: Path) -> None:
        """Write one parquet file, whole or not at all."""
        about = {"measured": self.measured, "artists": self.artists, "drawn_from": self.drawn_from}
        table = pa.Table.from_pandas(self.values, preserve_index=False)
        with written_whole(path) as temporary:
            pq.write_table(table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()}), temporary)

    @classmethod
    def read(cls, path: Path) -> "Resamples":
        """Read what :meth:`write` wrote.

        Raises:
            MorelliError: no such file, or not one of these.
        """
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[_ABOUT])
            return cls(about["measured"], table.to_pandas(), about["artists"], about["drawn_from"])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            raise MorelliError(f"{path} holds no resamples of a run ({error}). Run the evaluation again.") from error


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


def paired_difference(metric: str, first: Resamples, second: Resamples, level: float = 0.95) -> Difference:
    """Compare two runs on the same paintings: their difference on each common resample, so that luck cancels.

    The interval is value ± t·(standard error of the difference), t at A−1 degrees of freedom.

    Raises:
        MorelliError: the runs were not measured on the same paintings with the same seed, or lack the measure; an
            :class:`~morelli.errors.UnmeasurableError` if they have too few artists for an interval.
    """
    if first.drawn_from != second.drawn_from or len(first.values) != len(second.values):
        raise MorelliError(
            "The two runs were not measured on the same paintings with the same resamples, so they cannot be paired. "
            "Evaluate both on the same split, with the same seed and number of resamples."
        )
    for side in (first, second):
        if metric not in side.values:
            hint = did_you_mean(metric, side.values.columns)
            raise MorelliError(f'"{metric}" was not resampled.{hint} There are: {", ".join(side.values.columns)}.')
    value = first.measured[metric] - second.measured[metric]
    error = standard_error(first.values[metric].to_numpy() - second.values[metric].to_numpy(), first.artists)
    if error is None:
        raise UnmeasurableError(
            f"The difference in {metric} has no interval: {first.artists} artists are too few, or the resamples leave "
            "it undefined or do not differ."
        )
    reach = error * float(stats.t.ppf((1 + level) / 2, first.artists - 1))
    return Difference(value, value - reach, value + reach)


def mean_over_runs(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """Mean over folds and seeds, and the half-width of its Student's t interval (None for a single run).

    This is the spread that published tables give (Musgrave et al. 2020). Folds share training artists, so it says how
    stable the number is, not how it would differ on other artists.
    """
    if len(values) < 2:
        return float(np.mean(values)), None
    error = float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return float(np.mean(values)), error * float(stats.t.ppf((1 + level) / 2, len(values) - 1))
