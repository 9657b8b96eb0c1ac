"""Input validation for evaluation: non-finite, zero or collapsed embeddings; overlapping artists."""

from collections.abc import Iterable

import torch
from torch import Tensor

from morelli.data.artists import artist_key
from morelli.errors import InputError, MorelliError, UnmeasurableError


def refuse_shapeless(embeddings: Tensor) -> None:
    """Raise an InputError for embeddings that are not a (N, D) table, or an empty one."""
    if embeddings.ndim != 2 or not embeddings.numel():
        raise InputError(f"Embeddings must be of shape (N, D) with N and D above 0, not {tuple(embeddings.shape)}.")


def refuse_unusable(embeddings: Tensor, side: str = "painting") -> None:
    """Raise an InputError for what is no (N, D) table, an UnmeasurableError for NaN or infinity, naming the row."""
    refuse_shapeless(embeddings)
    if torch.stack(torch.aminmax(embeddings)).isfinite().all():
        return
    row = int((~embeddings.isfinite().all(1)).byte().argmax())
    raise UnmeasurableError(
        f"The embedding of {side} row {row} holds NaN or an infinite number; nothing can be measured with it. "
        "Did the training diverge, or was half precision too small for it?"
    )


def refuse_collapsed(embeddings: Tensor) -> None:
    """Raise an UnmeasurableError for embeddings that are all the same up to rounding."""
    spread = (embeddings.amax(0) - embeddings.amin(0)).max()
    if len(embeddings) > 1 and spread <= 1e-6 * embeddings[0].abs().max():
        raise UnmeasurableError(
            f"All {len(embeddings)} embeddings are the same: the network has collapsed and tells nothing apart. "
            "Try a lower learning rate, another miner, or a smaller margin."
        )


def refuse_zero(embeddings: Tensor) -> None:
    """Raise an UnmeasurableError for embeddings of length 0, naming the first such row."""
    if (empty := ~embeddings.any(1)).any():
        row = int(empty.byte().argmax())
        raise UnmeasurableError(f"The embedding of painting row {row} is zero throughout: it has no direction.")


def refuse_overlap(evaluated: Iterable[str], others: Iterable[str], whose: str) -> None:
    """Raise a MorelliError that names the evaluated artists who are among the others, names folded.

    ``whose`` says what the others are: "the cohort", "the calibration".
    """
    known = {artist_key(name) for name in others}
    if both := sorted({name for name in evaluated if artist_key(name) in known}):
        shown = ", ".join(both[:5]) + (f" and {len(both) - 5} more" if len(both) > 5 else "")
        raise MorelliError(
            f"{len(both)} of the evaluated artists are also in {whose}: {shown}. Its artists must be other people, "
            "or the numbers flatter the network. Leave these artists out of one of the two."
        )
