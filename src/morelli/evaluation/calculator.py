"""The same retrieval measures as a plug for pytorch-metric-learning's own testers and trainers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor

from morelli.errors import MorelliError, did_you_mean
from morelli.evaluation.neighbours import Search, knn
from morelli.evaluation.retrieval import METRICS, Labels, Retrieval, retrieve

_CLUSTERING = ("NMI", "AMI")


class PaintingAccuracyCalculator(AccuracyCalculator):  # type: ignore[misc]
    """pytorch-metric-learning's calculator: the same numbers, guarded, and in blocks, so that memory does not grow.

    What differs: k is chosen so that every measure is right; NaN is refused; labels can be names or numbers of any
    size; ``lone_artists`` counts the artists with nothing to find, whom the means leave out; with
    ``return_per_class`` every measure is a dict from artist to value. NMI and AMI need slow k-means and are computed
    only when ``include`` names them.

    Args:
        include, exclude: names of measures.
        avg_of_avgs: average over artists rather than over paintings.
        return_per_class: a value for every artist.
        k: see :func:`~morelli.evaluation.retrieval.retrieve`; ``"max_bin_count"`` is the same as None.
        device: where to search; by default where the embeddings are.
        knn_func: another search with the signature of :func:`~morelli.evaluation.neighbours.knn`.
        kmeans_func: as in the parent class, for NMI and AMI.
    """

    def __init__(
        self,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        avg_of_avgs: bool = False,
        return_per_class: bool = False,
        k: int | str | None = None,
        device: torch.device | str | None = None,
        knn_func: Search = knn,
        kmeans_func: Callable[..., Tensor] | None = None,
    ) -> None:
        known = [*METRICS, "lone_artists", *_CLUSTERING]
        for name in [*include, *exclude]:
            if name not in known:
                hint = did_you_mean(name, known)
                raise MorelliError(f'No retrieval measure is called "{name}".{hint} Known are: {", ".join(known)}.')
        super().__init__(
            include=tuple(include) or (*METRICS, "lone_artists"),
            exclude=tuple(exclude),
            avg_of_avgs=avg_of_avgs,
            return_per_class=return_per_class,
            k=k,
            device=torch.device(device or "cpu"),
            knn_func=knn_func,
            kmeans_func=kmeans_func,
        )
        self._chosen_device = device

    def calculate_lone_artists(self, *, retrieval: Retrieval, **_: Any) -> int:
        """Count the artists with nothing to find."""
        return len(retrieval.lone_artists)

    def get_accuracy(
        self,
        query: Tensor | np.ndarray,
        query_labels: Labels,
        reference: Tensor | np.ndarray | None = None,
        reference_labels: Labels | None = None,
        ref_includes_query: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Measure; arguments as in the parent class, errors as in :func:`~morelli.evaluation.retrieval.retrieve`."""
        self.curr_function_dict = self.get_function_dict(tuple(include), tuple(exclude))
        wanted = self.get_curr_metrics()
        queries = self._placed(query)
        retrieval = retrieve(
            queries,
            query_labels,
            None if reference is None else queries if reference is query else self._placed(reference),
            reference_labels,
            ref_includes_query,
            metrics=[metric for metric in METRICS if metric in wanted] or ["precision_at_1"],
            k=None if self.k == "max_bin_count" else self.k,
            search=self.knn_func,
        )
        values: dict[str, Any] = {}
        for metric in wanted:
            if metric in METRICS:
                values[metric] = self._average(retrieval, metric)
            elif metric == "lone_artists":
                values[metric] = self.calculate_lone_artists(retrieval=retrieval)
            else:
                clusters = self.kmeans_func(queries, len(np.unique(retrieval.codes)))
                values[metric] = self.curr_function_dict[metric](torch.from_numpy(retrieval.codes), clusters)
        return values

    def _placed(self, embeddings: Tensor | np.ndarray) -> Tensor:
        tensor = torch.from_numpy(embeddings) if isinstance(embeddings, np.ndarray) else embeddings
        return tensor.to(self._chosen_device or tensor.device, torch.float32)

    def _average(self, retrieval: Retrieval, metric: str) -> float | dict[Any, float]:
        if not (self.avg_of_avgs or self.return_per_class):
            return retrieval.mean(metric)
        artists = retrieval.per_artist()[["artist", metric]].dropna()
        if self.avg_of_avgs:
            return float(artists[metric].mean())
        return dict(zip(artists["artist"].tolist(), artists[metric].tolist(), strict=True))
