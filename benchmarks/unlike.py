"""How many real paintings, and how many made pictures of other kinds, are said to be unlike the validation paintings?

python benchmarks/unlike.py --data prepared/painters
"""

import numpy as np
from accelerate import Accelerator
from PIL import Image, ImageDraw

from _unseen import from_command_line
from morelli.gallery.reader import Reader
from morelli.models.network import aligned_features

SIDE = 300


def made() -> dict[str, list[Image.Image]]:
    """Pictures of other kinds, drawn with a fixed seed; photographs are scikit-learn's two."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    kinds: dict[str, list[Image.Image]] = {
        "blank": [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("white", "black", "grey", "beige", "navy")],
        "noise": [Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)) for _ in range(20)],
        "photograph": [Image.fromarray(image) for image in load_sample_images().images],
        "line drawing": [],
        "page of print": [],
    }
    for _ in range(20):
        drawing, page = (Image.new("RGB", (SIDE, SIDE), "white") for _ in range(2))
        for ends in random.integers(0, SIDE, (60, 4)).tolist():
            ImageDraw.Draw(drawing).line(ends, fill="black")
        for line in range(12, SIDE, 13):
            ImageDraw.Draw(page).text((10, line), "".join(random.choice(list("abcdefg hij "), 42)), fill="black")
        kinds["line drawing"].append(drawing)
        kinds["page of print"].append(page)
    return kinds


def main() -> None:
    """Run the command line."""
    network, dataset, _ = from_command_line(__doc__)
    shares = network.head.unexplained(aligned_features(network, dataset, Accelerator().device))
    unlike = (shares > network.card.unexplained).numpy()
    print("| pictures | said to be unlike |\n|:-|-:|")
    for source, rows in dataset.paintings.reset_index(drop=True).groupby("source", dropna=False).groups.items():
        print(f"| {len(rows):,} paintings by unseen artists, {source} | {100 * unlike[rows].mean():.1f} % |")
    reader = Reader(network)
    for kind, pictures in made().items():
        told = [reader.embed_and_judge([one])[1][0] for one in pictures]
        print(f"| {kind}, {len(pictures)} made | {100 * np.mean(told):.0f} % |")


if __name__ == "__main__":
    main()
