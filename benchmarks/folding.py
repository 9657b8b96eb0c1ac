"""How much faster a frozen backbone is with its batch norms folded into its convolutions.

Run it with:  python benchmarks/folding.py [BACKBONE …]     by default the two that recipes use, and resnet18

A backbone that is to be trained keeps its batch norms, so it is the same network unfolded. Both take turns on one
thread, in processor time, on batches of 8; medians of five turns.
"""

import sys
import time

import torch
from torch import Tensor

from _rates import machine, median
from morelli import Backbone, BackboneConfig

PIXELS, BATCH, TURNS = 224, 8, 5


def seconds(backbone: Backbone, images: Tensor) -> float:
    started = time.process_time()
    backbone(images)
    return time.process_time() - started


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    images = torch.rand(BATCH, 3, PIXELS, PIXELS)
    print(machine())
    for name in sys.argv[1:] or ["tf_efficientnet_lite0", "tf_efficientnet_lite1", "resnet18"]:
        ways = [
            Backbone(BackboneConfig(name=name, weights="none", image_size=PIXELS, train=train)).eval()
            for train in ("all", "frozen")
        ]
        turns = [[seconds(way, images) for way in ways] for _ in range(1 + TURNS)][1:]
        plain, folded = (BATCH / median(way) for way in zip(*turns, strict=True))
        print(f"{name}: {plain:.1f} pictures a second of one core, {folded:.1f} folded: {folded / plain:.2f} times")


if __name__ == "__main__":
    main()
