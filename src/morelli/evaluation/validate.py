"""What no measure may be taken of: refused here, with the reason."""

from collections.abc import Iterable

import torch
from torch import Tensor

from morelli.data.artists import artist_key
from morelli.errors import InputError, MorelliError, UnmeasurableError


def refuse_shapeless(embeddings: Tensor) -> None:
    """Refuse what is not a (N, D) table.

    Raises:
        InputError: another shape, or no rows.
    """
    if embeddings.ndim != 2 or not embeddings.numel():
        raise InputError(f"Embeddings must be of shape (N, D) with N and D above 0, not {tuple(embeddings.shape)}.")


def refuse_unusable(embeddings: Tensor, side: str = "painting") -> None:
    """Refuse what is not a (N, D) table of finite numbers, naming the first row that is not.

    Raises:
        InputError: another shape, or no rows.
        UnmeasurableError: a NaN or an infinity.
    """
    refuse_shapeless(embeddings)
    if torch.stack(torch.aminmax(embeddings)).isfinite().all():
        return
    row = int((~embeddings.isfinite().all(1)).byte().argmax())
    raise UnmeasurableError(
        f"The embedding of {side} row {row} holds NaN or an infinite number; nothing can be measured with it. "
        "Did the training diverge, or was half precision too small for it?"
    )


def refuse_collapsed(embeddings: Tensor) -> None:
    """Refuse embeddings that are all the same up to rounding.

    Raises:
        UnmeasurableError: there is nothing to tell apart.
    """
    spread = (embeddings.amax(0) - embeddings.amin(0)).max()
    if len(embeddings) > 1 and spread <= 1e-6 * embeddings[0].abs().max():
        raise UnmeasurableError(
            f"All {len(embeddings)} embeddings are the same: the network has collapsed and tells nothing apart. "
            "Try a lower learning rate, another miner, or a smaller margin."
        )


def refuse_zero(embeddings: Tensor) -> None:
    """Refuse embeddings of length 0.

    Raises:
        UnmeasurableError: names the first such row.
    """
    empty = ~embeddings.any(1)
    if empty.any():
        row = int(empty.byte().argmax())
        raise UnmeasurableError(f"The embedding of painting row {row} is zero throughout: it has no direction.")


def refuse_overlap(evaluated: Iterable[str], others: Iterable[str], whose: str) -> None:
    """Refuse artists that stand on both sides, their names folded by :func:`morelli.data.artists.artist_key`.

    Args:
        evaluated: the artists to be measured.
        others: the artists that must not be among them.
        whose: what the others are, for the message: "the cohort", "the calibration".

    Raises:
        MorelliError: names the artists on both sides.
    """
    known = {artist_key(name) for name in others}
    both = sorted({name for name in evaluated if artist_key(name) in known})
    if both:
        shown = ", ".join(both[:5]) + (f" and {len(both) - 5} more" if len(both) > 5 else "")
        raise MorelliError(
            f"{len(both)} of the evaluated artists are also in {whose}: {shown}. Its artists must be other people, "
            "or the numbers flatter the network. Leave these artists out of one of the two."
        )
