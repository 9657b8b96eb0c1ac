"""Paint a scene with a hand: strokes of bristles on a canvas, all points of a layer laid at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from morelli.synthetic.hands import Hand
from morelli.synthetic.scenes import Array, Scene, smooth_noise

_COARSE = 2  # directions are worked out on a grid this many times coarser than the picture
_FINE = 2  # strokes are laid on a canvas this many times finer than the picture
_STEP = 0.8  # distance between the laid points of a middling stroke, pixels of the fine canvas
_POINTS_AT_ONCE = 131_072  # so many fit the processor's cache
_LONGEST = 0.3  # a middling stroke, share of the picture's shorter side
_BROADEST = 0.1  # the same for its width
_SIZES = 0.6, 1.35  # of single strokes around the middling one
_BEND = 0.7  # of the most curved stroke: it rises by a quarter of this share of its length
_MARGIN = 0.32  # canvas beyond the picture, so that no stroke needs clipping: half the longest and widest, curved


@dataclass(frozen=True)
class _Layer:
    """How one layer of strokes differs from the hand's plain stroke."""

    width: float
    cover: float
    edges_only: bool = False


_LAYERS = (_Layer(width=1.8, cover=1.0), _Layer(width=1.0, cover=1.3), _Layer(width=0.55, cover=0.5, edges_only=True))


def paint(scene: Scene, hand: Hand, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a scene, (H, W, 3) 8-bit sRGB."""
    height, width = (side * _FINE for side in scene.tone.shape)
    margin = round(_MARGIN * min(height, width))
    inner = np.s_[margin : margin + height, margin : margin + width]
    tooth = _weave(hand, height + 2 * margin, width + 2 * margin, min(height, width))
    canvas = np.empty((*tooth.shape, 4), dtype=np.uint8)
    canvas[:] = (*_srgb(hand.ground[None])[0], 60)
    flow, edge = _directions(scene, hand, rng), _edges(scene)
    for layer in _LAYERS:
        before = Image.fromarray(canvas[inner])
        _lay(canvas, tooth, margin, _plan(scene, hand, layer, flow, edge, rng), hand, rng)
        canvas[inner] = Image.blend(before, Image.fromarray(canvas[inner]), hand.opacity)
    return _finish(canvas[inner], tooth[inner], hand)


@dataclass(frozen=True)
class _Strokes:
    """S strokes, in the order they are laid. Lengths in pixels of the fine canvas."""

    x: Array
    y: Array
    angle: Array
    length: Array
    width: Array
    bend: Array
    colour: Array  # (S, 3) OKLab


def _plan(scene: Scene, hand: Hand, layer: _Layer, flow: Array, edge: Array, rng: np.random.Generator) -> _Strokes:
    """Choose where the strokes of a layer go and what colour they take from the scene."""
    height, width = scene.tone.shape
    shorter = min(height, width)
    broad = max(min(hand.width * layer.width, _BROADEST) * shorter, 1.0)
    long = min(broad * max(hand.length / layer.width**0.5, 1.2), _LONGEST * shorter)
    count = max(int(layer.cover * hand.layers * height * width / (broad * long)), 12)
    if layer.edges_only:
        chance = np.cumsum((edge + 0.03).ravel(), dtype=np.float64)
        spots = np.searchsorted(chance, rng.uniform(0, chance[-1], count))
        y, x = (spots // width).astype(np.float32), (spots % width).astype(np.float32)
    else:
        y, x = _scatter(count, height, width, rng)
    row, column = y.astype(np.intp), x.astype(np.intp)
    colour = _mix(scene, hand, row, column, rng)
    colour[:, 0] -= hand.outline * edge[row, column] * (0.8 if layer.edges_only else 0.2)
    size = np.exp(rng.normal(0, 0.2, (2, count)))
    return _Strokes(
        x=x * _FINE,
        y=y * _FINE,
        angle=(flow[row // _COARSE, column // _COARSE] + rng.normal(0, hand.jitter, count)).astype(np.float32),
        length=(np.clip(size[0], *_SIZES) * long * _FINE).astype(np.float32),
        width=(np.clip(size[1], *_SIZES) * broad * _FINE).astype(np.float32),
        bend=np.clip(hand.bend + rng.normal(0, 0.1 + abs(hand.bend) / 3, count), -_BEND, _BEND).astype(np.float32),
        colour=colour,
    )


def _scatter(count: int, height: int, width: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """About ``count`` spots, evenly but not regularly spread, in random order."""
    across = max(round(np.sqrt(count * width / height)), 1)
    down = max(round(count / across), 1)
    cells = rng.permutation(across * down)[:count]
    extra = rng.integers(0, across * down, max(count - len(cells), 0))
    cells = np.concatenate([cells, extra])
    y = (cells // across + rng.uniform(0, 1, count)) * (height / down)
    x = (cells % across + rng.uniform(0, 1, count)) * (width / across)
    return np.minimum(y, height - 1).astype(np.float32), np.minimum(x, width - 1).astype(np.float32)


def _mix(scene: Scene, hand: Hand, row: NDArray[np.intp], column: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """The colours that a hand takes for what it sees at these spots, (S, 3) OKLab."""
    region, tone = scene.region[row, column], scene.tone[row, column] - 0.5
    own = hand.palette[np.arange(len(scene.local_colour)) % len(hand.palette)]
    colours = hand.naturalism * scene.local_colour + (1 - hand.naturalism) * own
    lab = np.empty((len(row), 3), dtype=np.float32)
    lab[:, 0] = hand.key + hand.contrast * tone
    lab[:, 1:] = colours[region] * (1 - 1.2 * abs(tone))[:, None]
    lab[:, 2] += hand.warmth * 2 * tone
    return np.asarray(lab + rng.normal(0, hand.broken, lab.shape) * (1.0, 0.7, 0.7), dtype=np.float32)


def _lay(
    canvas: NDArray[np.uint8], tooth: Array, margin: int, strokes: _Strokes, hand: Hand, rng: np.random.Generator
) -> None:
    """Lay strokes on the canvas (its fourth channel is the paint's height), later ones over earlier ones."""
    count, width = len(strokes.x), canvas.shape[1]
    u = np.linspace(-0.5, 0.5, int(1.15 * np.median(strokes.length) / _STEP) + 2, dtype=np.float32)
    v = np.linspace(-0.5, 0.5, int(1.15 * np.median(strokes.width) / _STEP) + 2, dtype=np.float32)
    along = strokes.length[:, None] * u
    aside = (strokes.length * strokes.bend)[:, None] * (u**2 - np.float32(1 / 12))
    cosine, sine = np.cos(strokes.angle)[:, None], np.sin(strokes.angle)[:, None]
    across = strokes.width[:, None] * (1 - np.float32(hand.taper) * (2 * u) ** 4)
    facing = strokes.angle[:, None] + 2 * strokes.bend[:, None] * u
    spine_x = strokes.x[:, None] + margin + cosine * along - sine * aside
    spine_y = strokes.y[:, None] + margin + sine * along + cosine * aside
    side_x, side_y = -np.sin(facing) * across, np.cos(facing) * across

    grain = rng.standard_normal((count, len(v)), dtype=np.float32)
    load = np.float32(1.4 - 0.5 * hand.dryness) + np.float32(0.25) * grain
    spent = np.float32(hand.dryness) * (u + np.float32(0.5)) + 4 * np.maximum(abs(u) - np.float32(0.4), 0)
    colour = _srgb(strokes.colour)[:, None, :] * (1 + np.float32(0.12 * hand.bristle) * grain[..., None])
    ridge = 70 + 60 * abs(2 * v) ** 3 + np.float32(45 * hand.bristle) * grain + rng.normal(0, 12, (count, 1))
    paint = np.clip(np.concatenate([colour, ridge[..., None]], axis=2), 0, 255).astype(np.uint8).view(np.uint32)[..., 0]

    flat_canvas, flat_tooth = canvas.view(np.uint32).reshape(-1), tooth.reshape(-1)
    at_once = max(_POINTS_AT_ONCE // (len(u) * len(v)), 1)
    for start in range(0, count, at_once):
        some = slice(start, start + at_once)
        spot = (spine_y[some, :, None] + side_y[some, :, None] * v).astype(np.int32)
        spot *= width
        spot += (spine_x[some, :, None] + side_x[some, :, None] * v).astype(np.int32)
        wet = load[some, None, :] - spent[:, None] > flat_tooth[spot]
        flat_canvas[spot[wet]] = np.broadcast_to(paint[some, None, :], spot.shape)[wet]


def _directions(scene: Scene, hand: Hand, rng: np.random.Generator) -> Array:
    """Direction of the strokes at every other pixel, (H / 2, W / 2) radians.

    The hand's own direction, the forms' and a wandering one are added as axes: as unit vectors of twice their angle.
    """
    tone = gaussian_filter(scene.tone[::_COARSE, ::_COARSE], 1)
    down, across = np.gradient(tone)
    form = -((across + 1j * down).astype(np.complex64) ** 2)  # minus turns the slope's axis along the form
    form = gaussian_filter(form, max(tone.shape) / 25)
    form /= np.abs(form) + np.float32(1e-4)
    wander = hand.swirl * 2.5 * smooth_noise(rng, tone.shape[0], tone.shape[1], 3, 3)
    own = np.exp(2j * (hand.angle + wander))
    obedience = np.clip(hand.obedience, 0, 0.98)
    return np.asarray(np.angle(obedience * form + (1 - obedience) * own) / 2, dtype=np.float32)


def _edges(scene: Scene) -> Array:
    """How much of an edge is seen there, (H, W) from 0 to 1."""
    border = np.zeros(scene.tone.shape, dtype=np.float32)
    border[:, 1:] += scene.region[:, 1:] != scene.region[:, :-1]
    border[1:] += scene.region[1:] != scene.region[:-1]
    return np.asarray(np.clip(2.5 * gaussian_filter(border, min(scene.tone.shape) / 130), 0, 1), dtype=np.float32)


def _weave(hand: Hand, height: int, width: int, shorter: int) -> Array:
    """The height of the canvas's threads, (H, W) from 0 to 1."""
    pitch = np.float32(2 * np.pi * hand.weave / shorter)
    warp, weft = (0.25 * np.sin(pitch * np.arange(side, dtype=np.float32)) for side in (width, height))
    return np.asarray(0.5 + warp + weft[:, None], dtype=np.float32)


def _finish(canvas: NDArray[np.uint8], tooth: Array, hand: Hand) -> NDArray[np.uint8]:
    """Light the paint from the upper left, shrink to the picture's size and melt wet edges."""
    picture = _shrink(canvas.astype(np.float32))
    colour = picture[..., :3]
    if hand.softness > 0.15:
        colour = gaussian_filter(colour, (hand.softness, hand.softness, 0))
    relief = np.float32(1.1 * hand.impasto) * picture[..., 3] + np.float32(40 * hand.tooth) * _shrink(tooth)
    shade = np.zeros_like(relief)
    shade[1:, 1:] = relief[1:, 1:] - relief[:-1, :-1]
    return np.asarray(np.clip(colour + shade[..., None], 0, 255), dtype=np.uint8)


def _shrink(fine: NDArray[Any]) -> NDArray[Any]:
    """The mean of each pixel's ``_FINE`` by ``_FINE`` fine ones."""
    corners = (fine[row::_FINE, column::_FINE] for row in range(_FINE) for column in range(_FINE))
    return np.asarray(sum(corners, np.float32(0)) / np.float32(_FINE**2), dtype=np.float32)


def _srgb(lab: NDArray[np.floating]) -> NDArray[np.uint8]:
    """OKLab to 8-bit sRGB, (N, 3) (https://bottosson.github.io/posts/oklab/)."""
    to_cone = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    cones = np.einsum("nc,kc->nk", lab, to_cone) ** 3
    linear = np.clip(np.einsum("nc,kc->nk", cones, to_linear), 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(255 * coded), dtype=np.uint8)
