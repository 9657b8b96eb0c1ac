"""Exact nearest neighbours: faiss when it is installed, else blocks of torch products."""

from collections.abc import Callable, Iterable, Iterator
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
    return _joined(block[1:] for block in knn_blocks(query, k, reference, ref_includes_query))


def knn_blocks(
    query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """As :func:`knn`, a block of queries at a time: which queries, their distances, and their neighbours' rows."""
    k = min(int(k), len(reference) - int(ref_includes_query))
    if k < 1:
        raise MorelliError(f"No neighbour to look for: k is {k} with {len(reference)} paintings to search in.")
    query, reference = query.detach().float().contiguous(), reference.detach().float().contiguous()
    wanted = k + int(ref_includes_query)
    search, at_once = _torch_knn, _QUERIES_AT_ONCE
    if query.device.type == "cpu" and 2 * wanted > len(reference):  # sorting all is quicker than keeping k
        search, at_once = _sorted_distances, max(1, _DISTANCES_TO_SORT // len(reference))
    elif query.device.type == "cpu" and faiss is not None:
        search = _faiss_knn
    for start in range(0, len(query), at_once):
        block = slice(start, min(start + at_once, len(query)))
        distances, rows = search(query[block], wanted, reference)
        if ref_includes_query:
            place = torch.arange(wanted, device=rows.device)
            own_rows = torch.arange(block.start, block.stop, device=rows.device)
            # Equal paintings can crowd out the query itself: then the last one goes.
            own = torch.where(rows == own_rows[:, None], place, wanted - 1).amin(1, keepdim=True)
            kept = place != own
            distances, rows = distances[kept].view(-1, k), rows[kept].view(-1, k)
        yield block, distances, rows


def _faiss_knn(query: Tensor, k: int, reference: Tensor) -> tuple[Tensor, Tensor]:
    assert faiss is not None
    distances, rows = faiss.knn(query.numpy(), reference.numpy(), k)
    return torch.from_numpy(distances), torch.from_numpy(rows)


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
    return _joined(found)


def _joined(found: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    distances, rows = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(rows)
