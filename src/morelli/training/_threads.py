"""Threads of a training step: a small one runs on one thread."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_WORTH_SHARING = 10**8
"""Multiply-adds of a forward pass: about what one core does in two milliseconds."""


@contextmanager
def one_thread_if_small(model: nn.Module, rows: int) -> Iterator[None]:
    """Compute on one thread inside the block if a step of an MLP ``model`` with ``rows`` rows is small, else as before.

    Threads wait for each other after every layer, some twenty times a step. Where the step is short that costs more
    than it brings, and on cores that others use too it cost ten times the step: see ``benchmarks/README.md``. The
    choice depends on sizes alone, so that a run can be repeated bit for bit.
    """
    before = torch.get_num_threads()
    if rows * sum(parameter.numel() for parameter in model.parameters()) < _WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
