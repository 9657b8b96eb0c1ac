"""Heads: from backbone features to embeddings, and scorers, from two embeddings to how alike they are."""

import math
from collections.abc import Mapping
from inspect import signature
from itertools import pairwise
from typing import Any, Final, Self, TypeVar

import torch
from pytorch_metric_learning.distances import BaseDistance
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional

from morelli.errors import InputError
from morelli.models.config import HeadConfig as HeadConfig

_PAIRS_AT_ONCE = 1 << 12  # four times as many no longer fit a cache and were 1.4 times as slow
_ROWS_AT_ONCE, _COLUMNS_AT_ONCE = 8, 2048
_WEIGHT_OF_CODES: Final = 0.5
"""Of all residual codes together, against all other features: chosen on validation artists (docs/results.md)."""


class EmbeddingHead(nn.Module):
    """Features (B, F) → embeddings (B, D): standardised, then a small MLP; with ``config=None`` only standardised.

    Features of several views of each picture, (B, V, F), give the mean of their embeddings, (B, D). In evaluation mode
    untrained features are set behind, if the config asks for them. ``standardise`` must be called once with training
    features.
    """

    centre: Tensor
    spread: Tensor
    middle: Tensor
    axes: Tensor

    def __init__(self, features: int, config: HeadConfig | None) -> None:
        super().__init__()
        config = config or HeadConfig(hidden=(), width=None)
        self.standardises, self.normalise = config.standardise, config.normalise
        self.untrained_weight = config.untrained_weight
        untrained = min(config.untrained_width, features) if config.untrained_weight else 0
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.register_buffer("middle", torch.zeros(features if untrained else 0))
        self.register_buffer("axes", torch.zeros(features if untrained else 0, untrained))
        self.trained_width = config.width or features
        self.width = self.trained_width + untrained
        self.layers = _mlp(features, config) if config.width else nn.Sequential()

    def standardise(self, features: Tensor, coded: Tensor | None = None) -> None:
        """Learn from training features, (N, F) or (N, V, F), all that is not trained: centres, spreads and axes.

        ``coded``, (F,), marks residual codes (:func:`morelli.models.backbones.coded`): principal axes, which keep their
        variances among each other and together weigh half as much as all other features.
        """
        if self.standardises:
            rows = features.flatten(0, -2)
            self.centre.copy_(rows.mean(0))
            self.spread.copy_(_spread(rows))
            if coded is not None and coded.any():
                others = int((~coded).sum())
                self.spread[coded] = (rows[:, coded].var(0).sum() / (_WEIGHT_OF_CODES * others)).sqrt()
        if self.untrained_weight:
            self._find_axes(self._over_views((features - self.centre) / self.spread))

    def _find_axes(self, rows: Tensor) -> None:
        analysis = PCA(min(self.axes.shape[1], len(rows)), random_state=0).fit(rows.numpy())
        deviation = torch.from_numpy(analysis.singular_values_).clamp_min(1e-6)
        # N rows spread along N − 1 axes at most: one more is noise, which dividing by its deviation would blow up.
        spread = deviation > 1e-5 * deviation[0]
        self.middle.copy_(torch.from_numpy(analysis.mean_))
        self.axes[:, : len(deviation)] = torch.from_numpy(analysis.components_).T / deviation.sqrt() * spread

    def forward(self, features: Tensor) -> Tensor:
        standard = (features - self.centre) / self.spread
        embeddings: Tensor = self._over_views(self.layers(standard))
        if self.untrained_weight and not self.training:
            untrained = functional.normalize((self._over_views(standard) - self.middle) @ self.axes, dim=1)
            both = torch.cat([embeddings, self.untrained_weight * untrained], dim=1)
            embeddings = functional.normalize(both, dim=1)
        return embeddings

    def unexplained(self, features: Tensor) -> Tensor | None:
        """(B,) what share of a picture's standardised features the axes of the training paintings do not explain.

        None where no axes were learned. High for pictures of another kind than paintings (the residual of PCA, Q, of
        multivariate process control: Jackson and Mudholkar 1979).
        """
        if not self.untrained_weight:
            return None
        rows = self._over_views((features - self.centre) / self.spread) - self.middle
        axes = functional.normalize(self.axes, dim=0)
        left: Tensor = 1 - (rows @ axes).square().sum(1) / rows.square().sum(1).clamp_min(1e-12)
        return left

    def _over_views(self, rows: Tensor) -> Tensor:
        """Rows (B, D), or the mean of (B, V, D) over the views; each of length 1 if embeddings are to be."""
        rows = functional.normalize(rows, dim=-1) if self.normalise else rows
        if rows.ndim == 2:
            return rows
        return functional.normalize(rows.mean(1), dim=1) if self.normalise else rows.mean(1)


def _mlp(features: int, config: HeadConfig) -> nn.Sequential:
    widths = [features, *config.hidden, config.width or features]
    shares = config.dropout if isinstance(config.dropout, tuple) else (config.dropout,) * (len(widths) - 1)
    layers: list[nn.Module] = []
    for (before, after), share in zip(pairwise(widths), shares, strict=True):
        linear = nn.Linear(before, after)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.constant_(linear.bias, 0.01)
        layers += [nn.Dropout(share), linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _spread(rows: Tensor) -> Tensor:
    """(N, F) → (F,) standard deviations, none below 1/√N of what is usual among the features.

    Among a dozen paintings some features hardly vary by chance; divided by that they would drown all others.
    """
    spread = rows.std(0)
    return spread.clamp_min(max(float(spread.median()) / math.sqrt(len(rows)), 1e-6))


class Scorer(BaseDistance):  # type: ignore[misc]
    """How alike two hands are: higher means more likely the same. Symmetric: the score of a, b is that of b, a.

    A pytorch-metric-learning distance, inverted as its similarities are: every loss, miner and nearest-neighbour search
    that takes a ``distance`` takes a scorer. Called, it scores all against all with gradients, (N, D), (M, D) → (N, M);
    ``pairwise_distance`` scores row by row.
    """

    def __init__(self) -> None:
        super().__init__(normalize_embeddings=False, is_inverted=True)

    @classmethod
    def from_weights(cls, width: int, weights: Mapping[str, Tensor]) -> Self:  # noqa: ARG003
        """Make one that the weights of a model folder fit, for embeddings of ``width`` numbers."""
        options: dict[str, Any] = {"width": width} if "width" in signature(cls).parameters else {}
        return cls(**options)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Score row by row: (…, D), (…, D) → (…); the dimensions before the last are broadcast."""
        raise NotImplementedError

    def one_order(self, a: Tensor, b: Tensor) -> Tensor:
        """As ``pairwise_distance``, in training; a head that depends on the order scores with ``a`` first."""
        return self.pairwise_distance(a, b)

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.matrix(query_emb, ref_emb)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Score all against all: (N, D), (M, D) → (N, M)."""
        blocks = torch.split(a, max(1, _PAIRS_AT_ONCE // max(1, len(b))))
        scores = [self.pairwise_distance(rows[:, None], b[None]) for rows in blocks if len(rows)]
        return torch.cat(scores) if scores else a.new_empty(0, len(b))


SCORERS: Final[dict[str, type[Scorer]]] = {}
"""By the name that model folders give them: the only scorers that a folder is made with, unless one is given."""
_Class = TypeVar("_Class", bound=type[Scorer])


def scorer_name(cls: type[Scorer]) -> str:
    """How a model folder names a scorer's class."""
    return cls.__name__ if cls.__module__ == __name__ else f"{cls.__module__}:{cls.__qualname__}"


def registered(cls: _Class) -> _Class:
    """Register a scorer's class, as a decorator: model folders that name it are loaded wherever it was imported."""
    SCORERS[scorer_name(cls)] = cls
    return cls


@registered
class CosineScorer(Scorer):
    """The cosine of the angle between two embeddings."""

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return functional.cosine_similarity(query_emb, ref_emb, dim=-1)

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T


@registered
class DistanceScorer(Scorer):
    """Minus the Euclidean distance of two embeddings."""

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        distances: Tensor = torch.linalg.vector_norm(query_emb - ref_emb, dim=-1)
        return -distances

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        # torch's faster way by products gives a painting a distance of 0.1 to itself where embeddings are long.
        return -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


@registered
class PairHead(Scorer):
    """A small network on (|a−b|, a·b), the product taken element by element, giving the logit of "same hand".

    Symmetric by construction. Train it with :class:`~morelli.training.pair_loss.PairLoss`, or as ``distance`` of any
    pytorch-metric-learning loss. The first layer is linear in both parts, so a block of scores needs no stored pairs.

    Args:
        width: numbers in an embedding.
        hidden: units of its one hidden layer.
    """

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.difference = nn.Linear(width, hidden)
        self.product = nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(hidden, 1)

    @classmethod
    def from_weights(cls, width: int, weights: Mapping[str, Tensor]) -> Self:
        return cls(width, hidden=weights["out.weight"].shape[1]) if "out.weight" in weights else cls(width)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        a, b = _as_weights(self.product, query_emb, ref_emb)
        hidden = functional.relu(self.difference((a - b).abs()) + self.product(a * b))
        logits: Tensor = self.out(hidden)
        return logits.squeeze(-1)

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return super().matrix(query_emb, ref_emb) if torch.is_grad_enabled() else self.matrix(query_emb, ref_emb)

    @torch.no_grad()
    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        """Score all against all: (N, D), (M, D) → (N, M); without gradients.

        W·(a∘b) is (W∘a)·b, one matrix product for all hidden units of some rows at once; |a−b| needs every pair, and
        is written over and over into one buffer that stays in a core's cache.
        """
        a, b = _as_weights(self.product, a, b)
        scores = a.new_empty(len(a), len(b))
        for start in range(0, len(b), _COLUMNS_AT_ONCE):
            columns = b[start : start + _COLUMNS_AT_ONCE]
            difference = torch.empty_like(columns)
            for first in range(0, len(a), _ROWS_AT_ONCE):
                rows = a[first : first + _ROWS_AT_ONCE]
                weights = (rows[:, None] * self.product.weight).flatten(0, 1)
                products = (columns @ weights.T).view(len(columns), len(rows), -1)
                for row in range(len(rows)):
                    torch.sub(columns, rows[row], out=difference).abs_()
                    hidden = torch.addmm(products[:, row], difference, self.difference.weight.T)
                    hidden = hidden.add_(self.difference.bias).relu_()
                    scores[first + row, start : start + len(columns)] = self.out(hidden).squeeze(-1)
        return scores


@registered
class ConcatHead(Scorer):
    """The seed project's head: an MLP on the two embeddings end to end, giving the logit of "same hand".

    By itself it depends on the order of the two; the score is the mean of both orders. The hidden layers halve from
    ``width`` to 32, which for the seed's 512 features are its own 512, 256, 128, 64, 32.

    Args:
        width: numbers in an embedding.
        dropout: share of the first hidden layer's units that training leaves out.
    """

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        super().__init__()
        hidden = [max(32, width)]
        while hidden[-1] // 2 >= 32:
            hidden.append(hidden[-1] // 2)
        self.left = nn.Linear(width, hidden[0])
        self.right = nn.Linear(width, hidden[0], bias=False)
        layers: list[nn.Module] = [nn.ReLU(inplace=True), nn.Dropout(dropout)]
        for before, after in pairwise(hidden):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        self.rest = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def one_order(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = _as_weights(self.right, a, b)
        logits: Tensor = self.rest(self.left(a) + self.right(b))
        return logits.squeeze(-1)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return (self.one_order(query_emb, ref_emb) + self.one_order(ref_emb, query_emb)) / 2


def _as_weights(layer: nn.Linear, *embeddings: Tensor) -> tuple[Tensor, ...]:
    """Embeddings in the precision of a head's weights, if they are on its device and of its width."""
    weight = layer.weight
    for rows in embeddings:
        if rows.device != weight.device:
            raise InputError(
                f"The pair head is on {weight.device}, the embeddings are on {rows.device}. Move it there with .to()."
            )
        if rows.shape[-1] != weight.shape[1]:
            raise InputError(f"The pair head takes embeddings of {weight.shape[1]} numbers, not of {rows.shape[-1]}.")
    return tuple(rows.to(weight.dtype) for rows in embeddings)
