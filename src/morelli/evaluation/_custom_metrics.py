"""Metrics that a subclass adds as PML says: ``calculate_<name>(self, knn_labels, query_labels, …, **kwargs)``.

They get PML's arguments. Up to :data:`WHOLE` neighbours they get those of all queries at once, as in PML. Beyond, a
metric that is a mean over the queries gets them block by block; whether it is one is checked on every two blocks, and
if it is not, everything is searched and given to it at once after all.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from morelli.evaluation._relevance import Relevance
from morelli.evaluation.retrieval import Retrieval

Method = Callable[..., Any]
Found = tuple[slice, Tensor, Tensor]

WHOLE: Final = 2**25
"""Neighbours of all queries together; their labels, distances and rows take 0.5 GB."""
_ROUNDING: Final = (1e-6, 1e-6)  # relative and absolute


@dataclass(frozen=True)
class PmlArguments:
    """What PML's calculator hands to its metrics: what all queries share, and what has one row a query."""

    shared: dict[str, Any]
    per_query: dict[str, Tensor]

    def add_relevance(self, relevance: Relevance) -> None:
        """Add how many references match each label, and who has none to find."""
        labels, code = torch.unique(self.per_query["query_labels"], dim=0, return_inverse=True)
        to_find = torch.from_numpy(relevance.to_find).to(labels.device)
        counts = torch.zeros(len(labels), dtype=torch.long, device=labels.device)
        counts[code] = to_find
        self.per_query["not_lone_query_mask"] = to_find > 0
        own = int(self.shared["ref_includes_query"])
        self.shared.update(label_counts=(labels, counts + own), lone_query_labels=labels[counts == 0])

    def of(self, found: Sequence[Found]) -> dict[str, Any]:
        """The arguments for some blocks of queries that follow one another."""
        queries = slice(found[0][0].start, found[-1][0].stop)
        return {
            **self.shared,
            **{name: values[queries] for name, values in self.per_query.items()},
            "knn_labels": torch.cat([self.shared["reference_labels"][rows] for _, _, rows in found]),
            "knn_distances": torch.cat([distances for _, distances, _ in found]),
        }


def measure_custom(
    methods: Mapping[str, Method],
    arguments: PmlArguments,
    search: Callable[..., Retrieval],
    *,
    neighbours: int,
    whole: bool,
) -> tuple[Retrieval, dict[str, Any]]:
    """Measure from one search, or from two where some metric is no mean.

    Args:
        methods: by the metric's name.
        arguments: with what is known before the search.
        search: ``search(see=f)`` calls f with each block's queries, squared distances and rows.
        neighbours: how many are found for all queries together.
        whole: give every metric all queries at once, however many neighbours that is.
    """
    found: list[Found] = []
    if not whole and neighbours > WHOLE:
        means = {name: _Mean(method) for name, method in methods.items()}

        def add(*block: Any) -> None:
            found[:] = [*found[-1:], block]
            for mean in means.values():
                mean.add(arguments, found)

        with suppress(_NotAMeanError):
            return search(see=add), {name: mean.value() for name, mean in means.items()}
        found.clear()
    retrieval = search(see=lambda *block: found.append(block))
    everything = arguments.of(found)
    return retrieval, {name: method(**everything) for name, method in methods.items()}


class _NotAMeanError(Exception):
    """A metric of two blocks is not the mean of those of either."""


class _Mean:
    """The mean of a metric over all queries, or over those with something to find, whichever it turns out to be."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._values: list[float] = []
        self._weights: list[tuple[int, int]] = []  # of each block: its queries, and those with something to find
        self._ways = [0, 1]

    def add(self, arguments: PmlArguments, last: Sequence[Found]) -> None:
        block = arguments.of(last[-1:])
        value, not_lone = self._method(**block), block["not_lone_query_mask"]
        if not isinstance(value, float | int):
            raise _NotAMeanError
        self._values.append(float(value))
        self._weights.append((len(not_lone), int(not_lone.sum())))
        if len(last) > 1:
            joined, means = self._method(**arguments.of(last)), {way: self._mean(way, 2) for way in self._ways}
            self._ways = [way for way, mean in means.items() if np.isclose(joined, mean, *_ROUNDING, equal_nan=True)]
            if not self._ways:
                raise _NotAMeanError

    def value(self) -> float:
        return self._mean(self._ways[0])

    def _mean(self, way: int, blocks: int = 0) -> float:
        """Over the last blocks; over all by default."""
        weights = np.array(self._weights[-blocks:])[:, way]
        some = weights > 0
        values = np.array(self._values[-blocks:])[some]
        return float(np.average(values, weights=weights[some])) if len(values) else math.nan
