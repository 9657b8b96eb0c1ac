"""Open-set identification: whose hand is it, among some enrolled artists, or none of theirs?

An artist is the mean of the embeddings of the enrolled paintings, and a painting's score with an artist is the
network's own for the two embeddings. (On painters-mini's validation artists, five enrolled paintings each, the right
artist came first for 50 % of paintings; with the mean of the scores with single paintings for 46 %, with the highest of
them for 45 %.) The log-likelihood ratio "by this artist : by another" is a line in that score, and Bayes' rule does the
rest: the enrolled artists share the prior of "one of these" evenly, and "none of these" keeps its own. Slope and offset
give the true answers of simulated identifications the highest probability, known and never-enrolled artists weighing
the same; they are learned for several numbers of enrolled paintings, since a mean of more of them strays less. An
artist is named when the best probability reaches a threshold that a tenth of the never-enrolled artists' paintings
reach wrongly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from pydantic import TypeAdapter
from scipy import optimize, special
from torch import Tensor
from torch.nn import functional

from morelli._progress import progress_bar
from morelli.errors import MorelliError, first_line
from morelli.evaluation.calibration import check_prior
from morelli.evaluation.likelihood_ratios import supported
from morelli.evaluation.normalisation import NormalisedScorer, own_scorer
from morelli.models.heads import DistanceScorer, Scorer

Array = np.ndarray
ENROLLED: Final = (1, 2, 3, 5, 10)
FALSE_ACCEPTANCE: Final = 0.1
"""Share of paintings by never-enrolled artists that may be given to an artist wrongly."""
KNOWN_SHARE: Final = 2 / 3
DRAWS: Final = 20
NONE: Final = -1
"""The place of the answer "none of these"."""
FEWEST_ARTISTS: Final = 6
"""With two paintings or more: of fewer, none can be enrolled while others are left out."""
_QUERIES: Final = 4000
"""In one draw, at most."""
_SCORES, _FEWEST_QUERIES = 250_000, 250
"""Scores of all draws that a rule is learned from, about: a wide pair head takes up to half a millisecond for each."""


@dataclass(frozen=True)
class Rates:
    """How identification fared.

    Attributes:
        artists: enrolled at a time.
        others: artists never enrolled at that time.
        answered: share of the enrolled artists' paintings for which an artist was named.
        accuracy: share of right names among these; 0 when none was named.
        false_acceptance: share of the never-enrolled artists' paintings for which an artist was named.
        first: share of the enrolled artists' paintings whose artist came first, named or not.
    """

    artists: int
    others: int
    answered: float
    accuracy: float
    false_acceptance: float
    first: float


@dataclass(frozen=True)
class Rule:
    """What was learned for one number of enrolled paintings.

    Attributes:
        slope, offset: slope·score + offset is the log-likelihood ratio "by this artist : by another".
        threshold: of the best artist's probability, from where the artist is named; at a prior of one half.
        rates: of that threshold, on the validation artists it was chosen on.
        bounds: of the ratio, what these artists support; None of an earlier version.
    """

    slope: float
    offset: float
    threshold: float
    rates: Rates
    bounds: tuple[float, float] | None = None

    def log_likelihood_ratio(self, score: float) -> float:
        """Of a score, within ``bounds``. Probabilities are not cut there: they weigh the artists against each other."""
        ratio = self.slope * score + self.offset
        return ratio if self.bounds is None else min(max(ratio, self.bounds[0]), self.bounds[1])


@dataclass(frozen=True)
class Identification:
    """Rules by the number of enrolled paintings, ascending."""

    rules: Mapping[int, Rule]

    def rule(self, paintings: int) -> Rule:
        """The rule for artists with so many enrolled paintings: that of the largest number not above it."""
        return self.rules[max(n for n in self.rules if n <= max(paintings, min(self.rules)))]

    def probabilities(self, scores: Array, paintings: Sequence[int], prior: float = 0.5) -> Array:
        """The probability of each artist, and of none.

        Args:
            scores: (Q, A) of Q paintings with A artists.
            paintings: (A,) how many each has enrolled.
            prior: the share of paintings that are by one of the artists.

        Returns:
            (Q, A + 1); the last column is "none of these". Rows sum to 1.

        Raises a MorelliError for a prior that is not between 0 and 1.
        """
        check_prior(prior, "pictures by one of the artists")
        rules = [self.rule(count) for count in paintings]
        ratios = scores * [rule.slope for rule in rules] + [rule.offset for rule in rules]
        return posterior(ratios, prior)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {str(n): TypeAdapter(Rule).dump_python(rule, mode="json") for n, rule in self.rules.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Identification":
        """Read back what :meth:`to_dict` gave; anything else is a MorelliError."""
        try:
            rules = {int(n): TypeAdapter(Rule).validate_python(rule) for n, rule in values.items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise MorelliError(f"These are no rules of identification: {first_line(error)}.") from error
        return cls(dict(sorted(rules.items())))


@dataclass(frozen=True)
class Trial:
    """One simulated identification.

    Attributes:
        scores: (Q, A) of the queries with the enrolled artists.
        truth: (Q,) the place of each query's artist, or :data:`NONE`.
        others: artists not enrolled.
    """

    scores: Array
    truth: Array
    others: int


def artist_embedding(embeddings: Tensor, scorer: Scorer) -> Tensor:
    """The embedding (…, D) that stands for an artist with these paintings (…, N, D).

    The mean; of length 1, and of embeddings scaled to length 1, unless the scorer goes by their distance.
    """
    if isinstance(own_scorer(scorer), DistanceScorer):
        return embeddings.mean(-2)
    return functional.normalize(functional.normalize(embeddings, dim=-1).mean(-2), dim=-1)


def posterior(ratios: Array, prior: float) -> Array:
    """Log-likelihood ratios (Q, A) → probabilities (Q, A + 1) of every artist and of none; see the module."""
    none = np.full((len(ratios), 1), np.log1p(-prior))
    log_odds = np.concatenate([ratios + np.log(prior / ratios.shape[1]), none], axis=1)
    probabilities: Array = special.softmax(log_odds, axis=1)
    return probabilities


def learn_identification(
    embeddings: Tensor,
    artists: Sequence[str],
    scorer: Scorer | Sequence[Scorer],
    subsets: Sequence[Array] | None = None,
) -> Identification | None:
    """Learn the rules from simulated identifications among validation artists. The same input gives the same rules.

    Args:
        embeddings: (N, D), a row a painting.
        artists: (N,) whose.
        scorer: the network's own; or one for each subset.
        subsets: rows of artists to simulate among, each subset by itself, such as the artists of one source; all
            together by default.

    Returns:
        None where fewer than six artists have two paintings or more: too few to enrol some and leave out others.
    """
    codes = np.unique(np.asarray(artists), return_inverse=True)[1]
    subsets = subsets or [np.arange(len(codes))]
    scorers = [scorer] * len(subsets) if isinstance(scorer, Scorer) else scorer
    rules = {}
    with progress_bar() as progress:
        for n in progress.track(ENROLLED, description="Learning to identify"):
            trials: list[Trial] = []
            for rows, one in zip(subsets, scorers, strict=True):
                fit = [code for code in np.unique(codes[rows]) if (codes == code).sum() > n]
                if len(fit) >= FEWEST_ARTISTS:
                    queries = max(_FEWEST_QUERIES, _SCORES // (DRAWS * round(KNOWN_SHARE * len(fit))))
                    trials += simulate(embeddings, codes, one, fit, n, queries=queries)
            if trials:
                rules[n] = _learn(trials)
    return Identification(rules) if rules else None


@torch.no_grad()
def simulate(
    embeddings: Tensor,
    codes: Array,
    scorer: Scorer,
    artists: Sequence[int],
    enrolled: int,
    known: int | None = None,
    draws: int = DRAWS,
    queries: int = _QUERIES,
) -> list[Trial]:
    """Enrol a part of the artists, leave out the others, ask for all other paintings; again and again.

    Args:
        embeddings, codes: (N, D) of all paintings, and (N,) each painting's artist.
        scorer: the network's own.
        artists: the codes that take part; each has more than ``enrolled`` paintings.
        enrolled: paintings each.
        known: artists enrolled at a time; two thirds by default.
        draws: how often; always the same ones.
        queries: paintings asked for in one draw, at most.
    """
    own = own_scorer(scorer)
    if isinstance(scorer, NormalisedScorer):
        closeness = scorer.closeness(embeddings)  # once for all draws
    random, places = np.random.default_rng(0), {code: np.flatnonzero(codes == code) for code in artists}
    known = round(KNOWN_SHARE * len(artists)) if known is None else known
    trials = []
    for _ in range(draws):
        chosen = random.permutation(np.asarray(artists))[:known]
        shown = np.stack([random.permutation(places[code])[:enrolled] for code in chosen])
        left = np.isin(codes, artists)
        left[shown] = False
        asked = random.permutation(np.flatnonzero(left))[:queries]
        place_of = np.full(codes.max() + 1, NONE)
        place_of[chosen] = np.arange(known)
        scores = own.matrix(embeddings[asked], hands := artist_embedding(embeddings[shown], own))
        if isinstance(scorer, NormalisedScorer):
            scores = scorer.normalise(scores, closeness[asked][:, None], scorer.closeness(hands)[None])
        trials.append(Trial(scores.double().numpy(), place_of[codes[asked]], len(artists) - known))
    return trials


def measure(trials: Sequence[Trial], slope: float, offset: float, threshold: float) -> Rates:
    """How a rule fares over all trials' paintings."""
    best, right, known = _best(trials, slope, offset)
    named = best >= threshold
    answered = known & named
    return Rates(
        artists=trials[0].scores.shape[1],
        others=trials[0].others,
        answered=float(answered.sum() / known.sum()),
        accuracy=float(right[answered].mean()) if answered.any() else 0.0,
        false_acceptance=float(named[~known].mean()),
        first=float(right[known].mean()),
    )


def _learn(trials: Sequence[Trial]) -> Rule:
    spread, centre = float(np.std(trials[0].scores)) or 1.0, float(np.mean(trials[0].scores))

    standard = [((trial.scores - centre) / spread, trial.truth) for trial in trials]

    def loss(weights: Array) -> tuple[float, Array]:
        losses = [_log_loss(scores, truth, weights) for scores, truth in standard]
        return float(np.mean([value for value, _ in losses])), np.mean([slopes for _, slopes in losses], axis=0)

    bounds = [(0, None), (None, None)]
    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    slope = float(found.x[0] / spread)
    offset = float(found.x[1] - slope * centre)
    best, _, known = _best(trials, slope, offset)
    tenth = np.quantile(best[~known], 1 - FALSE_ACCEPTANCE, method="higher")
    threshold = float(np.nextafter(tenth, np.inf))  # of equal probabilities all are named or none
    return Rule(slope, offset, threshold, measure(trials, slope, offset, threshold), _bounds(trials, slope, offset))


def _bounds(trials: Sequence[Trial], slope: float, offset: float) -> tuple[float, float]:
    """What the trials' artists support of the natural log likelihood ratio; see ``likelihood_ratios.supported``."""
    is_own = [np.arange(trial.scores.shape[1]) == trial.truth[:, None] for trial in trials]
    sides = [
        np.concatenate([trial.scores[own == wanted] for trial, own in zip(trials, is_own, strict=True)])
        for wanted in (True, False)
    ]
    same, different = (slope * side + offset for side in sides)
    return supported(same, different, artists=trials[0].scores.shape[1] + trials[0].others)


def _log_loss(scores: Array, truth: Array, weights: Array) -> tuple[float, Array]:
    """Mean negative log-probability of the truth, known and never-enrolled artists weighing alike; and its slopes."""
    probabilities = posterior(weights[0] * scores + weights[1], 0.5)
    known, rows = truth != NONE, np.arange(len(truth))
    share = np.where(known, 0.5 / known.sum(), 0.5 / (~known).sum())
    of_truth = np.where(known, scores[rows, truth], 0)
    expected = (probabilities[:, :-1] * scores).sum(1)
    slopes = np.array([share @ (expected - of_truth), share @ (1 - probabilities[:, -1] - known)])
    return float(-share @ np.log(np.maximum(probabilities[rows, truth], 1e-300))), slopes


def _best(trials: Sequence[Trial], slope: float, offset: float) -> list[Array]:
    """Over all trials' queries: the best artist's probability, whether it is the right one, and who is enrolled."""
    found = []
    for trial in trials:
        probabilities = posterior(slope * trial.scores + offset, 0.5)[:, :-1]
        found.append((probabilities.max(1), probabilities.argmax(1) == trial.truth, trial.truth != NONE))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]
