"""The hand of a synthetic painter: the habits that all of the painter's paintings share, and nothing else."""

from dataclasses import dataclass, fields, replace

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


@dataclass(frozen=True)
class Hand:
    """Habits of one painter. Lengths are shares of the picture's shorter side, angles radians.

    Attributes:
        family: name of the family of palettes that the painter's own was mixed from.
        palette: (4, 2) the painter's colours as OKLab a and b.
        naturalism: 0 paints from the palette only, 1 paints each thing in its own colour.
        key: lightness of the middle tone, OKLab L.
        contrast: how far the tones reach around the key.
        warmth: how much lights turn yellow and shadows blue (negative: the other way round).
        broken: how much neighbouring strokes differ in colour.
        width, length: of a stroke; the length is in stroke widths.
        bend: how much strokes curve, signed.
        angle: the direction that the hand prefers.
        obedience: 0 strokes in the preferred direction, 1 along the forms.
        swirl: how much the direction wanders over the picture.
        jitter: how much neighbouring strokes differ in direction.
        taper: how pointed a stroke is.
        opacity: of a layer of strokes.
        layers: how densely strokes cover the ground.
        bristle: how much single bristles show.
        dryness: how soon a stroke runs out of paint.
        impasto: how thick the paint is.
        outline: how dark the forms' edges are drawn.
        softness: how much wet edges melt.
        weave: canvas threads along the shorter side.
        tooth: how much the canvas shows through.
        ground: (3,) colour of the priming, OKLab.
    """

    family: str
    palette: NDArray[np.float64]
    naturalism: float
    key: float
    contrast: float
    warmth: float
    broken: float
    width: float
    length: float
    bend: float
    angle: float
    obedience: float
    swirl: float
    jitter: float
    taper: float
    opacity: float
    layers: float
    bristle: float
    dryness: float
    impasto: float
    outline: float
    softness: float
    weave: float
    tooth: float
    ground: NDArray[np.float64]

    def on_another_day(self, rng: np.random.Generator) -> "Hand":
        """The same hand as it works on one painting: every habit a little off, the palette mixed afresh."""
        wobbled = {
            field.name: getattr(self, field.name) * float(np.exp(rng.normal(0, _WOBBLE)))
            for field in fields(self)
            if field.type is float and field.name not in ("angle", "key", "opacity")
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


_WOBBLE = 0.24


def draw_hand(rng: np.random.Generator) -> Hand:
    """Draw the habits of a painter."""
    family = str(rng.choice(list(PALETTES)))
    hues, chroma = PALETTES[family]
    angles = np.deg2rad(np.asarray(hues) + rng.normal(0, 14, len(hues)))
    strengths = chroma * rng.uniform(0.6, 1.4, len(hues))
    ground_hue, ground_chroma = np.deg2rad(rng.uniform(40, 110)), rng.uniform(0, 0.06)
    return Hand(
        family=family,
        palette=strengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1),
        naturalism=rng.uniform(0.2, 0.55),
        key=rng.uniform(0.52, 0.66),
        contrast=rng.uniform(0.5, 0.8),
        warmth=rng.normal(0, 0.05),
        broken=rng.uniform(0.015, 0.06),
        width=float(np.exp(rng.uniform(np.log(0.018), np.log(0.045)))),
        length=float(np.exp(rng.uniform(np.log(2), np.log(7)))),
        bend=rng.normal(0, 0.3),
        angle=rng.uniform(0, np.pi),
        obedience=rng.uniform(0.2, 0.95),
        swirl=rng.uniform(0, 1) ** 2,
        jitter=rng.uniform(0.05, 0.45),
        taper=rng.uniform(0, 0.9),
        opacity=rng.uniform(0.65, 1),
        layers=rng.uniform(0.9, 1.5),
        bristle=rng.uniform(0.2, 1),
        dryness=rng.uniform(0.1, 0.8),
        impasto=rng.uniform(0.1, 0.8),
        outline=max(0.0, rng.uniform(-0.4, 0.4)),
        softness=max(0.0, rng.uniform(-0.3, 0.6)),
        weave=float(np.exp(rng.uniform(np.log(45), np.log(75)))),
        tooth=rng.uniform(0, 0.7),
        ground=np.array(
            [rng.uniform(0.25, 0.92), ground_chroma * np.cos(ground_hue), ground_chroma * np.sin(ground_hue)]
        ),
    )
