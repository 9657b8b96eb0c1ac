"""Likelihood ratios (LR): how they are judged — Cllr, its part by discrimination, detection cost — and bounded (ELUB).

A likelihood ratio says how many times more likely a score is if one hand made both paintings than if two did. Formulas
take masses as :mod:`morelli.evaluation.verification` does: pairs by the same and by different artists in B bins of
score, lowest first, (…, B) each → (…).
"""

import math
from typing import Final

import numpy as np
import scipy

from morelli.evaluation.verification import rejection

Array = np.ndarray
_BOUND_STEP: Final = 0.01


def cllr_costs(log_odds: Array, *, same: bool) -> Array:
    """What each pair costs in bits: log2(1 + 1/LR) of one by the same hand, log2(1 + LR) of one by two.

    Args:
        log_odds: the natural logarithm of the likelihood ratio, any shape.
        same: the pairs are by the same hand.
    """
    costs: Array = np.logaddexp(0, -log_odds if same else log_odds) / np.log(2)
    return costs


def cllr(same: Array, different: Array) -> Array:
    """Cost of log likelihood ratio, bits (Brümmer and du Preez 2006): 0 is perfect, 1 says nothing, above 1 misleads.

    Args:
        same, different: (…, 4, B), as a metric of probabilities gets them; the fourth row is the sum of the costs.
    """
    means = [side[..., 3, :].sum(-1) / side[..., 0, :].sum(-1) for side in (same, different)]
    cost: Array = (means[0] + means[1]) / 2
    return cost


def cllr_min(positive: Array, negative: Array) -> Array:
    """What remains of Cllr after the best monotone calibration of these very pairs (pool adjacent violators): the part
    that is discrimination. Brümmer and du Preez 2006."""
    shape = positive.shape[:-1]
    sides = [side.reshape(-1, side.shape[-1]) for side in (positive, negative)]
    costs = [_cllr_min(*(side[row] for side in sides)) for row in range(len(sides[0]))]
    return np.array(costs).reshape(shape)


def _cllr_min(positive: Array, negative: Array) -> float:
    if not positive.sum() or not negative.sum():
        return float("nan")
    ratios = calibrated_by_pav(positive, negative)
    sides = ((positive, True), (negative, False))
    costs = [side[side > 0] @ cllr_costs(ratios[side > 0], same=same) / side.sum() for side, same in sides]
    return float(sum(costs) / 2)


def calibrated_by_pav(positive: Array, negative: Array) -> Array:
    """The natural log likelihood ratios (B,) of the best monotone calibration of these very pairs, (B,) each."""
    same, different = positive / positive.sum(), negative / negative.sum()
    some = same + different > 0
    weight = (same + different)[some]
    with np.errstate(divide="ignore"):
        found = scipy.special.logit(scipy.optimize.isotonic_regression(same[some] / weight, weights=weight).x)
    ratios: Array = found[np.maximum(np.cumsum(some) - 1, 0)]  # a bin without pairs has the ratio of the last one with
    return ratios


def tippett(ratios: Array, counts: Array, grid: Array) -> Array:
    """The share of pairs whose log ratio is at least each of a grid (G,), of bins (B,) of ascending ratios."""
    above = np.append(np.cumsum(counts[::-1])[::-1], 0) / counts.sum()
    share: Array = above[np.searchsorted(ratios, grid, "left")]
    return share


def cross_entropy(ratios: Array, same: Array, different: Array, prior_odds: Array) -> Array:
    """Empirical cross-entropy, bits (Ramos et al. 2013): what stays unknown of a pair's hands, at each prior.

    Args:
        ratios: (B,) log10 likelihood ratios of bins.
        same, different: (B,) how many pairs by the same and by different hands each has.
        prior_odds: (P,) log10 odds of "same hand" before one looks.
    """
    prior = scipy.special.expit(prior_odds * np.log(10))
    posterior = (ratios + prior_odds[:, None]) * np.log(10)
    unknown = [
        (cllr_costs(posterior[:, side > 0], same=is_same) * side[side > 0]).sum(1) / side.sum()
        for side, is_same in ((same, True), (different, False))
    ]
    entropy: Array = prior * unknown[0] + (1 - prior) * unknown[1]
    return entropy


def min_detection_cost(positive: Array, negative: Array, prior: float) -> Array:
    """The least cost of deciding by any threshold (minDCF of NIST's evaluations), both errors costing the same.

    Args:
        prior: the share of same-hand pairs. The cost is divided by that of the better of always and never accepting.
    """
    false_reject, false_accept = rejection(positive, negative)
    costs = prior * false_reject + (1 - prior) * false_accept
    least: Array = costs.min(-1) / min(prior, 1 - prior)
    return least


def empirical_bounds(same: Array, different: Array, *, same_units: int, different_units: int) -> tuple[float, float]:
    """The lowest and highest log10 LR that pairs of known truth support (ELUB; Vergeer et al. 2016).

    A ratio is believed as far as deciding by it costs less than deciding by the prior alone, even if one further unit
    of either kind had misled. Vergeer's units are the ratios themselves, which are independent there; pairs of
    paintings are not, so a unit is what is: an artist of those by one hand, a pair of artists of those by two.

    Args:
        same, different: log10 LRs of pairs by the same and by different hands.
        same_units, different_units: how many independent units they come from.

    Returns:
        The bounds, the lower at most 0 and the upper at least 0.
    """
    units = {"same": same_units, "different": different_units}
    low = max(min(same.min(), different.min()), -np.log10(same_units + 1))
    high = min(max(same.max(), different.max()), np.log10(different_units + 1))
    first, last = min(0, int(low // _BOUND_STEP)), max(0, int(high // _BOUND_STEP) + 1)
    threshold = np.linspace(first * _BOUND_STEP, last * _BOUND_STEP, last - first + 1)
    below = {
        name: np.searchsorted(np.sort(side), threshold, "right") / len(side)
        for name, side in (("same", same), ("different", different))
    }
    rejected = (below["same"] * units["same"] + 1) / (units["same"] + 1)
    accepted = ((1 - below["different"]) * units["different"] + 1) / (units["different"] + 1)
    misleads = rejected + 10**threshold * accepted > np.minimum(1, 10**threshold) * (1 + 1e-9)
    lower = np.max(threshold[misleads & (threshold <= 0)] + _BOUND_STEP, initial=threshold[0])
    upper = np.min(threshold[misleads & (threshold >= 0)] - _BOUND_STEP, initial=threshold[-1])
    return min(float(lower), 0.0), max(float(upper), 0.0)


def supported(same: Array, different: Array, *, artists: int) -> tuple[float, float]:
    """:func:`empirical_bounds` of natural logarithms, by so many artists and as many pairs of them as there are."""
    couples = artists * (artists - 1) // 2
    in_tens = (side.astype(float) / np.log(10) for side in (same, different))
    low, high = empirical_bounds(*in_tens, same_units=artists, different_units=couples)
    return low * math.log(10), high * math.log(10)
