"""Exact nearest neighbours: faiss when it is installed, else blocks of torch products.

A large set that is searched among itself has a way of its own, in half the time: see :mod:`._self_search`.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from morelli.errors import MorelliError
from morelli.evaluation._self_search import is_worthwhile, self_search

faiss: ModuleType | None
try:
    import faiss
except ModuleNotFoundError:  # an optional extra; the search is exact with or without it
    faiss = None

Search = Callable[[Tensor, int, Tensor, bool], tuple[Tensor, Tensor]]
_QUERIES_AT_ONCE = 4096  # what faiss takes at once itself; with fewer it is half as fast
_QUERIES_PER_PRODUCT = 512
_DISTANCES_TO_SORT = 2**22  # of a block whose distances are sorted whole: 48 MB with their row numbers


def knn(query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False) -> tuple[Tensor, Tensor]:
    """Find the ``k`` nearest references of every query by squared Euclidean distance, nearest first.

    It has the signature of pytorch-metric-learning's ``knn_func``. On the CPU it is faiss's exact search when faiss is
    installed; without faiss, or on another device, blocks of torch products.

    Args:
        query: (Q, D).
        k: neighbours wanted; fewer come back when there are fewer references.
        reference: (N, D).
        ref_includes_query: query i is reference i, and is not its own neighbour.

    Returns:
        Squared distances (Q, k) and row numbers in ``reference`` (Q, k).

    Raises:
        MorelliError: k is below 1, or nothing is there to be found.
    """
    found = [block[1:] for block in knn_blocks(query, k, reference, ref_includes_query)]
    return torch.cat([distances for distances, _ in found]), torch.cat([rows for _, rows in found])


def knn_blocks(
    query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """As :func:`knn`, a block of queries at a time: which queries, their distances, and their neighbours' rows."""
    k = min(int(k), len(reference) - int(ref_includes_query))
    if k < 1:
        raise MorelliError(f"No neighbour to look for: k is {k} with {len(reference)} paintings to search in.")
    query, reference = query.detach().float().contiguous(), reference.detach().float().contiguous()
    among_themselves = ref_includes_query and len(query) == len(reference)
    if among_themselves and reference.device.type == "cpu" and is_worthwhile(len(reference), k):
        for block, distances, rows, unfinished in self_search(reference, _squared_lengths(reference), k):
            redo = np.flatnonzero(unfinished)
            if len(redo):
                again = torch.from_numpy(redo + block.start)
                full = _without_own(*_search(reference[again], k + 1, reference), again)
                distances[redo], rows[redo] = (found.numpy() for found in full)
            yield block, torch.from_numpy(distances), torch.from_numpy(rows)
        return
    wanted = k + int(ref_includes_query)
    at_once = max(1, _DISTANCES_TO_SORT // len(reference)) if _wants_most(wanted, reference) else _QUERIES_AT_ONCE
    for start in range(0, len(query), at_once):
        block = slice(start, min(start + at_once, len(query)))
        found = _search(query[block], wanted, reference)
        if ref_includes_query:
            found = _without_own(*found, torch.arange(block.start, block.stop, device=query.device))
        yield block, *found


def _without_own(distances: Tensor, rows: Tensor, own_rows: Tensor) -> tuple[Tensor, Tensor]:
    place = torch.arange(rows.shape[1], device=rows.device)
    # Equal paintings can crowd out the query itself: then the last one goes.
    own = torch.where(rows == own_rows[:, None], place, rows.shape[1]).amin(1, keepdim=True)
    before = place[:-1] < own
    return torch.where(before, distances[:, :-1], distances[:, 1:]), torch.where(before, rows[:, :-1], rows[:, 1:])


def _wants_most(k: int, reference: Tensor) -> bool:
    """Whether sorting all distances is quicker than keeping the k smallest."""
    return 2 * k > len(reference)


def _search(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    if _wants_most(k, reference) and query.device.type == "cpu":
        return _sorted_distances(query, k, reference)
    if faiss is not None and query.device.type == "cpu":
        return _faiss_knn(query, k, reference)
    return _torch_knn(query, k, reference)


def _faiss_knn(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    assert faiss is not None
    distances, rows = faiss.knn(_array(query), _array(reference), k)
    return torch.from_numpy(distances), torch.from_numpy(rows)


def _squared_lengths(embeddings: Tensor) -> np.ndarray:
    """(N,) as faiss computes them when it is there: near ties then fall as in its own search, most to the last bit."""
    array, lengths = _array(embeddings), np.empty(len(embeddings), np.float32)
    if faiss is not None:
        faiss.fvec_norms_L2sqr(faiss.swig_ptr(lengths), faiss.swig_ptr(array), array.shape[1], len(array))
    else:
        np.einsum("nd,nd->n", array, array, out=lengths)
    return lengths


def _array(x: Tensor) -> np.ndarray:
    array: np.ndarray = x.detach().numpy()
    return array


def _sorted_distances(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    lengths, own = reference.square().sum(1), query.square().sum(1, keepdim=True)
    distances = torch.addmm(lengths, query, reference.T, alpha=-2).add_(own).clamp_min_(0).numpy()
    rows = distances.argsort(axis=1)[:, :k]  # a fifth of the time of torch's sort
    return torch.from_numpy(np.take_along_axis(distances, rows, axis=1)), torch.from_numpy(rows)


def _torch_knn(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    lengths = reference.square().sum(1)
    found = []
    for start in range(0, len(query), _QUERIES_PER_PRODUCT):
        block = query[start : start + _QUERIES_PER_PRODUCT]
        relative, rows = torch.addmm(lengths, block, reference.T, alpha=-2).topk(k, dim=1, largest=False)
        found.append(((relative + block.square().sum(1, keepdim=True)).clamp_min(0), rows))
    return torch.cat([distances for distances, _ in found]), torch.cat([rows for _, rows in found])
