"""Bins of score that adapt to where the scores lie, so that a histogram of any scores gives their AUC closely."""

from dataclasses import dataclass
from typing import Final

import numpy as np

Array = np.ndarray

_BINS: Final = 1 << 19
_HEAVY: Final = 1 / (1 << 16)
"""A bin with a greater share of the scores is divided: with none, an AUC is off by at most half this share."""
_ROUNDS: Final = 5
_AT_ONCE: Final = 1 << 18


@dataclass(frozen=True)
class ScoreBins:
    """Scores in bins, lowest first.

    Attributes:
        bin: (P,) int32, the bin of each score.
        is_mixed: (B,) False for a bin known to hold one score only, so that nothing is lost in it.
    """

    bin: Array
    is_mixed: Array


def adaptive_bins(scores: Array) -> ScoreBins:
    """Bin finite scores (P,), whatever their scale.

    At first a bin is what shares sign, exponent and 7 bits of fraction as float32. Bins that hold too many are divided
    evenly, in proportion to what they hold, and again until none does; so neither outliers nor scores crowded at 0 or
    at 1 spoil the resolution where the scores are.
    """
    bins = _leading_bits(scores)
    share = np.bincount(bins, minlength=1 << 16) / len(scores)
    low, high = _bounds_of_leading_bits()
    for _ in range(_ROUNDS):
        is_split = (share > _HEAVY) & (high > low)
        pieces = np.where(is_split, np.ceil(share * _BINS), 1).astype(np.int32)
        _divide(scores, bins, low, high, pieces)
        share = np.bincount(bins, minlength=int(pieces.sum())) / len(scores)
        low, high = _ranges(scores, bins, share > _HEAVY)
        if not (high > low).any():
            break
    return ScoreBins(bins, (share <= _HEAVY) | (high > low))


def _leading_bits(scores: Array) -> Array:
    bins = np.empty(len(scores), dtype=np.int32)
    for at in range(0, len(scores), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        with np.errstate(over="ignore"):
            bits = (scores[part] + 0.0).astype(np.float32).view(np.int32)  # + 0.0 makes minus zero zero
        bins[part] = _ascending(bits) >> 16
    bins += 1 << 15
    return bins


def _bounds_of_leading_bits() -> tuple[Array, Array]:
    """The least number of each of the 2¹⁶ bins and of the next; beyond the finite numbers both are 0."""
    edges = (np.arange(1 << 16, dtype=np.int32) - (1 << 15)) << 16
    low = _ascending(edges).view(np.float32)
    finite = np.isfinite(low)
    low = np.where(finite, low, 0).astype(float)
    return low, np.where(finite, np.append(low[1:], 0), 0)


def _ascending(bits: Array) -> Array:
    """Bits of float32 ↔ integers in the order of the numbers."""
    ordered: Array = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return ordered


def _divide(scores: Array, bins: Array, low: Array, high: Array, pieces: Array) -> None:
    """Replace each score's bin by one of the ``pieces`` (B,) of that bin."""
    start = np.cumsum(pieces, dtype=np.int32) - pieces
    last = pieces - 1
    # Halves, because the range of all scores may be more than the greatest number.
    base = np.where(pieces > 1, low / 2, 0.0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        per_half = np.where(pieces > 1, np.minimum(pieces / (high / 2 - low / 2), np.finfo(float).max), 0.0)
    for at in range(0, len(scores), _AT_ONCE):  # parts that stay in cache
        part = slice(at, at + _AT_ONCE)
        was = bins[part]
        with np.errstate(over="ignore"):
            place = (scores[part] / 2 - base[was]) * per_half[was]
        bins[part] = start[was] + np.clip(place, 0, last[was]).astype(np.int32)


def _ranges(scores: Array, bins: Array, wanted: Array) -> tuple[Array, Array]:
    """The least and greatest score of each wanted bin; of the others (inf, −inf)."""
    low, high = np.full(len(wanted), np.inf), np.full(len(wanted), -np.inf)
    if wanted.any():
        members = np.flatnonzero(wanted[bins])
        np.minimum.at(low, bins[members], scores[members])
        np.maximum.at(high, bins[members], scores[members])
    return low, high
