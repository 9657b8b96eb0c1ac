"""Configuration: no unknown key, no change after reading; and the type of what is measured of one subset."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

_LARGEST = 2**63


class Section(BaseModel):
    """A part of a recipe. An unknown key is an error; values cannot be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _has_no_enormous_number(self) -> "Section":
        for name, value in self:
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, int) and abs(one) >= _LARGEST:
                    raise ValueError(f"{name}: {str(one)[:20]}… is too large a number")
        return self


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    bounds = metrics.get("interval", {})
    if not isinstance(bounds, dict):
        raise ValueError("interval holds no bounds")
    for name, value in metrics.items():
        if name != "interval" and value is not None and not _is_number(value):
            raise ValueError(f"{name} is no number")
    for name, pair in bounds.items():
        if pair is not None and not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_number, pair))):
            raise ValueError(f"interval.{name} is no pair of numbers")
    return metrics


def _with_all_bounds(metrics: dict[str, Any]) -> dict[str, Any]:
    if lacking := [name for name, pair in metrics.get("interval", {}).items() if pair is None]:
        raise ValueError(f"interval.{lacking[0]} is no pair of numbers")
    return metrics


def _with_what_is_told(metrics: dict[str, Any]) -> dict[str, Any]:
    rates = [name for name in metrics if name.startswith("realised_far_")]
    needed = ["artists", "paintings", "interval", *rates, *(name.replace("_far_", "_recall_") for name in rates)]
    if lacking := [name for name in needed if metrics.get(name) is None]:
        raise ValueError(f"it has no {lacking[0]}")
    return metrics


_Metrics = Annotated[dict[str, Any], AfterValidator(_of_numbers)]
SubsetMetrics = Annotated[_Metrics, AfterValidator(_with_all_bounds)]
"""Metric → its value on one subset, and under ``interval`` metric → its bounds, where it has any."""
CardMetrics = Annotated[_Metrics, AfterValidator(_with_what_is_told)]
"""Metric → its value, with all that a comparison tells; under ``interval`` every metric → its bounds or None."""
