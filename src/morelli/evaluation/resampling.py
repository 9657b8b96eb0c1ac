"""Error bars by artist: the bootstrap resamples artists, never pairs or paintings.

Pairs share paintings and paintings share artists, so only artists are independent. A resample gives artist a the
weight w_a, how often it was drawn. A painting then counts w_a times, a pair by one artist w_a times, and a pair by
artists a and b w_a·w_b times; two draws of one artist are never compared with each other, for they would be a pair
"by different artists" that is not. (Field and Welsh 2007; the vertex bootstrap of Snijders and Borgatti 1999.)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from morelli.errors import MorelliError

Array = np.ndarray

FEWEST_ARTISTS = 5
"""With fewer artists there is nothing to resample, and no interval is given."""


def artist_weights(artists: int, resamples: int, seed: int) -> Array:
    """(resamples + 1, artists) how often each artist is drawn; row 0 is the sample itself, all ones."""
    drawn = np.random.default_rng(seed).multinomial(artists, np.full(artists, 1 / artists), size=resamples)
    return np.concatenate([np.ones((1, artists)), drawn]).astype(float)


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
    """Percentile interval, widened for few artists (Hesterberg 2015, "expanded percentile").

    The bootstrap's spread is too small by √((A−1)/A), and few artists need Student's t instead of the normal: the
    percentiles taken are Φ(∓√(A/(A−1))·t), t the quantile at A−1 degrees of freedom. Coverage is tested by simulation.

    Args:
        value: the measure on the sample itself.
        resampled: (R,) the measure on every resample; NaN where a resample leaves it undefined.
        artists: A, how many were resampled.

    Returns:
        The bounds, or None when there are too few artists, no resamples, or one in twenty is undefined.
    """
    defined = resampled[~np.isnan(resampled)]
    if artists < FEWEST_ARTISTS or not len(defined) or len(defined) < 0.95 * len(resampled):
        return None
    reach = np.sqrt(artists / (artists - 1)) * stats.t.ppf((1 + level) / 2, artists - 1)
    low, high = np.quantile(defined, [stats.norm.cdf(-reach), stats.norm.cdf(reach)])
    return min(float(low), value), max(float(high), value)


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


@dataclass(frozen=True)
class Resamples:
    """The measures of one run on the same draws of artists as any other run on these paintings.

    Attributes:
        values: one row a resample, one column a measure.
        artists: how many artists were resampled.
        drawn_from: fingerprint of the paintings and the seed; equal fingerprints mean the same draws.
    """

    values: pd.DataFrame
    artists: int
    drawn_from: str


def paired_difference(
    metric: str, first: tuple[float, Resamples], second: tuple[float, Resamples], level: float = 0.95
) -> Difference:
    """Compare two runs on the same paintings: their difference on each common resample, so that luck cancels.

    Args:
        metric: a column of both.
        first, second: each run's value on the sample itself, and its resamples.

    Raises:
        MorelliError: the runs were not measured on the same paintings with the same seed, lack the measure, or have
            too few artists for an interval.
    """
    (value, resamples), (other_value, other) = first, second
    if resamples.drawn_from != other.drawn_from:
        raise MorelliError(
            "The two runs were not measured on the same paintings with the same seed, so they cannot be paired. "
            "Evaluate both on the same split and seed."
        )
    for side in (resamples, other):
        if metric not in side.values:
            raise MorelliError(f'"{metric}" was not resampled; compare one of: {", ".join(side.values.columns)}.')
    apart = resamples.values[metric].to_numpy() - other.values[metric].to_numpy()
    bounds = interval(value - other_value, apart, resamples.artists, level)
    if bounds is None:
        raise MorelliError(f"{resamples.artists} artists, or resamples without a value, are too few for an interval.")
    return Difference(value - other_value, *bounds)


class ResampledMasses:
    """Masses of positives and negatives by bin of score, for every resample at once, gathered artist by artist.

    Args:
        weights: (R, A).
        bins: how many bins of score.
    """

    def __init__(self, weights: Array, bins: int) -> None:
        self._weights = weights.astype(np.float32)  # whole numbers: exact up to 2²⁴
        self._bins = bins
        self.positive: Array = np.zeros((len(weights), bins))
        self.negative: Array = np.zeros((len(weights), bins))

    def add_positives(self, artist: Array, bin_of: Array, values: Array | None = None) -> None:
        """Add all positives: (P,) whose, in which bin, and how much each counts (1 if not given)."""
        artists = self._weights.shape[1]
        counts = np.bincount(artist * self._bins + bin_of, values, minlength=artists * self._bins)
        self.positive += self._weights @ counts.reshape(artists, self._bins)

    def add_negatives(self, artist: int, others: Array, bin_of: Array, values: Array | None = None) -> None:
        """Add one artist's pairs with artists after it: (M,) with whom, in which bin, and how much each counts."""
        later = self._weights.shape[1] - artist - 1
        if not len(others):
            return
        counts = np.bincount((others - artist - 1) * self._bins + bin_of, values, minlength=later * self._bins)
        drawn = self._weights[:, artist + 1 :] @ counts.reshape(later, self._bins).astype(np.float32)
        self.negative += self._weights[:, artist, None] * drawn
