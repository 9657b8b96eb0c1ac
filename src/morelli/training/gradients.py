"""Gradients of one step: the loss is always that of the whole batch, over all processes and chunks.

A metric loss compares every painting of a batch with every other, so it is not the sum of the losses of parts. Each
process embeds its part of the batch; the embeddings of all are gathered; every process computes the same loss and its
gradient at the embeddings, and passes its own part of that gradient back through the network. In chunks, a part is
embedded twice: without a graph for the loss, then chunk by chunk with one, under the same random draws, so that memory
holds the graph of one chunk only (GradCache: Gao et al. 2021, https://arxiv.org/abs/2101.06983).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import slice_tensors, synchronize_rng_states
from torch import Tensor, nn
from torch.nn import functional


def whole_batch_backward(
    model: nn.Module,
    objective: nn.Module,
    inputs: Any,
    labels: Tensor,
    accelerator: Accelerator,
    *,
    size: int | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradients of the whole batch's loss to the parameters of ``model`` and ``objective``.

    Args:
        model: inputs → embeddings (B, D), as ``accelerator.prepare`` returned it.
        objective: embeddings and labels → loss and figures; not prepared, but on the accelerator's device.
        inputs: this process's part of the batch: a tensor, or a tuple or dict of tensors, B rows each.
        labels: (B,).
        size: rows of the whole batch that count; those after it only fill the last process's part.
        chunk: pictures that pass the network at a time, in each process; None for all at once.

    Returns:
        The loss, and what the objective logs: the same in every process.
    """
    rows = len(labels)
    starts = range(0, rows, chunk or rows)
    chunks = [slice_tensors(inputs, slice(start, start + starts.step)) for start in starts]
    draws, parts = [], []
    with torch.set_grad_enabled(len(chunks) == 1), accelerator.autocast():
        for part in chunks:
            draws.append(_generators(accelerator))
            parts.append(model(part).float())
    learns = any(parameter.requires_grad for parameter in model.parameters())  # a head without weights does not
    whole = accelerator.gather(torch.cat(parts).detach())[:size].requires_grad_(learns)
    with _same_draws(accelerator):
        loss, figures = objective(whole, accelerator.gather(labels)[:size])
    accelerator.backward(loss)
    _average(objective, accelerator)
    if not learns:
        return loss.detach(), figures
    gradients = torch.split(_own_part(whole, rows, accelerator), starts.step)
    if len(chunks) == 1:
        torch.autograd.backward(parts[0], gradients[0])
        return loss.detach(), figures
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        for start, part, drawn, gradient in zip(starts, chunks, draws, gradients, strict=True):
            is_last = start == starts[-1]
            with nullcontext() if is_last else accelerator.no_sync(model), accelerator.autocast():
                _set_generators(drawn, accelerator)
                torch.autograd.backward(model(part).float(), gradient)
    return loss.detach(), figures


def _own_part(whole: Tensor, rows: int, accelerator: Accelerator) -> Tensor:
    """The gradient at this process's embeddings, times the processes, over which the model's gradients are averaged."""
    count = accelerator.num_processes
    gradient = torch.zeros_like(whole) if whole.grad is None else whole.grad * count
    gradient = functional.pad(gradient, (0, 0, 0, rows * count - len(whole)))
    return gradient[rows * accelerator.process_index : rows * (accelerator.process_index + 1)]


def _average(objective: nn.Module, accelerator: Accelerator) -> None:
    """Every process computed the same; rounding on different devices must not let their copies drift apart."""
    for parameter in objective.parameters() if accelerator.num_processes > 1 else ():
        if parameter.grad is not None:
            parameter.grad = accelerator.reduce(parameter.grad, "mean")


_Generators = tuple[Tensor, Tensor | None]


def _generators(accelerator: Accelerator) -> _Generators:
    device = accelerator.device
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_generators(states: _Generators, accelerator: Accelerator) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1], accelerator.device)


@contextmanager
def _same_draws(accelerator: Accelerator) -> Iterator[None]:
    """Inside, all processes draw what the first one draws, so that random miners and pairs agree; after, their own."""
    if accelerator.num_processes == 1:
        yield
        return
    own = _generators(accelerator)
    synchronize_rng_states(["torch", "cuda"] if own[1] is not None else ["torch"])
    yield
    if not accelerator.is_main_process:
        _set_generators(own, accelerator)
