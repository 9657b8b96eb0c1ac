"""Heads: from backbone features to embeddings, and from two embeddings to a score."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from morelli._config import Section

_PAIRS_AT_ONCE = 1 << 16


class HeadConfig(Section):
    """The trained layers between features and embedding."""

    hidden: tuple[int, ...] = (1024,)
    width: int = Field(default=128, ge=1)
    """Numbers in an embedding."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Before every layer."""
    normalise: bool = True
    """Scale embeddings to length 1."""


class EmbeddingHead(nn.Module):
    """Features (B, F) → embeddings (B, D): standardised, then a small MLP; with ``config=None`` only standardised.

    ``standardise`` must be called once with training features.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, features: int, config: HeadConfig | None) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.normalise = config is None or config.normalise
        self.width = features if config is None else config.width
        self.layers = nn.Sequential() if config is None else _mlp(features, config)

    def standardise(self, features: Tensor) -> None:
        """Take centre and spread of each feature from training features (N, F)."""
        self.centre.copy_(features.mean(0))
        self.spread.copy_(features.std(0).clamp_min(1e-6))

    def forward(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.layers((features - self.centre) / self.spread)
        return functional.normalize(embeddings, dim=1) if self.normalise else embeddings


def _mlp(features: int, config: HeadConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = [features, *config.hidden]
    for before, after in pairwise(widths):
        layers += [nn.Dropout(config.dropout), nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(config.dropout), nn.Linear(widths[-1], config.width))


class Scorer(nn.Module):
    """How alike two hands are: higher means more likely the same. Symmetric: ``score(a, b) == score(b, a)``."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Score row by row: (N, D), (N, D) → (N,)."""
        raise NotImplementedError

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Score all against all: (N, D), (M, D) → (N, M)."""
        rows = max(1, _PAIRS_AT_ONCE // max(1, len(b)))
        blocks = [self._block(a[start : start + rows], b) for start in range(0, len(a), rows)]
        return torch.cat(blocks) if blocks else a.new_empty(0, len(b))

    def _block(self, a: Tensor, b: Tensor) -> Tensor:
        scores: Tensor = self(a.repeat_interleave(len(b), 0), b.repeat(len(a), 1))
        return scores.view(len(a), len(b))


class CosineScorer(Scorer):
    """The cosine of the angle between two embeddings."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.cosine_similarity(a, b)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T


class DistanceScorer(Scorer):
    """Minus the Euclidean distance of two embeddings."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        distances: Tensor = torch.linalg.vector_norm(a - b, dim=1)
        return -distances

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        return -torch.cdist(a, b)


class PairHead(Scorer):
    """A small network on (|a−b|, a·b), the product taken element by element, giving the logit of "same hand".

    Symmetric by construction. The first layer is linear in both parts, so a block of scores needs no stored pairs.
    """

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.difference = nn.Linear(width, hidden)
        self.product = nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(hidden, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        hidden = functional.relu(self.difference((a - b).abs()) + self.product(a * b))
        logits: Tensor = self.out(hidden)
        return logits.squeeze(-1)


class ConcatHead(Scorer):
    """The seed project's head: an MLP on the two embeddings end to end, giving the logit of "same hand".

    By itself it depends on the order of the two; the score is the mean of both orders.
    """

    def __init__(self, width: int, hidden: Sequence[int] = (512, 256, 128, 64, 32), dropout: float = 0.5) -> None:
        super().__init__()
        self.left = nn.Linear(width, hidden[0])
        self.right = nn.Linear(width, hidden[0], bias=False)
        layers: list[nn.Module] = [nn.ReLU(), nn.Dropout(dropout)]
        for before, after in pairwise(hidden):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def one_order(self, a: Tensor, b: Tensor) -> Tensor:
        """Score row by row with ``a`` first: (N, D), (N, D) → (N,)."""
        logits: Tensor = self.rest(self.left(a) + self.right(b))
        return logits.squeeze(-1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (self.one_order(a, b) + self.one_order(b, a)) / 2

    def _block(self, a: Tensor, b: Tensor) -> Tensor:
        def hidden(first: Tensor, second: Tensor) -> Tensor:
            logits: Tensor = self.rest(first + second)
            return logits.squeeze(-1)

        forth = hidden(self.left(a)[:, None], self.right(b)[None])
        back = hidden(self.left(b)[None], self.right(a)[:, None])
        return (forth + back) / 2
