"""Likelihood ratios (LR): how they are judged — Cllr, its part by discrimination, detection cost — and bounded (ELUB).

A likelihood ratio says how many times more likely a score is if one hand made both paintings than if two did. Formulas
take masses as :mod:`morelli.evaluation.verification` does: pairs by the same and by different artists in B bins of
score, lowest first, (…, B) each → (…).
"""

import numpy as np
import scipy

from morelli.evaluation.verification import rejection

Array = np.ndarray


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
    same, different = positive / positive.sum(), negative / negative.sum()
    some = same + different > 0
    same, different = same[some], different[some]
    weight = same + different
    probability = scipy.optimize.isotonic_regression(same / weight, weights=weight).x
    with np.errstate(divide="ignore"):
        costs = [
            -side[side > 0] @ np.log2(one[side > 0])
            for side, one in ((same, probability), (different, 1 - probability))
        ]
    return float(sum(costs) / 2)


def min_detection_cost(positive: Array, negative: Array, prior: float) -> Array:
    """The least cost of deciding by any threshold (minDCF of NIST's evaluations), both errors costing the same.

    Args:
        prior: the share of same-hand pairs. The cost is divided by that of the better of always and never accepting.
    """
    false_reject, false_accept = rejection(positive, negative)
    costs = prior * false_reject + (1 - prior) * false_accept
    least: Array = costs.min(-1) / min(prior, 1 - prior)
    return least
