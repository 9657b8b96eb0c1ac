"""Relevance of references to queries: those by the same artist, or those that ``label_comparison_fn`` matches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli.errors import InputError, UnmeasurableError

Labels = Tensor | np.ndarray | Sequence[Any]
LabelComparison = Callable[[Tensor, Tensor], Tensor]

_LARGEST_IN_FLOAT32: Final = 2**24


@dataclass(frozen=True)
class Relevance:
    """What each of Q queries is to find among N references.

    Attributes:
        artists: the queries' and references' labels, sorted, each once.
        codes: (Q,) each query's place in ``artists``.
        to_find: (Q,) how many references, itself left out, match each query.
        hits: a slice of queries and their neighbours' rows (B, k) → (B, k) bool, which of them match.
    """

    artists: np.ndarray
    codes: np.ndarray
    to_find: np.ndarray
    hits: Callable[[slice, Tensor], np.ndarray]


def same_label(query_labels: Labels, reference_labels: Labels, queries: int, references: int, own: bool) -> Relevance:
    """References with the query's own label (a name, or a number of any size) match it.

    With ``own`` the queries are the first references, and none is to find itself. Labels that do not fit, or that are
    not as many as ``queries`` and ``references``, are an InputError.
    """
    both = [label_array(query_labels, queries, "query"), label_array(reference_labels, references, "reference")]
    codes, names = _factorised(both[0] if reference_labels is query_labels else np.concatenate(both))
    if (codes < 0).any():
        raise InputError(f"Row {int((codes < 0).argmax())} has no artist. Leave such paintings out before measuring.")
    own_codes, gallery_codes = codes[:queries], codes[len(codes) - references :]
    if own and (own_codes != gallery_codes[:queries]).any():
        raise other_queries()
    to_find = np.bincount(gallery_codes, minlength=len(names))[own_codes] - int(own)
    if len(names) < 2:
        raise UnmeasurableError(f"All paintings are by {names[0]}: whatever is found is right. Two artists are needed.")

    def hits(block: slice, rows: Tensor) -> np.ndarray:
        found: np.ndarray = gallery_codes[rows.cpu().numpy()] == own_codes[block, None]
        return found

    return Relevance(names, own_codes, to_find, hits)


def matching_label(match: LabelComparison, query_labels: Tensor, reference_labels: Tensor, own: bool) -> Relevance:
    """References match whose label ``match`` says matches the query's, as PML's ``label_comparison_fn`` does.

    ``match`` gets labels (…, L) or (…,), broadcast against each other; the labels are those of :func:`numbers`.
    """
    if own and not torch.equal(query_labels, reference_labels[: len(query_labels)]):
        raise other_queries()
    labels, codes = torch.unique(query_labels, dim=0, return_inverse=True)
    counts = torch.stack([match(label[None], reference_labels).sum() for label in labels])
    if own:
        counts = counts - match(labels, labels).long()
    to_find = counts[codes].cpu().numpy()
    if (to_find == len(reference_labels) - int(own)).all():
        raise UnmeasurableError(
            "label_comparison_fn matches every reference with every query: whatever is found is right."
        )

    def hits(block: slice, rows: Tensor) -> np.ndarray:
        found: np.ndarray = match(query_labels[block][:, None], reference_labels[rows]).cpu().numpy().astype(bool)
        return found

    return Relevance(labels.cpu().numpy(), codes.cpu().numpy(), to_find, hits)


def numbers(
    query_labels: Labels, reference_labels: Labels, shape: tuple[int, int], device: torch.device
) -> list[Tensor]:
    """Both labels as PML hands them to functions and metrics: float32, or float64 where that cannot tell them apart.

    Names become their places in the sorted names. Labels may have L columns: (Q, L) and (N, L).
    """
    sides = zip((query_labels, reference_labels), shape, ("query", "reference"), strict=True)
    arrays = [label_array(labels, rows, side, columns=True) for labels, rows, side in sides]
    if any(array.dtype.kind not in "biuf" for array in arrays):
        if any(array.ndim > 1 for array in arrays):
            raise InputError("Labels in several columns must be numbers.")
        arrays = np.split(_factorised(np.concatenate(arrays))[0], [len(arrays[0])])
    too_large = any(array.size and np.abs(array.astype(float)).max() > _LARGEST_IN_FLOAT32 for array in arrays)
    return [torch.as_tensor(array.astype(np.float64 if too_large else np.float32), device=device) for array in arrays]


def _factorised(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        codes, names = pd.factorize(labels, sort=True)
    except TypeError as error:
        raise InputError(f"Labels must be all names or all numbers, one for each embedding ({error}).") from error
    return codes, np.asarray(names)


def label_array(labels: Labels, rows: int, side: str, *, columns: bool = False) -> np.ndarray:
    """(rows,) labels as an array, names as objects; with ``columns`` they may be (rows, L). Else an InputError."""
    try:
        array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    except ValueError as error:
        raise InputError(
            f"The {side} labels are no list of names or numbers, one for each embedding ({error})."
        ) from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and len(array) == rows and not columns:
        raise InputError(
            f"The {side} labels have {array.shape[1]} columns. Give one column, or label_comparison_fn to say which "
            "of them match."
        )
    if array.shape[:1] != (rows,) or array.ndim > 2:
        raise InputError(f"{rows} {side} embeddings need as many labels; they came in the shape {array.shape}.")
    return array.astype(object) if array.dtype.kind in "US" else array


def other_queries() -> InputError:
    """What is raised when the first references are other ones than the queries."""
    return InputError("With ref_includes_query the first references, and their labels, must be the queries.")
