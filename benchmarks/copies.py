"""How many copies of real paintings are found, by what was done to them, and which paintings pass for copies.

Run it with:  python benchmarks/copies.py prepared/painters-mini [--copied 300] [--sheet pairs.png]
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from rich.console import Console
from rich.table import Table

from morelli import read_paintings
from morelli.data.copies import with_copies

Change = Callable[[Image.Image], Image.Image]
_THUMBNAIL = 150


def resaved(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a JPEG of this quality."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded)


def smaller(image: Image.Image, times: int) -> Image.Image:
    """The picture with sides so many times shorter."""
    return image.resize((image.width // times, image.height // times), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """The picture without this share at each side."""
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def tinted(image: Image.Image) -> Image.Image:
    """The picture with a little more red and less blue."""
    red, green, blue = image.split()
    return Image.merge("RGB", [red.point(lambda v: min(255, int(v * 1.05))), green, blue.point(lambda v: int(v * 0.9))])


CHANGES: dict[str, Change] = {
    "JPEG, quality 30": lambda image: resaved(image, 30),
    "half the size, quality 85": lambda image: resaved(smaller(image, 2), 85),
    "a quarter of the size, quality 75": lambda image: resaved(smaller(image, 4), 75),
    "mirrored": ImageOps.mirror,
    "mirrored, half the size": lambda image: resaved(smaller(ImageOps.mirror(image), 2), 85),
    "1 % cropped at each side": lambda image: cropped(image, 0.01),
    "2 % cropped at each side": lambda image: cropped(image, 0.02),
    "10 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "contrast 1.2": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "warmer": tinted,
    "without colour": lambda image: image.convert("L"),
}


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--copied", type=int, default=300)
    parser.add_argument("--sheet", type=Path, help="a picture to draw the pairs into that pass for copies")
    arguments = parser.parse_args()
    paintings = read_paintings(arguments.data)
    started = time.perf_counter()
    found = with_copies(arguments.data, paintings.drop(columns=["hash", "copy_of"]))
    seconds = time.perf_counter() - started
    groups = found[found["copy_of"].notna()].groupby("copy_of")["file"].agg(list).tolist()
    console = Console(width=110)
    console.print(f"{len(paintings):,} paintings in {seconds:.0f} s: {len(groups)} groups pass for copies.")
    if arguments.sheet and groups:
        draw([[arguments.data / file for file in files] for files in groups], arguments.sheet)
    table = Table("copies", "found", title=f"of {arguments.copied} paintings, each compared with all others and copies")
    for change, share in recall(arguments.data, paintings.sample(arguments.copied, random_state=0)).items():
        table.add_row(change, f"{share:.1%}")
    console.print(table)


def recall(root: Path, paintings: pd.DataFrame) -> dict[str, float]:
    """By change: the share of paintings whose changed copy is found among all of them."""
    shares = {}
    for name, change in CHANGES.items():
        with tempfile.TemporaryDirectory() as temporary:
            rows = []
            for place, file in enumerate(paintings["file"]):
                with Image.open(root / file) as opened:
                    picture = opened.convert("RGB")
                for kind, one in (("original", picture), ("copy", change(picture))):
                    rows.append({"id": f"{place}-{kind}", "file": f"{place}-{kind}.png", "sha256": f"{place}-{kind}"})
                    rows[-1] |= {"width": one.width, "height": one.height}
                    one.save(Path(temporary, rows[-1]["file"]))
            table = with_copies(Path(temporary), pd.DataFrame(rows))
        groups = table["copy_of"].fillna(table["id"]).to_numpy().reshape(-1, 2)
        shares[name] = float((groups[:, 0] == groups[:, 1]).mean())
    return shares


def draw(groups: list[list[Path]], out: Path) -> None:
    """Draw each group of pictures side by side, four groups a row."""
    sheet = Image.new("RGB", (4 * (2 * _THUMBNAIL + 20), -(-len(groups) // 4) * (_THUMBNAIL + 20)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, files in enumerate(groups):
        x, y = place % 4 * (2 * _THUMBNAIL + 20), place // 4 * (_THUMBNAIL + 20)
        pen.text((x, y), ", ".join(file.stem[:18] for file in files[:2]), fill="black")
        for beside, file in enumerate(files[:2]):
            with Image.open(file) as picture:
                picture.thumbnail((_THUMBNAIL - 4, _THUMBNAIL - 4))
                sheet.paste(picture.convert("RGB"), (x + beside * _THUMBNAIL, y + 14))
    sheet.save(out)


if __name__ == "__main__":
    main()
