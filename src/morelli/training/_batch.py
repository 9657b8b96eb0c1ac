"""Input validation for losses: embeddings, labels and mined tuples of one batch."""

from typing import Any

from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor

from morelli.errors import InputError


class CheckedLoss(BaseMetricLossFunction):  # type: ignore[misc]
    """A pytorch-metric-learning loss that says in one sentence what of a batch does not fit."""

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: tuple[Tensor, ...] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """Embeddings (B, D), labels (B,), a miner's tuple, and what to compare with, (R, D) and (R,) → the loss."""
        name = type(self).__name__
        _check(name, embeddings, labels, "embeddings", "labels")
        if ref_emb is not None:
            _check(name, ref_emb, ref_labels, "ref_emb", "ref_labels")
        if indices_tuple is not None and (
            len(indices_tuple) not in (3, 4) or not all(isinstance(part, Tensor) for part in indices_tuple)
        ):
            raise InputError(f"{name} takes a miner's tuple of 3 tensors (triplets) or 4 (pairs) as indices_tuple.")
        loss: Tensor = super().forward(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        return loss


def _check(name: str, rows: Any, labels: Any, what: str, what_labels: str) -> None:
    if not isinstance(rows, Tensor) or rows.ndim != 2 or not rows.is_floating_point():
        shown = _shown(rows)
        raise InputError(f"{name} takes {what} as a tensor of floating-point numbers, (B, D); {shown} was given.")
    if labels is None:
        return
    if not isinstance(labels, Tensor) or labels.ndim != 1:
        raise InputError(f"{name} takes {what_labels} as a tensor, (B,); {_shown(labels)} was given.")
    if len(labels) != len(rows):
        raise InputError(f"{name} takes one label for each row: {len(rows)} {what}, but {len(labels)} {what_labels}.")


def _shown(value: Any) -> str:
    is_tensor = isinstance(value, Tensor)
    return f"a {value.dtype} tensor of shape {tuple(value.shape)}" if is_tensor else type(value).__name__
