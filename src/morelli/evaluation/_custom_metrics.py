"""Measures that a subclass adds as PML says: ``calculate_<name>(self, knn_labels, query_labels, …, **kwargs)``.

They get PML's arguments. Up to :data:`WHOLE` neighbours they get those of all queries at once, as in PML. Beyond, a
measure that is a mean over the queries gets them block by block; whether it is one is checked on every two blocks, and
if it is not, everything is searched and given to it at once after all.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from morelli.evaluation._relevance import Relevance
from morelli.evaluation.retrieval import Retrieval

Measure = Callable[..., Any]
Found = tuple[slice, Tensor, Tensor]

WHOLE: Final = 2**25
"""Neighbours of all queries together; their labels, distances and rows take 0.5 GB."""
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class PmlArguments:
    """What PML's calculator hands to its measures: what all queries share, and what has one row a query."""

    shared: dict[str, Any]
    per_query: dict[str, Tensor]

    def add_relevance(self, relevance: Relevance) -> None:
        """Add how many references match each label, and who has none to find."""
        labels, code = torch.unique(self.per_query["query_labels"], dim=0, return_inverse=True)
        counts = torch.zeros(len(labels), dtype=torch.long, device=labels.device)
        to_find = torch.from_numpy(relevance.to_find).to(labels.device)
        counts[code] = to_find + int(self.shared["ref_includes_query"])
        self.per_query["not_lone_query_mask"] = to_find > 0
        lone = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        lone[code] = to_find == 0
        self.shared.update(label_counts=(labels, counts), lone_query_labels=labels[lone])

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
    measures: Mapping[str, Measure],
    arguments: PmlArguments,
    search: Callable[..., Retrieval],
    *,
    neighbours: int,
    whole: bool,
) -> tuple[Retrieval, dict[str, Any]]:
    """Measure from one search, or from two where some measure is no mean.

    Args:
        measures: name → method.
        arguments: with what is known before the search.
        search: ``search(see=f)`` calls f with each block's queries, squared distances and rows.
        neighbours: how many are found for all queries together.
        whole: give every measure all queries at once, however many neighbours that is.
    """
    if not whole and neighbours > WHOLE:
        means = {name: _Mean(measure) for name, measure in measures.items()}
        last: list[Found] = []

        def add(*block: Any) -> None:
            last.append(block)
            for mean in means.values():
                mean.add(arguments, last)
            del last[:-1]

        try:
            return search(see=add), {name: mean.value() for name, mean in means.items()}
        except _NotAMeanError:
            pass
    found: list[Found] = []
    retrieval = search(see=lambda *block: found.append(block))
    everything = arguments.of(found)
    return retrieval, {name: measure(**everything) for name, measure in measures.items()}


class _NotAMeanError(Exception):
    """A measure of two blocks is not the mean of those of either."""


class _Mean:
    """The mean of a measure over all queries, or over those with something to find, whichever it turns out to be."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._values: list[float] = []
        self._weights: list[tuple[int, int]] = []  # of each block: its queries, and those with something to find
        self._ways = [0, 1]

    def add(self, arguments: PmlArguments, last: Sequence[Found]) -> None:
        block = arguments.of(last[-1:])
        value = self._measure(**block)
        if not isinstance(value, float | int):
            raise _NotAMeanError
        not_lone = block["not_lone_query_mask"]
        self._values.append(float(value))
        self._weights.append((len(not_lone), int(not_lone.sum())))
        if len(last) > 1:
            joined = self._measure(**arguments.of(last))
            self._ways = [way for way in self._ways if _is_near(joined, self._mean(way, last=2))]
            if not self._ways:
                raise _NotAMeanError

    def value(self) -> float:
        return self._mean(self._ways[0], last=len(self._values))

    def _mean(self, way: int, *, last: int) -> float:
        weighed = zip(self._values[-last:], self._weights[-last:], strict=True)
        parts = [(value, weights[way]) for value, weights in weighed if weights[way]]
        total = sum(weight for _, weight in parts)
        return sum(value * weight for value, weight in parts) / total if total else math.nan


def _is_near(value: float, mean: float) -> bool:
    return math.isclose(value, mean, rel_tol=_ROUNDING, abs_tol=_ROUNDING) or (math.isnan(value) and math.isnan(mean))
