"""The table of metrics: what each is called, how it is computed, and where it is shown.

Everything that lists metrics reads :data:`METRICS`: evaluation, tables, reports, model cards, and docs/metrics.md. A
metric of your own is a :class:`Metric` in any module, named by its dotted path in a recipe
(``evaluation: {metrics: [my_package.my_module:PRECISION_AT_5]}``) or for ``morelli evaluate --with-metric``::

    def precision_at_5(ranking):
        return ranking.per_query(ranking.rank <= 5) / 5

    PRECISION_AT_5 = Metric("precision_at_5", "P@5", "hits among the five nearest", precision_at_5, looks="k")
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, Final, Literal

import numpy as np

from morelli._dotted import load_dotted
from morelli._text import one_line
from morelli.errors import MorelliError
from morelli.evaluation.intervals import Scale
from morelli.evaluation.likelihood_ratios import cllr, cllr_min, min_detection_cost
from morelli.evaluation.verification import eer, pair_auc, recall_at_false_accept

Array = np.ndarray

FALSE_ACCEPT_RATES: Final = (0.1, 0.01, 0.001)
COST_PRIOR: Final = 0.1
"""Share of same-hand pairs at which the detection cost is taken."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: its key in ``metrics.json``: lower case, with underscores.
        heading: what it is called in tables.
        doc: its definition in a few words, as in docs/metrics.md.
        compute: the function; what it gets depends on ``takes``. NaN says that these paintings do not define it.
        takes: ``ranking``: a :class:`Ranking` of Q queries → (Q,) values. ``scores``: how many same-artist and how many
            different-artist pairs fall into each of B bins of score, lowest first: two arrays (…, B) → (…).
            ``probabilities``: two arrays (…, 4, B), the number of pairs in each bin of probability, and the sums of
            their probabilities, of their squares, and of their costs in bits (see :func:`cllr`) → (…). ``threshold``:
            the shares of same-artist and of different-artist pairs accepted at a threshold, (…) each → (…).
            ``metrics``: a mapping of the other metrics → their values (…); a KeyError says that it is not defined.
            ``other``: it is computed elsewhere.
        looks: how far a metric of rankings looks: at the ``first`` neighbour, the ``r`` nearest (as many as there are
            to find), or all ``k`` that were searched.
        scale: what its values are, for intervals: a ``share`` from 0 to 1, a ``cost`` above 0, or a ``difference``.
        lower_is_better: less is better.
        shown_first: printed tables show it unless asked for others.
        per_artist: the tables of single artists have it.
        on_card: the model card has it.
    """

    name: str
    heading: str
    doc: str
    compute: Callable[..., Any] | None
    takes: Literal["ranking", "scores", "probabilities", "threshold", "metrics", "other"] = "ranking"
    looks: Literal["first", "r", "k"] = "r"
    scale: Scale = "share"
    lower_is_better: bool = False
    shown_first: bool = False
    per_artist: bool = False
    on_card: bool = False

    def described(self) -> dict[str, Any]:
        """All but the function, as plain values: what a run folder keeps of a metric from outside the package."""
        return {key: value for key, value in asdict(self).items() if key != "compute"}


@dataclass(frozen=True)
class Ranking:
    """The right paintings (*hits*) among the neighbours of Q queries.

    Attributes:
        query: (H,) the query of each hit, ascending, nearest hits first.
        rank: (H,) the hit's place among the query's neighbours, from 1.
        nth: (H,) how many of the query's hits there are up to this one.
        to_find: (Q,) how many paintings each query is to find.
    """

    query: Array
    rank: Array
    nth: Array
    to_find: Array

    @classmethod
    def of(cls, hits: Array, to_find: Array, kept: Array | None = None) -> "Ranking":
        """From (Q, k) bool, which neighbours are right, nearest first; only the ``kept`` ones (Q, k) take a place."""
        query, place = np.nonzero(hits)  # few of many: what follows takes time with the hits, not with k
        rank = place + 1 if kept is None else np.cumsum(kept, axis=1, dtype=np.int32)[query, place]
        count = np.bincount(query, minlength=len(hits))
        nth = np.arange(len(query)) - (np.cumsum(count) - count)[query] + 1
        return cls(query, rank, nth, to_find)

    def per_query(self, values: Array) -> Array:
        """(H,) values of the hits → (Q,) their sum over each query's hits."""
        sums: Array = np.bincount(self.query, values, minlength=len(self.to_find))
        return sums

    def share_found(self, values: Array) -> Array:
        """(H,) values of the hits → (Q,) their sum over each query's hits, divided by what it is to find."""
        shares: Array = self.per_query(values) / np.maximum(self.to_find, 1)
        return shares

    def first_is_right(self) -> Array:
        return self.per_query(self.rank == 1)

    def reciprocal_rank(self) -> Array:
        return self.per_query((self.nth == 1) / self.rank)

    def average_precision(self) -> Array:
        return self.share_found(self.nth / self.rank)

    def r_precision(self) -> Array:
        return self.share_found(self.rank <= self.to_find[self.query])

    def map_at_r(self) -> Array:
        return self.share_found((self.rank <= self.to_find[self.query]) * (self.nth / self.rank))


def brier(same: Array, different: Array) -> Array:
    """Mean squared error of the probability (Brier 1950), same-artist and different-artist pairs weighing the same."""
    counts, sums, squares, _ = np.moveaxis(same, -2, 0)
    wrong = (counts - 2 * sums + squares).sum(-1) / counts.sum(-1)
    error: Array = (wrong + different[..., 2, :].sum(-1) / different[..., 0, :].sum(-1)) / 2
    return error


def expected_calibration_error(same: Array, different: Array) -> Array:
    """How far the observed share is from the mean probability (Guo et al. 2017), at a prior of one half."""
    _, predicted, observed = reliability(same, different)
    error: Array = np.abs(observed - predicted).sum(-1)
    return error


def reliability(same: Array, different: Array) -> tuple[Array, Array, Array]:
    """(…, B) each bin's share of pairs, and the parts of it predicted and observed to be by the same hand."""
    halves = [0.5 / side[..., 0, :].sum(-1, keepdims=True) for side in (same, different)]
    observed, others = same[..., 0, :] * halves[0], different[..., 0, :] * halves[1]
    return observed + others, same[..., 1, :] * halves[0] + different[..., 1, :] * halves[1], observed


def _recall_at(positive: Array, negative: Array, rate: float) -> Array:
    seen = negative.sum(-1) * rate >= 1  # fewer pairs cannot show so rare an error
    return np.where(seen, recall_at_false_accept(positive, negative, rate), np.nan)


_headline = partial(Metric, shown_first=True, per_artist=True, on_card=True)
_of_probabilities = partial(Metric, takes="probabilities", lower_is_better=True, on_card=True)

METRICS: Final[tuple[Metric, ...]] = (
    _headline("pair_auc", "pair AUC", "a positive scores above a negative", pair_auc, takes="scores"),
    _headline(
        "precision_at_1", "P@1", "the nearest painting is by the same artist", Ranking.first_is_right, looks="first"
    ),
    Metric("r_precision", "R-prec", "share of the R nearest that are right", Ranking.r_precision, per_artist=True),
    _headline("mean_average_precision_at_r", "MAP@R", "the same, early hits counting more", Ranking.map_at_r),
    Metric("mean_reciprocal_rank", "MRR", "one over the rank of the first hit", Ranking.reciprocal_rank, looks="k"),
    Metric(
        "eer",
        "eer",
        "the rate at which false accepts and false rejects are equally frequent",
        eer,
        "scores",
        lower_is_better=True,
        shown_first=True,
        on_card=True,
    ),
    Metric(
        "triplet_accuracy",
        "triplet acc",
        "for an anchor, a positive scores above a negative",
        None,
        "other",
        shown_first=True,
    ),
    *(
        Metric(
            f"recall_at_far_{rate}",
            f"recall at far {rate}",
            "positives accepted when that share of negatives is",
            partial(_recall_at, rate=rate),
            "scores",
        )
        for rate in FALSE_ACCEPT_RATES
    ),
    Metric(
        "balanced_accuracy",
        "balanced acc",
        "mean of positives accepted and negatives rejected, at a threshold chosen on validation artists",
        lambda recall, false_accept: (recall + 1 - false_accept) / 2,
        "threshold",
    ),
    _of_probabilities("brier", "brier", "mean squared error of the probability, at prior ½", brier),
    _of_probabilities("cllr", "cllr", "cost of the likelihood ratios in bits: 1 says nothing", cllr, scale="cost"),
    Metric(
        "cllr_min",
        "cllr min",
        "what of `cllr` the best monotone calibration would leave: discrimination",
        cllr_min,
        "scores",
        scale="cost",
        lower_is_better=True,
    ),
    Metric(
        "cllr_cal",
        "cllr cal",
        "`cllr` − `cllr_min`: what the calibration costs",
        lambda measured: measured["cllr"] - measured["cllr_min"],
        "metrics",
        scale="difference",
        lower_is_better=True,
    ),
    Metric(
        f"min_dcf_{COST_PRIOR}",
        f"min dcf {COST_PRIOR}",
        f"the least cost of deciding by a threshold where {COST_PRIOR:.0%} of pairs are by one hand",
        partial(min_detection_cost, prior=COST_PRIOR),
        "scores",
        lower_is_better=True,
    ),
    _of_probabilities("ece", "ece", "expected calibration error, 15 even bins, at prior ½", expected_calibration_error),
    Metric(
        "classifier_accuracy",
        "classifier acc",
        "share of seen artists' paintings whose artist the `bce-onehot` network's classifier names",
        None,
        "other",
    ),
)

MEAN_AVERAGE_PRECISION: Final = Metric(
    "mean_average_precision", "MAP", "the mean precision at the ranks of all hits", Ranking.average_precision, looks="k"
)
"""Of the calculator alone: it depends on how many neighbours were searched."""


def metric_of(name: str, others: Iterable[Metric] = ()) -> Metric:
    """The metric behind a name of ``metrics.json``, ``pair_auc_same_style`` and ``eer_csls`` among them.

    Variants have what follows the metric's name in their heading, and are shown only when asked for. A name that the
    table does not know, such as ``realised_far_0.1``, is its own heading.

    Args:
        name: of the metric.
        others: metrics from outside the package, for example from :func:`from_descriptions`.
    """
    known = [
        metric for metric in (*METRICS, MEAN_AVERAGE_PRECISION, *others) if f"{name}_".startswith(f"{metric.name}_")
    ]
    if not known:
        return Metric(name, name.replace("_", " "), "", None, takes="other")
    base = max(known, key=lambda metric: len(metric.name))
    if base.name == name:
        return base
    what = name.removeprefix(base.name).replace("_", " ")
    return replace(base, name=name, heading=base.heading + what, shown_first=False, per_artist=False, on_card=False)


def from_descriptions(descriptions: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """The metrics that :meth:`Metric.described` was written of; they can be shown, not computed."""
    known = {field.name for field in fields(Metric)}
    return [Metric(**{**{k: v for k, v in one.items() if k in known}, "compute": None}) for one in descriptions]


def load_metrics(paths: Iterable[str]) -> list[Metric]:
    """Import the metrics at dotted paths, ``package.module:Name``.

    Raises:
        MorelliError: one cannot be imported, is no metric, has no function, or has the name of another.
    """
    return check_metrics(load_dotted(path, Metric, "a morelli.evaluation.metrics.Metric") for path in paths)


def check_metrics(metrics: Iterable[Metric]) -> list[Metric]:
    """Refuse metrics from outside that cannot be computed or told from others.

    Raises:
        MorelliError: names what is wrong.
    """
    checked: list[Metric] = []
    for metric in metrics:
        if not isinstance(metric, Metric):
            raise MorelliError(f"{metric!r} must be a Metric, made with its name, heading, doc and compute.")
        if metric.name in {one.name for one in (*METRICS, *checked)}:
            raise MorelliError(f'There are two metrics called "{metric.name}". Give yours another name.')
        if not callable(metric.compute) or metric.takes == "other":
            raise MorelliError(f'The metric "{metric.name}" has no function to compute it with: set compute and takes.')
        checked.append(metric)
    return checked


def guarded(metric: Metric, failures: dict[str, str]) -> Metric:
    """A metric from outside that gives NaN where it fails, and leaves the reason in ``failures`` under its name."""

    def compute(*given: Any) -> Array:
        shape = _shape_of(metric.takes, given[0])
        try:
            assert metric.compute is not None
            values = np.asarray(metric.compute(*given), dtype=float)
            if values.shape == shape:
                return values
            reason = f"it gave values of shape {values.shape} in place of {shape}"
        except Exception as error:  # whatever a plugin raises, the other metrics stand
            reason = f"{type(error).__name__}: {error}"
        failures.setdefault(metric.name, one_line(reason))
        return np.full(shape, np.nan)

    return replace(metric, compute=compute)


_AXES: Final = {"scores": 1, "probabilities": 2, "threshold": 0}


def _shape_of(takes: str, given: Any) -> tuple[int, ...]:
    if takes == "ranking":
        return tuple(given.to_find.shape)
    if takes == "metrics":
        return tuple(next(iter(given.values())).shape)
    return tuple(given.shape[: -_AXES[takes] or None])
