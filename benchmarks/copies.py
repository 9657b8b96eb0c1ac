"""How far copies of a painting and different paintings are apart, in bits of their looks.

Run it with:  python benchmarks/copies.py prepared/painters-mini [--paintings 2500] [--copied 400]
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from morelli import read_paintings
from morelli.data.hashes import CLOSE, look_of

Change = Callable[[Image.Image], Image.Image]


def resaved(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a JPEG of this quality."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded)


def smaller(image: Image.Image, times: int) -> Image.Image:
    """The picture with sides so many times shorter."""
    return image.resize((image.width // times, image.height // times), Image.Resampling.BICUBIC)


def cropped(image: Image.Image) -> Image.Image:
    """The picture without 2 % at each side."""
    x, y = image.width // 50, image.height // 50
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Change] = {
    "JPEG, quality 50": lambda image: resaved(image, 50),
    "half the size, quality 85": lambda image: resaved(smaller(image, 2), 85),
    "a third of the size, quality 30": lambda image: resaved(smaller(image, 3), 30),
    "15 % brighter": lambda image: image.point(lambda value: min(255, int(value * 1.15))),
    "2 % cropped at each side": cropped,
}


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--paintings", type=int, default=2500)
    parser.add_argument("--copied", type=int, default=400)
    arguments = parser.parse_args()
    files = read_paintings(arguments.data)["file"].sample(arguments.paintings, random_state=0)
    bits, apart = [], {name: [] for name in CHANGES}
    for place, file in enumerate(files):
        with Image.open(arguments.data / file) as image:
            picture = image.convert("RGB")
        bits.append(bits_of(picture))
        for name, change in CHANGES.items() if place < arguments.copied else ():
            apart[name].append(int((bits_of(change(picture)) != bits[-1]).sum()))
    signs = np.stack(bits).astype(np.float32) * 2 - 1
    distances = ((signs.shape[1] - signs @ signs.T) / 2)[np.triu_indices(len(signs), 1)]
    table = Table(title=f"bits apart, of 256; up to {CLOSE} count as copies")
    for column in ("", "pairs", "median", "99 %", "largest", "counted as copies"):
        table.add_column(column, justify="left" if not column else "right")
    for name, found in apart.items():
        near = np.mean(np.array(found) <= CLOSE)
        shown = [f"{value:.0f}" for value in (*np.percentile(found, [50, 99]), max(found))]
        table.add_row(name, f"{len(found):,}", *shown, f"{near:.1%}")
    console = Console(width=110)
    console.print(table)
    nearest = ", ".join(f"{value:.0f}" for value in np.sort(distances)[:5])
    console.print(f"{len(distances):,} pairs of different paintings: the nearest are {nearest} bits apart.")


def bits_of(image: Image.Image) -> np.ndarray:
    """The 256 bits of a look."""
    return np.unpackbits(np.frombuffer(look_of(image), np.uint8))


if __name__ == "__main__":
    main()
