"""One-hot loss: a classifier of the training artists with binary cross entropy, as a PML loss."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning.losses.mixins import WeightRegularizerMixin
from pytorch_metric_learning.utils import common_functions, loss_and_miner_utils
from torch import Tensor, nn
from torch.nn import functional

from morelli.errors import InputError
from morelli.training._batch import CheckedLoss


class OneHotLoss(WeightRegularizerMixin, CheckedLoss):  # type: ignore[misc]
    """Binary cross entropy of one-hot artist labels, summed over artists: each artist is a yes or no of its own.

    Called as every pytorch-metric-learning loss. As in its own classification losses, a miner's ``indices_tuple``
    weighs the paintings by how often it holds them, and there is no ``ref_emb``.

    Args:
        num_classes: training artists; labels are 0 to ``num_classes`` − 1.
        embedding_size: numbers in an embedding.
        weight_init_func: changes the classifier's weights in place; by default they are as ``torch.nn.Linear`` draws.
        **kwargs: PML's own: ``reducer``, ``weight_regularizer``, ``embedding_regularizer``, their weights,
            ``collect_stats``.

    Raises:
        InputError: a label is no number from 0 to ``num_classes`` − 1.
    """

    tuples = "any"
    """It reads single paintings, however they are laid."""
    takes_untrained = False
    classifier_accuracy: Tensor
    """Share of the last batch's paintings whose own artist has the highest logit; a PML statistic."""

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        weight_init_func: Callable[[Tensor], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight_init_func=weight_init_func, **kwargs)
        self.classifier = nn.Linear(embedding_size, num_classes)
        if weight_init_func is not None:
            weight_init_func(self.classifier.weight)
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.add_to_recordable_attributes(list_of_names=["num_classes", "embedding_size"], is_stat=False)
        self.num_classes, self.embedding_size = num_classes, embedding_size
        self.add_to_recordable_attributes(name="classifier_accuracy", is_stat=True)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, D) → one logit for each training artist, (B, artists)."""
        logits: Tensor = self.classifier(embeddings.to(self.classifier.weight.dtype) * self.log_scale.exp())
        return logits

    @torch.inference_mode()
    def measure(self, embeddings: Tensor, labels: Tensor) -> dict[str, float]:
        """Share of rows (N, D) whose own artist, of labels (N,), has the highest logit, as ``classifier_accuracy``."""
        parts = [self.get_logits(rows).argmax(1) for rows in torch.split(embeddings, 4096)]
        return {"classifier_accuracy": float((torch.cat(parts) == labels).float().mean())}

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: tuple[Tensor, ...] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, Any]:
        common_functions.labels_required(labels)
        common_functions.ref_not_supported(embeddings, labels, ref_emb, ref_labels)
        assert labels is not None
        if labels.is_floating_point() or (len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes):
            raise InputError(f"OneHotLoss needs whole labels from 0 to {self.num_classes - 1}, one for each artist.")
        logits = self.get_logits(embeddings)
        logits = logits.to(torch.promote_types(logits.dtype, embeddings.dtype))
        one_hot = functional.one_hot(labels.long(), self.num_classes).to(logits.dtype)
        losses = functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").sum(1)
        self.classifier_accuracy = (logits.detach().argmax(1) == labels).float().mean()
        weights = loss_and_miner_utils.convert_to_weights(indices_tuple, labels, dtype=losses.dtype)
        indices = common_functions.torch_arange_from_size(embeddings)
        found = {"loss": {"losses": losses * weights, "indices": indices, "reduction_type": "element"}}
        self.add_weight_regularization_to_loss_dict(found, self.classifier.weight)
        return found
