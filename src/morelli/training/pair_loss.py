"""Pair loss: binary cross entropy of a pair head, as a pytorch-metric-learning loss."""

from typing import Any

import torch
from pytorch_metric_learning.losses import CrossBatchMemory, SelfSupervisedLoss
from pytorch_metric_learning.miners import BaseMiner
from pytorch_metric_learning.utils import common_functions, loss_and_miner_utils
from torch import Tensor
from torch.nn import functional

from morelli.errors import InputError
from morelli.models.heads import Scorer
from morelli.training._batch import CheckedLoss

Pairs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Anchors, positives, anchors, negatives: pytorch-metric-learning's ``indices_tuple`` of pairs."""


class PairLoss(CheckedLoss):
    """Binary cross entropy of a pair head's logits: are these two paintings by one hand?

    Called as every pytorch-metric-learning loss, ``(embeddings, labels, indices_tuple, ref_emb, ref_labels)`` → scalar.
    Pairs come from ``indices_tuple`` where one is given, triplets being converted as in PML's own pair losses; else
    they are all pairs of one artist, in both orders, and as many random pairs of two artists. Where one kind outnumbers
    the other, each counts for half of the loss. Its weights are those of the head, which scores pairs afterwards.

    Args:
        distance: the head: a :class:`~morelli.models.heads.PairHead` or a :class:`~morelli.models.heads.ConcatHead`.
        **kwargs: PML's own: ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        InputError: ``distance`` is no pair head, or lies on another device than the embeddings.
    """

    tuples = "pairs"
    """Which consecutive tuples of the seed project's sampling it can learn from."""
    pair_accuracy: Tensor
    """Share of the last batch's pairs that the sign of their logit tells right; a PML statistic."""

    def __init__(self, distance: Scorer, **kwargs: Any) -> None:
        if not isinstance(distance, Scorer) or not any(True for _ in distance.parameters()):
            raise InputError(
                f"PairLoss trains a pair head; {type(distance).__name__} has no weights. Give it one, for example "
                "PairLoss(PairHead(128)) for embeddings of 128 numbers."
            )
        super().__init__(distance=distance, **kwargs)
        self.add_to_recordable_attributes(name="pair_accuracy", is_stat=True)

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: tuple[Tensor, ...] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, Any]:
        common_functions.labels_or_indices_tuple_required(labels, indices_tuple)
        pairs: Pairs = loss_and_miner_utils.convert_to_pairs(indices_tuple, labels, ref_labels)
        if indices_tuple is None:
            pairs = _balanced(*pairs)
        anchors, positives, others, negatives = (part.to(embeddings.device, torch.long) for part in pairs)
        first, second = torch.cat([anchors, others]), torch.cat([positives, negatives])
        if not len(first):
            self.pair_accuracy = embeddings.new_zeros(())
            return self.zero_losses()  # type: ignore[no-any-return]
        logits = self.distance.one_order(embeddings[first], ref_emb[second])
        logits = logits.to(torch.promote_types(logits.dtype, embeddings.dtype))
        same = torch.zeros_like(logits)
        same[: len(anchors)] = 1
        self.pair_accuracy = ((logits.detach() > 0) == same.bool()).float().mean()
        losses = functional.binary_cross_entropy_with_logits(logits, same, reduction="none")
        if len(anchors) and len(others) and len(anchors) != len(others):
            losses = losses * torch.where(same.bool(), 0.5 / len(anchors), 0.5 / len(others)) * len(losses)
        # Positive and negative pairs in one list: every PML reducer treats the two alike.
        return {"loss": {"losses": losses, "indices": (first, second), "reduction_type": "pos_pair"}}


def _balanced(anchors: Tensor, positives: Tensor, others: Tensor, negatives: Tensor) -> Pairs:
    drawn = torch.randperm(len(others), device=others.device)[: len(anchors)]
    return anchors, positives, others[drawn], negatives[drawn]


class EmbeddingsAlreadyPackagedAsPairs(BaseMiner):  # type: ignore[misc]
    """Pairs are consecutive rows of the batch, as ``RandomTupleSampler(kind="pairs")`` lays them.

    The counterpart of PML's ``EmbeddingsAlreadyPackagedAsTriplets``.
    """

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> Pairs:  # noqa: ARG002
        first = torch.arange(0, len(labels) - 1, 2, device=labels.device)
        same = labels[first] == labels[first + 1]
        return first[same], first[same] + 1, first[~same], first[~same] + 1


def _listed(wrapper: type[CrossBatchMemory] | type[SelfSupervisedLoss]) -> None:
    known = wrapper.supported_losses()
    wrapper.supported_losses = staticmethod(lambda: [*known, PairLoss.__name__])


# These two take only losses whose names they list, though any loss that compares with ``ref_emb`` works in them.
_listed(CrossBatchMemory)
_listed(SelfSupervisedLoss)
