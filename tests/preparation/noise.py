"""Pictures of noise that tests prepare: no other seed gives the same one."""

from pathlib import Path

import numpy as np
from PIL import Image


def paint(path: Path, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
    """Write a picture of so many pixels, width and height, and make the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
