"""The seed project's training as the seed ran it: what ``seed_epoch.py`` measures against.

For every training image two or three pictures are decoded in the main process and passed through a frozen ResNet-18,
each time they are drawn.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

BATCH = 32


class Tuples(Dataset[Any]):
    """The seed's dataset: an item is the pictures of one tuple, decoded now, and their artists."""

    def __init__(self, pictures: Any, rows: list[int], size: int) -> None:
        self.pictures, self.rows, self.size = pictures, rows, size

    def __len__(self) -> int:
        return len(self.rows) // self.size

    def __getitem__(self, index: int) -> Any:
        items = [self.pictures[row] for row in self.rows[index * self.size : (index + 1) * self.size]]
        return [image for image, _ in items], [label for _, label in items]


class Reference:
    """The seed's training of one of its two networks: backbone and head in one pass, for every picture of a tuple."""

    def __init__(self, kind: str, folder: Path, *, weights: Sequence[Tensor] = ()) -> None:
        """With ``weights`` for the head it starts from those, and without dropout."""
        self.kind = kind
        self.backbone = timm.create_model("resnet18", num_classes=0).eval().requires_grad_(False)
        timm.models.load_checkpoint(self.backbone, str(folder / "resnet18.safetensors"), strict=True)
        shares = (0.0, 0.0) if weights else (0.5, 0.3)
        self.head = _triplet_net(*shares) if kind == "triplets" else _pair_net(shares[0])
        with torch.no_grad():
            for own, given in zip(self.head.parameters(), weights, strict=bool(weights)):
                own.copy_(given)
        self.optimiser = torch.optim.Adam(self.head.parameters(), lr=1e-3 if kind == "triplets" else 1e-4)

    def train(self, pictures: Any, rows: list[int]) -> Iterator[float]:
        """One epoch; yields the loss of every batch."""
        self.head.train()
        tuples = Tuples(pictures, rows, 3 if self.kind == "triplets" else 2)
        for images, labels in DataLoader(tuples, BATCH):
            with torch.no_grad():
                features = [self.backbone(batch) for batch in images]
            loss = self._loss(features, labels)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            yield loss.item()

    def _loss(self, features: list[Tensor], labels: list[Tensor]) -> Tensor:
        if self.kind == "triplets":
            anchor, positive, negative = (self.head(each) for each in features)
            return functional.triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2)
        same = (labels[0] == labels[1]).float()
        return functional.binary_cross_entropy(torch.sigmoid(self.head(torch.cat(features, 1))).squeeze(1), same)


def _triplet_net(first: float, second: float) -> nn.Sequential:
    layers = [nn.Dropout(first), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(second), nn.Linear(512, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, 128))


def _pair_net(dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(dropout)]
    for before, after in ((512, 256), (256, 128), (128, 64), (64, 32)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, 1))
