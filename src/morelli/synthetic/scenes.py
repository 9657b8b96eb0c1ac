"""Subjects and compositions of synthetic paintings, which know nothing about who paints them.

Positions run from 0 to 1 across (x) and down (y) the picture; tones from 0 (dark) to 1 (light).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A composition before any hand has touched it.

    Attributes:
        tone: (H, W) lightness asked for, 0 to 1.
        region: (H, W) number of the thing seen there.
        local_colour: (R, 2) each thing's own colour as OKLab a and b.
    """

    tone: Array
    region: NDArray[np.uint8]
    local_colour: Array


class _Sketch:
    """A composition being made: later shapes cover earlier ones."""

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.rng = rng
        down, across = (np.linspace(0, 1, side, dtype=np.float32) for side in (height, width))
        self.y, self.x = np.meshgrid(down, across, indexing="ij")
        self.tone = np.zeros((height, width), dtype=np.float32)
        self.region = np.zeros((height, width), dtype=np.uint8)
        self.colours: list[tuple[float, float]] = []
        self.light = rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.0), -rng.uniform(0.3, 0.9)

    def colour(self, degrees: float, spread: float, chroma: float) -> tuple[float, float]:
        hue = np.deg2rad(self.rng.normal(degrees, spread))
        strength = chroma * self.rng.uniform(0.5, 1.3)
        return float(strength * np.cos(hue)), float(strength * np.sin(hue))

    def any_colour(self) -> tuple[float, float]:
        return self.colour(self.rng.uniform(0, 360), 0, 0.09)

    def add(self, inside: NDArray[np.bool_], tone: NDArray[Any] | float, colour: tuple[float, float]) -> None:
        self.tone = np.where(inside, tone, self.tone).astype(np.float32)
        self.region[inside] = len(self.colours)
        self.colours.append(colour)

    def radius(self, x: float, y: float, across: float, down: float, turn: float = 0.0) -> Array:
        """Distance from an ellipse's centre, 1 on its edge."""
        dx, dy = self.x - x, self.y - y
        along, aside = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        return np.asarray(np.sqrt((along / across) ** 2 + (aside / down) ** 2), dtype=np.float32)

    def ball(self, x: float, y: float, across: float, down: float, tone: float, colour: tuple[float, float]) -> None:
        radius = self.radius(x, y, across, down)
        lit = (self.x - x) / across * self.light[0] + (self.y - y) / down * self.light[1]
        self.add(radius < 1, tone + 0.28 * lit - 0.1 * radius**4, colour)

    def wave(self, level: float, height: float) -> Array:
        """A line across the picture: (W,) heights of a few added waves."""
        across, rng = self.x[0], self.rng
        waves = [height / n * np.sin(across * n * rng.uniform(2, 6) + rng.uniform(0, 6.3)) for n in range(1, 5)]
        return np.asarray(level + np.sum(waves, axis=0), dtype=np.float32)

    def noise(self, cells_down: int, cells_across: int) -> Array:
        return smooth_noise(self.rng, *self.tone.shape, cells_down, cells_across)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells_down: int, cells_across: int) -> Array:
    """Soft noise of about unit size with that many cells down and across the picture, (H, W)."""
    coarse = rng.standard_normal((cells_down, cells_across), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def _horizon(sketch: _Sketch) -> None:
    rng, x, y, add, colour = sketch.rng, sketch.x, sketch.y, sketch.add, sketch.colour
    level = rng.uniform(0.3, 0.7)
    top, bottom = rng.uniform(0.35, 0.85), rng.uniform(0.6, 1.0)
    clouds = rng.uniform(0, 0.14) * sketch.noise(7, 4)
    add(y >= 0, top + (bottom - top) * y / level + clouds, colour(rng.choice([250, 60, 95]), 20, 0.07))
    if rng.random() < 0.5:
        sun = rng.uniform(0.1, 0.9), rng.uniform(0.05, level)
        size = rng.uniform(0.03, 0.1)
        sketch.tone += 0.25 * np.exp(-((sketch.radius(*sun, 3 * size, 3 * size)) ** 2))
        add(sketch.radius(*sun, size, size) < 1, 0.97, colour(80, 20, 0.1))
    for step in range(rng.integers(0, 3)):
        ridge = sketch.wave(level - 0.12 + 0.06 * step, rng.uniform(0.02, 0.08))
        add((y > ridge) & (y < level + 0.1), rng.uniform(0.3, 0.6), colour(230, 60, 0.04))
    if rng.random() < 0.5:
        ripples = 0.1 * sketch.noise(30, 4)
        add(y > level, rng.uniform(0.35, 0.75) - 0.3 * (y - level) + ripples, colour(225, 25, 0.06))
        shore = sketch.wave(rng.uniform(0.85, 1.0), 0.06)
        add(y > shore, rng.uniform(0.15, 0.5), colour(100, 30, 0.06))
        return
    ground, edge = 0.07 * sketch.noise(9, 5), sketch.wave(level, 0.02)
    add(y > edge, rng.uniform(0.25, 0.65) - 0.2 * (y - level) + ground, colour(120, 30, 0.08))
    for _ in range(rng.integers(0, 6)):
        at, crown, size = rng.uniform(0, 1), level + rng.uniform(-0.05, 0.2), rng.uniform(0.04, 0.16)
        add((abs(x - at) < 0.12 * size) & (abs(y - crown - size) < 0.8 * size), 0.15, (0.02, 0.03))
        sketch.ball(at, crown, size * rng.uniform(0.5, 1), size, rng.uniform(0.2, 0.45), colour(130, 30, 0.07))


def _portrait(sketch: _Sketch) -> None:
    rng, add, ball, radius = sketch.rng, sketch.add, sketch.ball, sketch.radius
    backdrop = rng.uniform(0.1, 0.75) + 0.12 * sketch.noise(4, 4) + 0.15 * sketch.light[0] * (0.5 - sketch.x)
    add(sketch.y >= 0, backdrop, sketch.any_colour())
    x, y, size = rng.uniform(0.38, 0.62), rng.uniform(0.34, 0.45), rng.uniform(0.18, 0.26)
    skin, skin_tone = sketch.colour(60, 10, 0.06), rng.uniform(0.45, 0.8)
    hair, hair_tone = sketch.colour(60, 20, 0.05), rng.uniform(0.08, 0.6)
    lean = rng.uniform(-0.15, 0.15)
    if rng.random() < 0.5:
        ball(x, y + 0.4 * size, 1.15 * size, 1.7 * size, hair_tone, hair)
    shoulders = radius(x + lean, y + 3.6 * size, rng.uniform(1.7, 2.6) * size, 2.1 * size)
    folds = 0.08 * sketch.noise(4, 9)
    add(shoulders < 1, rng.uniform(0.12, 0.75) - 0.2 * shoulders + folds, sketch.any_colour())
    ball(x + lean / 3, y + 1.3 * size, 0.42 * size, 0.8 * size, skin_tone - 0.15, skin)
    ball(x, y - 0.25 * size, 0.95 * size, 1.15 * size, hair_tone, hair)
    ball(x + 0.06 * lean, y + 0.12 * size, 0.76 * size, 1.02 * size, skin_tone, skin)
    middle = x + rng.uniform(-0.2, 0.2) * size  # of the face, as it looks aside
    for side in (-0.32, 0.32):
        add(radius(middle + side * size, y, 0.15 * size, 0.08 * size) < 1, 0.12, hair)
        add(radius(middle + side * size, y - 0.2 * size, 0.2 * size, 0.05 * size) < 1, 0.25, hair)
    shaded = middle - 0.08 * size * np.sign(sketch.light[0])
    sketch.tone -= 0.2 * (radius(shaded, y + 0.27 * size, 0.08 * size, 0.24 * size) < 1)
    mouth = radius(middle, y + 0.62 * size, 0.24 * size, 0.07 * size)
    add(mouth < 1, skin_tone - 0.3, sketch.colour(25, 10, 0.11))


def _still_life(sketch: _Sketch) -> None:
    rng, light = sketch.rng, sketch.light[0]
    wall = rng.uniform(0.1, 0.8) + 0.1 * sketch.noise(3, 4)
    sketch.add(sketch.y >= 0, wall + 0.2 * light * (0.5 - sketch.x), sketch.any_colour())
    edge = rng.uniform(0.5, 0.7) + rng.uniform(-0.15, 0.15) * (sketch.x - 0.5)
    sketch.add(sketch.y > edge, rng.uniform(0.2, 0.85) - 0.25 * (sketch.y - edge), sketch.any_colour())
    count = int(rng.integers(2, 7))
    for foot in np.sort(rng.uniform(0.62, 0.9, count)):
        x, size, tone = rng.uniform(0.12, 0.88), rng.uniform(0.07, 0.15), rng.uniform(0.3, 0.75)
        shadow = sketch.radius(x - 0.8 * size * light, foot, 1.4 * size, 0.35 * size)
        sketch.tone -= 0.25 * np.clip(1.3 - shadow, 0, 1)
        if rng.random() < 0.3:
            colour, tall = sketch.any_colour(), rng.uniform(2.2, 3.5) * size
            neck = (abs(sketch.x - x) < 0.28 * size) & (sketch.y > foot - tall) & (sketch.y < foot - size)
            sketch.add(neck, tone + 2 * (0.25 * light * (sketch.x - x) / size), colour)
            sketch.ball(x, foot - 0.9 * size, 0.8 * size, 1.1 * size, tone, colour)
        else:
            fruit = sketch.colour(rng.choice([35, 70, 110, 140, 350]), 15, 0.13)
            sketch.ball(x, foot - 0.8 * size, size, size * rng.uniform(0.75, 1.05), tone, fruit)


def _abstract(sketch: _Sketch) -> None:
    rng = sketch.rng
    sketch.add(sketch.y >= 0, rng.uniform(0.15, 0.9) + 0.08 * sketch.noise(3, 3), sketch.any_colour())
    kinds = rng.choice(["band", "disc", "wedge", "field"], size=2)
    for _ in range(rng.integers(4, 10)):
        x, y, size, turn = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.08, 0.35), rng.uniform(0, np.pi)
        slope = (sketch.x - x) * np.cos(turn) + (sketch.y - y) * np.sin(turn)
        aside = (sketch.x - x) * np.sin(turn + 1)
        shapes: dict[str, NDArray[np.bool_]] = {
            "band": abs(slope) < 0.35 * size,
            "disc": sketch.radius(x, y, size, size * rng.uniform(0.6, 1), turn) < 1,
            "wedge": (slope > 0) & (aside < 0.3 * size) & (sketch.radius(x, y, 0.5, 0.5) < 1),
            "field": sketch.noise(4, 4) > rng.uniform(0.5, 1.2),
        }
        sketch.add(shapes[str(rng.choice(kinds))], rng.uniform(0.08, 0.95) + 0.2 * slope, sketch.any_colour())


# Each subject's composition, and how tall its pictures are to their width.
_COMPOSE: dict[str, tuple[Callable[[_Sketch], None], tuple[float, float]]] = {
    "horizon": (_horizon, (0.72, 1.0)),
    "portrait": (_portrait, (1.0, 1.4)),
    "still life": (_still_life, (0.78, 1.1)),
    "abstract": (_abstract, (0.8, 1.25)),
}
SUBJECTS = tuple(_COMPOSE)


def compose(subject: str, size: int, rng: np.random.Generator) -> Scene:
    """Draw a composition of a subject, ``size`` pixels on its shorter side."""
    draw, proportions = _COMPOSE[subject]
    tall = rng.uniform(*proportions)
    sketch = _Sketch(round(size * max(tall, 1.0)), round(size * max(1 / tall, 1.0)), rng)
    draw(sketch)
    return Scene(np.clip(sketch.tone, 0, 1), sketch.region, np.asarray(sketch.colours, dtype=np.float32))
