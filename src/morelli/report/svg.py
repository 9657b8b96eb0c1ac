"""SVG charts as data for the template: numbers become paths; colours and fonts are the style sheet's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

WIDTH, HEIGHT = 200, 184
_LEFT, _RIGHT, _TOP, _BOTTOM = 28, 4, 20, 30


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in the chart's units, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Shape:
    """One path; ``css`` names its look, such as ``unseen line``."""

    css: str
    path: str


@dataclass(frozen=True)
class Chart:
    """A chart as the template draws it. ``label`` says in words what it shows."""

    label: str
    x_name: str
    y_name: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    shapes: list[Shape]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


class Plot:
    """Collects the shapes of one chart whose axes run over ``x`` and ``y``, each (lowest, highest)."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], height: int = HEIGHT) -> None:
        self.x, self.y, self.height = x, y, height
        self.shapes: list[Shape] = []

    def line(self, css: str, xs: Array, ys: Array) -> None:
        """Add a line through the points; those that are not finite are passed over."""
        if points := self._points(xs, ys):
            self.shapes.append(Shape(f"{css} line", "M" + "L".join(points)))

    def area(self, css: str, xs: Array, ys: Array) -> None:
        """Add a filled area between the points and the bottom of the chart."""
        if points := self._points(xs, ys):
            ends = self._points(xs[[-1, 0]], np.full(2, self.y[0]))
            self.shapes.append(Shape(f"{css} area", "M" + "L".join([*points, *ends]) + "Z"))

    def dots(self, css: str, xs: Array, ys: Array) -> None:
        """Add a dot at each point."""
        if points := self._points(xs, ys):
            self.shapes.append(Shape(f"{css} dots", "".join(f"M{point}h0" for point in points)))

    def chart(self, label: str, x_name: str, y_name: str, *, y_ticks: bool = True) -> Chart:
        """The finished chart."""
        across = [Tick(float(self._across(v)), text) for v, text in ticks(*self.x)]
        up = [Tick(float(self._up(v)), text) for v, text in ticks(*self.y)] if y_ticks else []
        bottom = self.height - _BOTTOM
        return Chart(label, x_name, y_name, across, up, self.shapes, height=self.height, bottom=bottom)

    def _across(self, values: Array | float) -> Array:
        share = (np.asarray(values, float) - self.x[0]) / (self.x[1] - self.x[0])
        return np.asarray(_LEFT + share * (WIDTH - _RIGHT - _LEFT))

    def _up(self, values: Array | float) -> Array:
        share = (np.asarray(values, float) - self.y[0]) / (self.y[1] - self.y[0])
        return np.asarray(self.height - _BOTTOM - share * (self.height - _BOTTOM - _TOP))

    def _points(self, xs: Array, ys: Array) -> list[str]:
        places = zip(self._across(xs), self._up(ys), strict=True)
        return [f"{x:.1f} {y:.1f}" for x, y in places if math.isfinite(x) and math.isfinite(y)]


def ticks(low: float, high: float, about: int = 4) -> list[tuple[float, str]]:
    """About so many round numbers between two, and how to write them."""
    if (low, high) == (0, 1):
        return [(0, "0"), (0.5, "0.5"), (1, "1")]
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough)
    decimals = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, f"{n * step:.{decimals}f}".replace("-", "−")) for n in range(first, last + 1)]


def padded(values: Sequence[float], share: float = 0.04) -> tuple[float, float]:
    """The range of finite values with some air around it."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    air = (high - low) * share or abs(high) * share or 1.0
    return low - air, high + air
