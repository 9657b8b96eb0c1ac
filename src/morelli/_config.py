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


def _has_intervals(metrics: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metrics.get("interval"), dict):
        raise ValueError("it has no intervals")
    if wrong := next((key for key, value in metrics.items() if key != "interval" and isinstance(value, dict)), None):
        raise ValueError(f"{wrong} is no number")
    return metrics


SubsetMetrics = Annotated[
    dict[str, int | float | dict[str, tuple[float, float]] | None], AfterValidator(_has_intervals)
]
"""Metric → its value on one subset, and under ``interval`` metric → its bounds."""
