"""Exact nearest neighbours: faiss when it is installed, else blocks of torch products."""

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from morelli.errors import MorelliError

faiss: ModuleType | None
try:
    import faiss
except ModuleNotFoundError:  # an optional extra; the search is exact with or without it
    faiss = None

Search = Callable[[Tensor, int, Tensor, bool], tuple[Tensor, Tensor]]
_QUERIES_AT_ONCE = 1024


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
    k = min(k, len(reference) - int(ref_includes_query))
    if k < 1:
        raise MorelliError(f"No neighbour to look for: k is {k} with {len(reference)} paintings to search in.")
    search = _faiss_knn if faiss is not None and query.device.type == "cpu" else _torch_knn
    reference = reference.float().contiguous()
    for start in range(0, len(query), _QUERIES_AT_ONCE):
        block = slice(start, min(start + _QUERIES_AT_ONCE, len(query)))
        distances, rows = search(query[block].float().contiguous(), k + int(ref_includes_query), reference)
        if ref_includes_query:
            own = rows == torch.arange(block.start, block.stop, device=rows.device)[:, None]
            own[~own.any(1), -1] = True  # equal paintings can crowd out the query itself: then the last one goes
            distances, rows = distances[~own].view(-1, k), rows[~own].view(-1, k)
        yield block, distances, rows


def _faiss_knn(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    assert faiss is not None
    distances, rows = faiss.knn(_array(query), _array(reference), k)
    return torch.from_numpy(distances), torch.from_numpy(rows)


def _array(x: Tensor) -> np.ndarray:
    array: np.ndarray = x.detach().numpy()
    return array


def _torch_knn(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    relative = reference.square().sum(1) - 2 * query @ reference.T
    distances, rows = relative.topk(k, dim=1, largest=False)
    return (distances + query.square().sum(1, keepdim=True)).clamp_min(0), rows
