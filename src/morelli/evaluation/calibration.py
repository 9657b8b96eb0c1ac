"""Calibration: scores to probabilities and thresholds, learned on pairs of validation artists.

Those learned on seen artists do not hold for unseen ones, so the validation artists serve neither for training nor for
the final measurement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import scipy
from pydantic import TypeAdapter, ValidationError

from morelli._json import first_fault
from morelli.errors import MorelliError, did_you_mean
from morelli.evaluation.intervals import FEWEST_ARTISTS
from morelli.evaluation.likelihood_ratios import supported
from morelli.evaluation.metrics import FALSE_ACCEPT_RATES
from morelli.evaluation.verification import refuse_one_class, threshold_at_false_accept

Array = np.ndarray
Method = Literal["platt", "temperature"]

METHODS: Final[tuple[Method, ...]] = ("platt", "temperature")
FEWEST_PAIRS: Final = 10
"""Of either kind: with fewer, a threshold or a calibration says more of the pairs than of the artists."""
_SCORES_USED = 100_000
_NEWTON_STEPS: Final = 5


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
        bounds: the lowest and highest log likelihood ratio that these artists support
            (``likelihood_ratios.supported``); None of fewer than five, or of an earlier version.
        covariance: (2, 2) of slope and offset, by leaving each artist out; None where too few artists tell it.
    """

    method: Method
    slope: float
    offset: float
    thresholds: dict[str, float]
    artists: tuple[str, ...]
    bounds: tuple[float, float] | None = None
    covariance: tuple[tuple[float, float], tuple[float, float]] | None = None

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
        """The natural logarithm of the likelihood ratio, within ``bounds``: of this score by one hand against by two.

        Any shape.
        """
        return self._bounded(self.slope * np.asarray(scores) + self.offset)

    def interval(self, score: float, level: float = 0.95) -> tuple[float, float] | None:
        """Bounds of a log likelihood ratio's interval over validation artists: Student's t on its jackknife error."""
        if self.covariance is None:
            return None
        at = np.array([score, 1.0])
        error = np.sqrt(at @ np.array(self.covariance) @ at)
        reach = error * scipy.special.stdtrit(len(self.artists) - 1, (1 + level) / 2)
        low, high = self._bounded(at @ [self.slope, self.offset] + np.array([-reach, reach]))
        return float(low), float(high)

    def _bounded(self, ratios: Array) -> Array:
        return ratios if self.bounds is None else np.clip(ratios, *self.bounds)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = TypeAdapter(Calibration).dump_python(self, mode="json")
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Read back what :meth:`to_dict` gave; anything else is a MorelliError."""
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            raise MorelliError(f"This is no calibration: {first_fault(error)}.") from error


def calibrate(
    positives: Array,
    negatives: Array,
    artists: Iterable[str],
    *,
    method: Method = "platt",
    rates: Sequence[float] = FALSE_ACCEPT_RATES,
    tallies: "ArtistTallies | None" = None,
) -> Calibration:
    """Learn probabilities and thresholds from all pairs of validation paintings.

    Args:
        positives, negatives: (P,) and (N,) their scores, from :func:`~morelli.evaluation.evaluate.pair_scores`.
        artists: whose paintings they are: artists that served neither for training nor will be measured.
        method: as in :func:`fit_calibration`.
        rates: false-accept rates to choose thresholds for; those too rare to be seen in these pairs are left out.
        tallies: the same scores by artist, for the interval of likelihood ratios.

    Raises:
        MorelliError: one kind of pair is missing, or the method is unknown.
    """
    slope, offset = fit_calibration(positives, negatives, method)
    seen = [rate for rate in rates if rate * len(negatives) >= 1]
    thresholds = {str(rate): threshold_at_false_accept(negatives, rate) for rate in seen}
    names = tuple(sorted(set(artists)))
    bounds = None
    if len(names) >= FEWEST_ARTISTS:
        bounds = supported(slope * positives + offset, slope * negatives + offset, artists=len(names))
    return Calibration(
        method, slope, offset, thresholds, names, bounds, tallies.covariance(method) if tallies else None
    )


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
    counts = [len(side) for side in sides]
    weights = [
        np.full(count, total / count) for count, total in zip(counts, map(len, (positives, negatives)), strict=True)
    ]
    return _fit_line(sides, weights, method)


def _fit_line(scores: Sequence[Array], pairs: Sequence[Array], method: Method) -> tuple[float, float]:
    """Fit slope and offset to scores of both kinds, and how many pairs have each."""
    of_same, of_different = (side.sum() for side in pairs)
    targets = np.array([(of_same + 1) / (of_same + 2), 1 / (of_different + 2)])
    target = np.repeat(targets, [len(side) for side in scores])
    weight = np.concatenate([0.5 * side / side.sum() for side in pairs])
    flat = np.concatenate(scores)
    centre = weight @ flat if method == "platt" else 0.0
    spread = float(np.sqrt(weight @ (flat - weight @ flat) ** 2)) or 1.0
    z = (flat - centre) / spread

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


class ArtistTallies:
    """How many pairs of each validation artist have which score, to fit a calibration without each of them.

    Args:
        low, high: between which scores; what lies outside counts as of the end.
        bins: of score.
    """

    def __init__(self, low: float, high: float, bins: int = 512) -> None:
        self._edges = np.linspace(low, max(high, np.nextafter(low, np.inf)), bins + 1)
        self._by: dict[str, Array] = {}

    def add(self, artist: str, positives: Array, others: Array) -> None:
        """Take in scores of an artist's own pairs, and of those with others; again for another source's paintings."""
        kept = [np.clip(side, self._edges[0], self._edges[-1]).ravel() for side in (positives, others)]
        counts = np.array([np.histogram(side, self._edges)[0] for side in kept], dtype=float)
        self._by[artist] = self._by.get(artist, 0) + counts

    def covariance(self, method: Method = "platt") -> tuple[tuple[float, float], tuple[float, float]] | None:
        """The jackknife's covariance of slope and offset; None where fewer than five artists have pairs of both."""
        by_artist = np.array(list(self._by.values()))
        if (by_artist[:, 0].sum(1) > 0).sum() < FEWEST_ARTISTS:
            return None
        total = by_artist.sum(0) / [[1], [2]]  # a pair by two artists was counted for both
        middles = (self._edges[1:] + self._edges[:-1]) / 2
        start = np.array(_fit_line([middles, middles], list(total), method))
        lines = _fit_lines(middles, total - by_artist, start, method)
        (a, b), (c, d) = np.cov(lines.T, bias=True) * (len(lines) - 1)
        return (float(a), float(b)), (float(c), float(d))


def _fit_lines(scores: Array, pairs: Array, start: Array, method: Method) -> Array:
    """As :func:`_fit_line`, of (A, 2, B) numbers of pairs by both kinds in bins of ``scores`` (B,), all near ``start``.

    By Newton's method, a few steps for all at once; → (A, 2).
    """
    counts = pairs.sum(2)
    targets = np.stack([(counts[:, 0] + 1) / (counts[:, 0] + 2), 1 / (counts[:, 1] + 2)], axis=1)[..., None]
    weights = 0.5 * pairs / np.maximum(counts, 1)[..., None]
    free = 1 if method == "temperature" else 2
    powers = np.stack([scores, np.ones_like(scores)])[:free]
    lines = np.tile(start, (len(pairs), 1))
    for _ in range(_NEWTON_STEPS):
        probability = scipy.special.expit(lines[:, :1] * scores + lines[:, 1:])
        wrong = (weights * (probability[:, None] - targets)).sum(1)
        curvature = weights.sum(1) * probability * (1 - probability)
        hessian = np.einsum("ab,ib,jb->aij", curvature, powers, powers) + 1e-12 * np.eye(free)
        lines[:, :free] -= np.linalg.solve(hessian, (wrong @ powers.T)[..., None])[..., 0]
    lines[:, 0] = np.maximum(lines[:, 0], 0)
    return lines


def _thinned(scores: Array) -> Array:
    """At most 100,000 evenly spaced order statistics: the same distribution, quicker to fit."""
    ordered = np.sort(scores.astype(float))
    if len(ordered) <= _SCORES_USED:
        return ordered
    even: Array = ordered[np.linspace(0, len(ordered) - 1, _SCORES_USED).round().astype(int)]
    return even
