"""What a network's card keeps of what was learned on validation artists: its calibration and identification rules."""

from typing import NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_open = with_config(ConfigDict(extra="allow"))


@_open
class CalibrationCard(TypedDict):
    """As :class:`morelli.evaluation.calibration.Calibration` writes itself."""

    method: str
    slope: float
    offset: float
    thresholds: dict[str, float]
    artists: list[str]
    bounds: NotRequired[list[float] | None]
    covariance: NotRequired[list[list[float]] | None]


@_open
class _RatesCard(TypedDict):
    artists: int
    others: int
    answered: float
    accuracy: float
    false_acceptance: float
    first: float


@_open
class RuleCard(TypedDict):
    """As a rule of :class:`morelli.evaluation.identification.Identification` writes itself."""

    slope: float
    offset: float
    threshold: float
    rates: _RatesCard
    bounds: NotRequired[list[float] | None]


@_open
class LearnedCard(TypedDict):
    """What was learned for one way of scoring, as :class:`morelli.evaluation.learning.Learned` writes itself."""

    threshold: float
    calibration: CalibrationCard
    identification: dict[str, RuleCard] | None
    sets: NotRequired[dict[str, CalibrationCard]]


class TippettCard(TypedDict):
    """A Tippett plot of the unseen artists' pairs: the shares of either kind whose log10 ratio is at least each one."""

    log10_lr: list[float]
    same: list[float]
    different: list[float]
