"""Saliency maps: which regions of two pictures speak for their being by one hand.

Similarity-based saliency maps (SBSM: Dong, Collins and Hoogs, "Explainability for content-based image retrieval", CVPR
Workshops 2019) ask nothing of the network's inside. A window slides over one picture and hides what is under it; where
hiding makes the two less alike, what was hidden spoke for the match. A pixel's value is the mean over the windows that
cover it. Each picture is explained against the whole other.

One thing differs from the paper: a window is filled with the picture's own mean colour instead of black, which no
painting is made of. A map tells what moved this network's score, not what an expert should look at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageStat

from morelli._files import check_output, written_whole
from morelli.gallery.reader import Reader

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
CAPTION: Final = "Red: speaks for one hand, in this network's eyes. Evidence, not authentication."
WINDOWS: Final = 12
"""Steps of the window along the longer side of a picture; the window is three steps wide."""
_SPAN: Final = 3
_SHOWN_SIDE: Final = 512
_WARM: Final = np.array([255, 40, 0])


@dataclass(frozen=True)
class Explanation:
    """Two pictures and what speaks for the match in each.

    Attributes:
        pictures: as the network saw them.
        maps: for each, (height, width) of the picture: how much the score falls when the surroundings of a pixel are
            hidden. Below 0 where they speak against the match. In units of the network's score.
        score: of the two pictures with nothing hidden.
    """

    pictures: tuple[Image.Image, Image.Image]
    maps: tuple[np.ndarray, np.ndarray]
    score: float

    def image(self, *, captioned: bool = True) -> Image.Image:
        """The two side by side, red where a region speaks for the match; both on one scale."""
        strongest = max(float(map_.max()) for map_ in self.maps)
        shown = [_shown(*pair, strongest) for pair in zip(self.pictures, self.maps, strict=True)]
        gap, caption = 12, 26 if captioned else 0
        height = max(one.height for one in shown) + caption
        sheet = Image.new("RGB", (sum(one.width for one in shown) + gap, height), "white")
        sheet.paste(shown[0], (0, caption))
        sheet.paste(shown[1], (shown[0].width + gap, caption))
        if captioned:
            ImageDraw.Draw(sheet).text((4, 6), CAPTION, fill="black")
        return sheet

    def save(self, path: Path) -> None:
        """Write :meth:`image` as a PNG or JPEG, by the suffix."""
        check_output(path, *SUFFIXES)
        with written_whole(path) as temporary:
            self.image().save(temporary)


class _Hidden(Sequence[Image.Image]):
    """A picture with each of the boxes hidden, made when the network takes it."""

    def __init__(self, picture: Image.Image, boxes: Sequence["Box"], proceed: Callable[[], None]) -> None:
        self.picture, self.boxes, self.proceed = picture, boxes, proceed

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, place: Any) -> Any:
        self.proceed()
        return _hide(self.picture, self.boxes[place])


def explain(reader: Reader, a: Image.Image, b: Image.Image, proceed: Callable[[], None] = lambda: None) -> Explanation:
    """Explain a pair of shrunk RGB pictures; takes about 200 passes of the network for each.

    ``proceed`` is called before each pass; what it raises ends the work.
    """
    whole = reader.embed([a, b])
    score_rows = reader.network.scorer.pairwise_distance
    score = float(score_rows(whole[:1], whole[1:]))
    maps = []
    for picture, other in ((a, whole[1:]), (b, whole[:1])):
        boxes = _windows(picture.size)
        hidden = reader.embed(_Hidden(picture, boxes, proceed))
        falls = score - score_rows(hidden, other.expand(len(hidden), -1)).numpy()
        maps.append(_spread(picture.size, boxes, falls))
    return Explanation((a, b), (maps[0], maps[1]), score)


Box = tuple[int, int, int, int]


def _windows(size: tuple[int, int]) -> list[Box]:
    """Boxes (left, top, right, bottom) that cover the picture; those at the edges reach beyond it by a step or two."""
    step = max(1.0, max(size) / WINDOWS)
    starts = [np.arange(1 - _SPAN, np.ceil(side / step)) * step for side in size]
    corners = [(round(x), round(y)) for y in starts[1] for x in starts[0]]
    reach = round(_SPAN * step)
    return [(max(0, x), max(0, y), min(size[0], x + reach), min(size[1], y + reach)) for x, y in corners]


def _hide(picture: Image.Image, box: Box) -> Image.Image:
    hidden = picture.copy()
    red, green, blue = (round(channel) for channel in ImageStat.Stat(picture).mean)
    hidden.paste((red, green, blue), box)
    return hidden


def _spread(size: tuple[int, int], boxes: Sequence[Box], falls: np.ndarray) -> np.ndarray:
    """(height, width) the mean fall over the windows that cover each pixel."""
    total, count = np.zeros((2, size[1], size[0]))
    for (left, top, right, bottom), fall in zip(boxes, falls, strict=True):
        total[top:bottom, left:right] += fall
        count[top:bottom, left:right] += 1
    return total / np.maximum(count, 1)


def _shown(picture: Image.Image, map_: np.ndarray, strongest: float) -> Image.Image:
    scale = _SHOWN_SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), dtype=float)
    heat = np.clip(map_ / strongest, 0, 1) if strongest > 0 else np.zeros_like(map_)
    smooth = Image.fromarray((255 * heat).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    share = 0.65 * (np.asarray(smooth, dtype=float) / 255)[..., None]
    grey = pixels.mean(2, keepdims=True) * 0.5 + pixels * 0.5
    return Image.fromarray((grey * (1 - share) + _WARM * share).astype(np.uint8))
