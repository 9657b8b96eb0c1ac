"""An objective with its own head, which is also the scorer: binary cross entropy of a symmetric bilinear form."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from morelli.models.heads import Scorer, registered
from morelli.training.objectives import Objective


@registered
class BilinearHead(Scorer):
    """The logit of "same hand" is aᵀ(W + Wᵀ)b + bias: symmetric, as a scorer must be.

    Args:
        width: numbers in an embedding; a recipe need not give it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(width))
        self.bias = nn.Parameter(torch.zeros(()))

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """(…, D), (…, D) → (…)."""
        form = self.weight + self.weight.T
        logits: Tensor = ((query_emb @ form) * ref_emb).sum(-1) + self.bias
        return logits


class BilinearObjective(Objective):
    """``kind: examples.plugin.bilinear:BilinearObjective``: the loss of pairs, on this head."""

    parts: ClassVar = {"loss": {"name": "PairLoss", "distance": "examples.plugin.bilinear:BilinearHead"}}
    place = 25  # in tables, after bce-pair
