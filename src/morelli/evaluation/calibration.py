"""Calibration: scores to probabilities and thresholds, learned on pairs of validation artists.

Those learned on seen artists do not hold for unseen ones, so the validation artists serve neither for training nor for
the final measurement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

import numpy as np
import scipy

from morelli.errors import MorelliError, did_you_mean
from morelli.evaluation.metrics import FALSE_ACCEPT_RATES
from morelli.evaluation.verification import refuse_one_class, threshold_at_false_accept

Array = np.ndarray
Method = Literal["platt", "temperature"]

METHODS: Final[tuple[Method, ...]] = ("platt", "temperature")
FEWEST_PAIRS: Final = 10
"""Of either kind: with fewer, a threshold or a calibration says more of the pairs than of the artists."""
_SCORES_USED = 100_000


def check_prior(prior: float, of: str = "same-hand pairs") -> None:
    """Refuse an impossible prior: the share of ``of`` before anything is seen."""
    if not 0 < prior < 1:
        raise MorelliError(f"The prior is the share of {of}, between 0 and 1; it cannot be {prior}.")


@dataclass(frozen=True)
class Calibration:
    """What was learned from validation pairs. ``to_dict`` and ``from_dict`` take it to JSON and back.

    Attributes:
        method: ``platt`` or ``temperature``.
        slope, offset: slope·score + offset is the log-odds of "same hand" when half of all pairs are.
        thresholds: by the false-accept rate wanted, written as text: the score that gave it on validation pairs.
        artists: the validation artists, who must not be measured.
    """

    method: Method
    slope: float
    offset: float
    thresholds: dict[str, float]
    artists: tuple[str, ...]

    def probability(self, scores: Array | float, prior: float = 0.5) -> Array:
        """The probability that two paintings with this score are by the same hand.

        Args:
            scores: any shape.
            prior: the share of same-hand pairs where the probability is to hold; 0.0131 in the competition.

        Raises:
            MorelliError: the prior is not between 0 and 1.
        """
        check_prior(prior)
        probability: Array = scipy.special.expit(self.log_likelihood_ratio(scores) + scipy.special.logit(prior))
        return probability

    def log_likelihood_ratio(self, scores: Array | float) -> Array:
        """The natural logarithm of the likelihood ratio: of this score by one hand against by two. Any shape."""
        ratio: Array = self.slope * np.asarray(scores) + self.offset
        return ratio

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"artists": list(self.artists)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Read back what :meth:`to_dict` gave; another set of keys is a MorelliError."""
        names = [field.name for field in fields(cls)]
        if set(values) != set(names):
            raise MorelliError(f"A calibration has {', '.join(names)}; this one has {', '.join(values) or 'nothing'}.")
        return cls(**{**values, "artists": tuple(values["artists"])})


def calibrate(
    positives: Array,
    negatives: Array,
    artists: Iterable[str],
    *,
    method: Method = "platt",
    rates: Sequence[float] = FALSE_ACCEPT_RATES,
) -> Calibration:
    """Learn probabilities and thresholds from all pairs of validation paintings.

    Args:
        positives, negatives: (P,) and (N,) their scores, from :func:`~morelli.evaluation.evaluate.pair_scores`.
        artists: whose paintings they are: artists that served neither for training nor will be measured.
        method: as in :func:`fit_calibration`.
        rates: false-accept rates to choose thresholds for; those too rare to be seen in these pairs are left out.

    Raises:
        MorelliError: one kind of pair is missing, or the method is unknown.
    """
    slope, offset = fit_calibration(positives, negatives, method)
    seen = [rate for rate in rates if rate * len(negatives) >= 1]
    thresholds = {str(rate): threshold_at_false_accept(negatives, rate) for rate in seen}
    return Calibration(method, slope, offset, thresholds, tuple(sorted(set(artists))))


def fit_calibration(positives: Array, negatives: Array, method: Method = "platt") -> tuple[float, float]:
    """Fit slope and offset of the log-odds to the scores of same-artist and different-artist pairs.

    Both kinds weigh the same, whatever their numbers, so that the log-odds are those at a prior of one half. ``platt``
    fits both by logistic regression with Platt's softened targets (Platt 1999); ``temperature`` fits only the slope
    1/T (Guo et al. 2017), which suits scores that are log-odds already, such as a pair head's, and not cosines. The
    slope is never below 0: a higher score never means a lower probability. Errors as of :func:`calibrate`.
    """
    if method not in METHODS:
        hint = did_you_mean(method, METHODS)
        raise MorelliError(f'No calibration is called "{method}".{hint} Known are: {", ".join(METHODS)}.')
    refuse_one_class(len(positives), len(negatives))
    sides = [_thinned(scores) for scores in (positives, negatives)]
    targets = np.array([(len(positives) + 1) / (len(positives) + 2), 1 / (len(negatives) + 2)])
    scores, counts = np.concatenate(sides), [len(side) for side in sides]
    target, weight = np.repeat(targets, counts), np.repeat([0.5 / count for count in counts], counts)
    centre = scores.mean() if method == "platt" else 0.0
    spread = scores.std() or 1.0
    z = (scores - centre) / spread

    def loss(line: Array) -> tuple[float, Array]:
        log_odds = line[0] * z + line[1]
        wrong = weight * (scipy.special.expit(log_odds) - target)
        return float(weight @ (np.logaddexp(0, log_odds) - target * log_odds)), np.array([wrong @ z, wrong.sum()])

    bounds = [(0, None), (None, None) if method == "platt" else (0, 0)]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    found = scipy.optimize.minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    slope = float(found.x[0] / spread)
    return slope, float(found.x[1] - slope * centre)


def _thinned(scores: Array) -> Array:
    """At most 100,000 evenly spaced order statistics: the same distribution, quicker to fit."""
    ordered = np.sort(scores.astype(float))
    if len(ordered) <= _SCORES_USED:
        return ordered
    even: Array = ordered[np.linspace(0, len(ordered) - 1, _SCORES_USED).round().astype(int)]
    return even
