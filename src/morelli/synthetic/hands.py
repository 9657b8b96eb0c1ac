"""The hand of a synthetic painter: the habits that all of the painter's paintings share, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Families of palettes that many painters share: hues in degrees of OKLab and how strong their colours are.
PALETTES: dict[str, tuple[tuple[float, ...], float]] = {
    "Earths": ((55, 70, 40, 95), 0.065),
    "Harbour": ((235, 215, 80, 255), 0.06),
    "Garden": ((135, 115, 10, 95), 0.085),
    "Dusk": ((300, 330, 45, 265), 0.075),
    "Primaries": ((28, 95, 262, 145), 0.12),
    "Greys": ((80, 250, 60, 200), 0.025),
}


_WOBBLE = 0.24  # of every habit from one painting to the next


def _habit(draw: Callable[[np.random.Generator], float]) -> Any:
    return field(metadata={"draw": draw})


def _uniform(low: float, high: float) -> Any:
    return _habit(lambda rng: rng.uniform(low, high))


def _log_uniform(low: float, high: float) -> Any:
    return _habit(lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _normal(spread: float) -> Any:
    return _habit(lambda rng: rng.normal(0, spread))


def _often_zero(low: float, high: float) -> Any:
    return _habit(lambda rng: max(0.0, rng.uniform(low, high)))


@dataclass(frozen=True)
class Hand:
    """Habits of one painter, each with how it is drawn, in this order: another one would paint other pictures.

    Lengths are shares of the picture's shorter side, angles radians.
    """

    family: str  # name of the family of palettes that the painter's own was mixed from
    palette: NDArray[np.float64]  # (4, 2) the painter's colours as OKLab a and b
    ground: NDArray[np.float64]  # (3,) colour of the priming, OKLab
    naturalism: float = _uniform(0.2, 0.55)  # 0 paints from the palette only, 1 each thing in its own colour
    key: float = _uniform(0.52, 0.66)  # lightness of the middle tone, OKLab L
    contrast: float = _uniform(0.5, 0.8)  # how far the tones reach around the key
    warmth: float = _normal(0.05)  # how much lights turn yellow and shadows blue; negative: the other way round
    broken: float = _uniform(0.015, 0.06)  # how much neighbouring strokes differ in colour
    width: float = _log_uniform(0.018, 0.045)  # of a stroke
    length: float = _log_uniform(2, 7)  # of a stroke, in widths
    bend: float = _normal(0.3)  # how much strokes curve, signed
    angle: float = _uniform(0, np.pi)  # the direction that the hand prefers
    obedience: float = _uniform(0.2, 0.95)  # 0 strokes in the preferred direction, 1 along the forms
    swirl: float = _habit(lambda rng: rng.uniform(0, 1) ** 2)  # how much the direction wanders over the picture
    jitter: float = _uniform(0.05, 0.45)  # how much neighbouring strokes differ in direction
    taper: float = _uniform(0, 0.9)  # how pointed a stroke is
    opacity: float = _uniform(0.65, 1)  # of a layer of strokes
    layers: float = _uniform(0.9, 1.5)  # how densely strokes cover the ground
    bristle: float = _uniform(0.2, 1)  # how much single bristles show
    dryness: float = _uniform(0.1, 0.8)  # how soon a stroke runs out of paint
    impasto: float = _uniform(0.1, 0.8)  # how thick the paint is
    outline: float = _often_zero(-0.4, 0.4)  # how dark the forms' edges are drawn
    softness: float = _often_zero(-0.3, 0.6)  # how much wet edges melt
    weave: float = _log_uniform(45, 75)  # canvas threads along the shorter side
    tooth: float = _uniform(0, 0.7)  # how much the canvas shows through

    def on_another_day(self, rng: np.random.Generator) -> "Hand":
        """The same hand as it works on one painting: every habit a little off, the palette mixed afresh."""
        wobbled = {
            habit.name: getattr(self, habit.name) * float(np.exp(rng.normal(0, _WOBBLE)))
            for habit in fields(self)
            if habit.metadata and habit.name not in ("angle", "key", "opacity")
        }
        turn = rng.normal(0, 0.22)
        turned = self.palette @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        scale = float(np.exp(rng.normal(0, 0.2)))  # a smaller canvas shows larger strokes
        wobbled["width"] *= scale
        wobbled["weave"] = self.weave / scale
        return replace(
            self,
            **wobbled,
            palette=rng.permuted(turned, axis=0) * rng.uniform(0.6, 1.3) + rng.normal(0, 0.02, 2),
            key=self.key + rng.normal(0, 0.06),
            angle=self.angle + rng.normal(0, 0.2),
            opacity=float(np.clip(self.opacity + rng.normal(0, 0.06), 0.3, 1)),
            ground=self.ground + rng.normal(0, (0.05, 0.01, 0.01)),
        )


def draw_hand(rng: np.random.Generator) -> Hand:
    """Draw the habits of a painter."""
    family = str(rng.choice(list(PALETTES)))
    hues, chroma = PALETTES[family]
    angles = np.deg2rad(np.asarray(hues) + rng.normal(0, 14, len(hues)))
    strengths = chroma * rng.uniform(0.6, 1.4, len(hues))
    palette = strengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hue, strength = np.deg2rad(rng.uniform(40, 110)), rng.uniform(0, 0.06)
    habits = {habit.name: habit.metadata["draw"](rng) for habit in fields(Hand) if habit.metadata}
    ground = np.array([rng.uniform(0.25, 0.92), strength * np.cos(hue), strength * np.sin(hue)])
    return Hand(family=family, palette=palette, ground=ground, **habits)
