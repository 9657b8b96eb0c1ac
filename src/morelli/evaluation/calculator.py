"""pytorch-metric-learning's ``AccuracyCalculator``, guarded and in blocks."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from pytorch_metric_learning.utils import common_functions
from pytorch_metric_learning.utils.accuracy_calculator import EQUALITY, AccuracyCalculator
from torch import Tensor

from morelli.errors import InputError, UnmeasurableError, did_you_mean
from morelli.evaluation._custom_metrics import PmlArguments, measure_custom
from morelli.evaluation._relevance import (
    LabelComparison,
    Labels,
    Relevance,
    label_array,
    matching_label,
    numbers,
    same_label,
)
from morelli.evaluation.neighbours import Search, knn
from morelli.evaluation.retrieval import (
    METRICS,
    Retrieval,
    enough_neighbours,
    refuse_unfit,
    refuse_unmeasurable,
    search_and_measure,
)
from morelli.evaluation.validate import refuse_unusable

Embeddings = Tensor | np.ndarray | Sequence[Any]

_ON_REQUEST: Final = frozenset({"NMI", "AMI"})
_LONE: Final = "lone_artists"
_SEARCHED: Final = ("reference", "ref_includes_query")


class PerArtist(list[float]):
    """A value for each artist that has something to find, as PML lists them; ``artists`` says whose they are."""

    def __init__(self, values: Sequence[float], artists: Sequence[Any]) -> None:
        super().__init__(values)
        self.artists = list(artists)


class PaintingAccuracyCalculator(AccuracyCalculator):  # type: ignore[misc]
    """PML's ``AccuracyCalculator``: the same arguments and the same numbers, but guarded, and in blocks.

    What differs, and why, is listed in docs/plugin.md: memory does not grow with the number of paintings, labels can be
    names or numbers of any size, what cannot be measured is refused, ``lone_artists`` counts the artists with nothing
    to find (whom the means leave out), and NMI and AMI, which need slow k-means, are computed only when named.

    Args:
        include, exclude: names of metrics, those of ``calculate_`` methods that a subclass adds among them.
        avg_of_avgs: average over artists rather than over paintings.
        return_per_class: a list of values, one for each artist: :class:`PerArtist`.
        k: neighbours to look at: a number, ``"max_bin_count"`` (as many as any query has to find), or None: all.
        label_comparison_fn: says which labels match, in place of equality; gets them as float tensors, as in PML.
        device: where to search; by default where the embeddings are.
        knn_func: another search with the signature of :func:`~morelli.evaluation.neighbours.knn`.
        kmeans_func: as in PML, for NMI and AMI.
        strict: raise where nothing can be measured. False gives NaN and one warning instead, so that a training loop
            that measures after every epoch goes on.

    Raises:
        InputError: an unknown name of a metric, or another k. It is a ``ValueError`` too, as PML's would be.
        NotImplementedError: ``label_comparison_fn`` with NMI or AMI, as in PML.
    """

    def __init__(
        self,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        avg_of_avgs: bool = False,
        return_per_class: bool = False,
        k: int | str | None = None,
        label_comparison_fn: LabelComparison | None = None,
        device: torch.device | str | None = None,
        knn_func: Search | None = None,
        kmeans_func: Callable[..., Tensor] | None = None,
        *,
        strict: bool = True,
    ) -> None:
        self._named = frozenset(include)
        self.strict, self._chosen_device = strict, device
        super().__init__(
            include=include,
            exclude=exclude,
            avg_of_avgs=avg_of_avgs,
            return_per_class=return_per_class,
            k=_checked_k(k),
            label_comparison_fn=label_comparison_fn,
            device=torch.device(device or "cpu"),
            knn_func=knn_func or knn,
            kmeans_func=kmeans_func,
        )
        if not include:  # a call can still name them
            later = _ON_REQUEST - set(exclude)
            self.original_function_dict |= {name: getattr(self, f"calculate_{name}") for name in later}

    def check_primary_metrics(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Raise an InputError, with the nearest known name, for names of no metric."""
        known = list(self.original_function_dict)
        for names in (include, exclude):
            if isinstance(names, str):
                raise InputError(f'include and exclude are lists of names: ("{names}",), not "{names}".')
            for name in names:
                if hasattr(self, f"calculate_{name}") and name not in known:
                    raise InputError(f"This calculator was made without {name}; include it when making it.")
                if name not in known:
                    hint = did_you_mean(str(name), known)
                    raise InputError(f'No retrieval metric is called "{name}".{hint} Known are: {", ".join(known)}.')

    def get_function_dict(
        self, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> dict[str, Callable[..., Any]]:
        """Name → method, of the metrics asked for; without ``include`` all but NMI and AMI."""
        self.check_primary_metrics(include, exclude)
        names = include or [name for name in self.original_function_dict if name not in _ON_REQUEST - self._named]
        chosen: dict[str, Callable[..., Any]] = super().get_function_dict(tuple(names), tuple(exclude))
        return chosen

    def calculate_lone_artists(self, query_labels: Tensor, not_lone_query_mask: Tensor, **_: Any) -> int:
        """Count the artists with nothing to find."""
        return len(torch.unique(query_labels[~not_lone_query_mask], dim=0))

    def get_accuracy(
        self,
        query: Embeddings,
        query_labels: Labels,
        reference: Embeddings | None = None,
        reference_labels: Labels | None = None,
        ref_includes_query: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Measure, as PML does.

        Args:
            query: (Q, D) embeddings.
            query_labels: (Q,) names or numbers; (Q, L) numbers with ``label_comparison_fn``.
            reference, reference_labels: the gallery; without it the queries search among themselves.
            ref_includes_query: the first Q references are the queries.
            include, exclude: as when the calculator was made, for this call.

        Returns:
            Metric → value, or :class:`PerArtist` with ``return_per_class``.

        Raises:
            InputError: arguments that do not fit each other, or unknown names.
            UnmeasurableError: NaN or collapsed embeddings, one artist alone, nothing to find, a k that would make a
                metric wrong; with ``strict=False`` these metrics are NaN.
        """
        self.curr_function_dict = self.get_function_dict(include, exclude)
        queries = self._placed(query)
        if reference is None:
            reference, reference_labels, ref_includes_query = query, query_labels, True
        if reference_labels is None:
            raise InputError("The references have no labels: give reference_labels, or leave reference out.")
        references = queries if reference is query else self._placed(reference, queries.device)
        refuse_unfit(queries, references, ref_includes_query)
        try:
            return self._measured(queries, query_labels, references, reference_labels, ref_includes_query)
        except UnmeasurableError as error:
            if self.strict:
                raise
            return self._not_measured(self.curr_function_dict, error, query_labels, len(queries))

    def _measured(
        self, query: Tensor, query_labels: Labels, reference: Tensor, reference_labels: Labels, own: bool
    ) -> dict[str, Any]:
        wanted = self.curr_function_dict
        ours = [name for name in wanted if name in (*METRICS, _LONE) and self._is_inherited(name)]
        clusterings = [name for name in wanted if name in _ON_REQUEST and self._is_inherited(name)]
        labels = numbers(query_labels, reference_labels, (len(query), len(reference)), query.device)
        shared = {
            "reference": reference,
            "reference_labels": labels[1],
            "ref_includes_query": own,
            "label_comparison_fn": self.label_comparison_fn,
        }
        arguments = PmlArguments(shared, {"query": query, "query_labels": labels[0]})
        if set(wanted) & set(self.requires_clustering()):
            if self.label_comparison_fn is not EQUALITY:
                raise NotImplementedError("Unsupported: clustering + custom label comparison")
            refuse_unusable(query, "query")
            clusters = self.get_cluster_labels(**arguments.shared, **arguments.per_query)
            arguments.per_query["cluster_labels"] = clusters
        values = {name: wanted[name](**arguments.shared, **arguments.per_query) for name in clusterings}
        custom = {name: wanted[name] for name in wanted if name not in (*ours, *clusterings)}
        if ours or custom:
            if self.label_comparison_fn is EQUALITY:
                relevance = same_label(query_labels, reference_labels, len(query), len(reference), own)
            else:
                relevance = matching_label(self.label_comparison_fn, labels[0], labels[1], own)
            refuse_unmeasurable(query, reference, relevance)
            values |= self._from_search(arguments, relevance, ours, custom)
        return {name: values[name] for name in wanted}

    def _from_search(
        self,
        arguments: PmlArguments,
        relevance: Relevance,
        ours: Sequence[str],
        custom: dict[str, Callable[..., Any]],
    ) -> dict[str, Any]:
        """The values of our own metrics and of a subclass's, from one search."""
        query, reference, own = arguments.per_query["query"], *(arguments.shared[name] for name in _SEARCHED)
        values: dict[str, Any] = {}
        metrics = [metric for name, metric in METRICS.items() if name in ours]
        try:
            enough_neighbours(self.k if isinstance(self.k, int) else None, relevance, metrics)
        except UnmeasurableError as error:
            if self.strict:
                raise
            wrong = [metric.name for metric in metrics if metric.looks == "r"]
            values = self._not_measured(wrong, error, relevance.artists[relevance.codes], len(query))
            metrics = [metric for metric in metrics if metric.looks != "r"]
        sees_all = self.k is None and (custom or any(metric.looks == "k" for metric in metrics))
        furthest = len(reference) - int(own) if sees_all else int(relevance.to_find.max())
        k = self.k if isinstance(self.k, int) else furthest
        common_functions.LOGGER.info(f"running k-nn with k={k}")
        search = partial(
            search_and_measure, query, reference, relevance, own, metrics=metrics, k=k, search=self.knn_func
        )
        if custom:
            arguments.add_relevance(relevance)
            clustered = "cluster_labels" in arguments.per_query
            whole = clustered or self.avg_of_avgs or self.return_per_class or self.knn_func is not knn
            retrieval, measured = measure_custom(custom, arguments, search, neighbours=k * len(query), whole=whole)
            values |= measured
        else:
            retrieval = search()
        values |= {metric.name: self._average(retrieval, metric.name) for metric in metrics}
        return values | ({_LONE: len(retrieval.lone_artists)} if _LONE in ours else {})

    def _average(self, retrieval: Retrieval, metric: str) -> float | PerArtist:
        if not (self.avg_of_avgs or self.return_per_class):
            return retrieval.mean(metric)
        codes, values = retrieval.codes[~retrieval.lone], retrieval.values[metric][~retrieval.lone]
        artists, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
        means = np.bincount(codes, values) / counts
        if self.avg_of_avgs:
            return float(means.mean())
        return PerArtist(means.tolist(), retrieval.artists[artists].tolist())

    def _not_measured(self, names: Iterable[str], why: Exception, labels: Labels, queries: int) -> dict[str, Any]:
        """NaN for each name, with a warning that says why."""
        warnings.warn(f"{why} Not measured: {', '.join(names)}.", UserWarning, stacklevel=2)
        given = label_array(labels, queries, "query", columns=True)
        artists = sorted({tuple(row) for row in given.tolist()}) if given.ndim > 1 else np.unique(given).tolist()
        nothing = PerArtist([float("nan")] * len(artists), artists) if self.return_per_class else float("nan")
        return dict.fromkeys(names, nothing)

    def _is_inherited(self, name: str) -> bool:
        method = f"calculate_{name}"
        return getattr(type(self), method) is getattr(PaintingAccuracyCalculator, method)

    def _placed(self, embeddings: Embeddings, device: torch.device | None = None) -> Tensor:
        try:
            if not isinstance(embeddings, Tensor):  # a table's values may be read-only, which torch warns of
                embeddings = torch.as_tensor(np.require(embeddings, None, "W"))
        except (TypeError, ValueError) as error:
            raise InputError(f"Embeddings must be a tensor or an array of numbers, (N, D) ({error}).") from error
        if embeddings.is_meta:
            raise InputError("The embeddings are on the device meta, so they hold no numbers to measure.")
        return embeddings.detach().to(self._chosen_device or device or embeddings.device, torch.float32)


def _checked_k(k: Any) -> Any:
    if k is None or k == "max_bin_count":
        return k
    if isinstance(k, int | np.integer) and not isinstance(k, bool) and k > 0:
        return int(k)
    raise InputError(f"k is {k!r}. It is a number of neighbours above 0, None for all of them, or 'max_bin_count'.")
