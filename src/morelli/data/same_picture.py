"""Compare two thumbnails, aligned and then block by block: do they show one picture?

A whole-picture correlation cannot tell: two oval portraits on white, or two monochromes in one frame, correlate at 0.95
and more. So every block that holds any drawing must agree, and colours may differ only as one reproduction's do from
another's. Chosen on 14,552 paintings, a third of them abstract; see ``benchmarks/copies.py``.
"""

from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage

Array = np.ndarray

SIDE: Final = 64
_BLOCK, _PATCH = 8, 4  # pixels a side: of what drawing is compared in, and colour
_SHARPEST, _SOFTEST = 0.8, 2.4  # standard deviations in pixels: noise is smoothed away, and what one picture lacks
_DETAILED: Final = 96  # pixels a side from which a picture is no softer than its thumbnail
_STEPS: Final = 8
_FARTHEST: Final = 0.1  # of half a side: how far alignment may stretch or move a picture
_BEYOND: Final = 2  # pixels outside that count as its edge: a narrow margin may be all that differs in a series
_LUMINANCE: Final = np.array([0.299, 0.587, 0.114], np.float32)
_GREY: Final = 4  # levels between the channels of a picture without colour, on average
_DRAWN: Final = 16  # variance from which a block holds something to compare
_FEWEST_DRAWN: Final = 3
_RICH: Final = 44  # drawn blocks, of 64, that say enough to allow for other colours
_AGREEMENT, _CONTRAST, _DISAGREES, _FEW = 0.85, 0.75, 0.6, 0.06
_OTHER_COLOURS, _SAME_COLOURS = 35, 16  # levels


def thumbnail(image: Image.Image) -> Array:
    """(64, 64, 3) uint8; the sides' ratio is given up, since copies are often cropped or stretched a little."""
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0))


def same_picture(first: Array, second: Array, shortest_side: int = _DETAILED) -> bool:
    """Tell whether two thumbnails show one picture, be it resized, saved anew, cropped by a few per cent or recoloured.

    Every block of 8 × 8 pixels in which either has some drawing is correlated: on average 0.85 or more, at most 6 % of
    the blocks below 0.6, contrasts alike. Where 44 blocks of 64 are drawn, colours may differ by a factor and an
    offset for each channel, or lack in one picture; where fewer are, as in abstract works of a series, they may not.

    Args:
        first, second: from :func:`thumbnail`.
        shortest_side: of both pictures, in pixels; of a smaller one less detail is asked.
    """
    a, b = first.astype(np.float32), second.astype(np.float32)
    (a, alignment), (b, other) = (a, _alignment(a, b)), (b, _alignment(b, a))
    if _growth(alignment) > _growth(other):  # what was cropped lacks the edges that the other has
        a, b, alignment = b, a, other
    a, inside = _moved(a, alignment)
    fewest = _FEWEST_DRAWN
    paler, richer = sorted(float(np.ptp(side, axis=-1).mean()) for side in (first, second))
    if paler < _GREY and richer > 2 * _GREY:
        fewest = _RICH  # a copy without colour, unless the work itself is grey and its like in the series is not
        a, b = (a @ _LUMINANCE)[..., None], (b @ _LUMINANCE)[..., None]
    blur = min(_SOFTEST, _SHARPEST * max(1.0, _DETAILED / shortest_side))
    a, b = (ndimage.gaussian_filter(side, (blur, blur, 0)) for side in (a, b))
    colours_a, colours_b = (_blocks(side, inside, _PATCH).mean(1) for side in (a, b))
    a, b = (_blocks(side, inside, _BLOCK) for side in (a, b))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    variance_a, variance_b, covariance = (np.mean(x * y, axis=(1, 2)) for x, y in ((a, a), (b, b), (a, b)))
    drawn = np.maximum(variance_a, variance_b) > _DRAWN
    if drawn.sum() < fewest:
        return False
    agreement = (covariance / np.sqrt(np.maximum(variance_a * variance_b, 1e-3)))[drawn]
    contrast = (2 * covariance / np.maximum(variance_a + variance_b, 1e-3))[drawn]
    if agreement.mean() < _AGREEMENT or contrast.mean() < _CONTRAST or np.mean(agreement < _DISAGREES) > _FEW:
        return False
    if _most(colours_a - colours_b) <= _SAME_COLOURS:
        return True
    if drawn.sum() < _RICH:
        return False
    both_ways = _unexplained(colours_a, colours_b), _unexplained(colours_b, colours_a)
    return max(map(_most, both_ways)) <= _OTHER_COLOURS


def _growth(alignment: Array) -> float:
    return float(alignment[0] + alignment[2])


def _moved(a: Array, alignment: Array) -> tuple[Array, Array]:
    """``a`` stretched and moved, and (64, 64) where it had pixels to give."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    half = SIDE / 2
    u, v = (x - half + 0.5) / half, (y - half + 0.5) / half
    stretch_x, move_x, stretch_y, move_y = half * alignment
    at = [y + stretch_y * v + move_y, x + stretch_x * u + move_x]
    inside = (np.minimum(*at) >= -_BEYOND) & (np.maximum(*at) <= SIDE - 1 + _BEYOND)
    channels = [ndimage.map_coordinates(a[..., c], at, order=1, mode="nearest") for c in range(a.shape[-1])]
    return np.stack(channels, axis=-1), inside.astype(np.float32)


def _alignment(a: Array, b: Array) -> Array:
    """How to lay ``a`` on ``b``: stretch and move in x, then in y, in halves of a side (Lucas and Kanade 1981)."""
    a, b = (_standardised(ndimage.gaussian_filter(side @ _LUMINANCE, 1.5)[::2, ::2]) for side in (a, b))
    half = len(a) / 2
    y, x = np.mgrid[: len(a), : len(a)].astype(np.float32)
    u, v = (x - half + 0.5) / half, (y - half + 0.5) / half
    slope_y, slope_x = np.gradient(a)
    found, best, least = np.zeros(4), np.zeros(4), np.inf
    for _ in range(_STEPS):
        at = [y + half * (found[2] * v + found[3]), x + half * (found[0] * u + found[1])]
        moved, along_x, along_y = (
            ndimage.map_coordinates(side, at, order=1, mode="nearest") for side in (a, slope_x, slope_y)
        )
        off = b - moved
        if (error := float(np.square(off).mean())) < least:
            best, least = found, error
        slopes = half * np.stack([along_x * u, along_x, along_y * v, along_y], axis=-1).reshape(-1, 4)
        step = np.linalg.lstsq(slopes, off.ravel(), rcond=None)[0]
        found = np.clip(found + step, -_FARTHEST, _FARTHEST)
    return best


def _standardised(grey: Array) -> Array:
    standardised: Array = (grey - grey.mean()) / max(1e-3, float(grey.std()))
    return standardised


def _blocks(picture: Array, inside: Array, side: int) -> Array:
    """(64, 64, C) → (blocks, side², C): the blocks that lie inside, but for a tenth."""
    count = SIDE // side
    whole = np.concatenate([picture, inside[..., None]], axis=-1)
    blocks = whole.reshape(count, side, count, side, -1).transpose(0, 2, 1, 3, 4).reshape(count**2, side**2, -1)
    kept: Array = blocks[blocks[..., -1].mean(1) > 0.9][..., :-1]
    return kept


def _unexplained(a: Array, b: Array) -> Array:
    """What the best factor and offset of each channel leave of the difference between the patches' mean colours."""
    a, b = a - a.mean(0), b - b.mean(0)
    factor = (a * b).sum(0) / np.maximum((a * a).sum(0), 1e-3)
    unexplained: Array = b - factor * a
    return unexplained


def _most(differences: Array) -> float:
    """What 95 % of the patches do not exceed in any channel."""
    return float(np.quantile(np.abs(differences).max(1), 0.95))
