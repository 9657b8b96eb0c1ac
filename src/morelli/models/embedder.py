"""Embedding: the pictures of a dataset through a backbone and a head."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from morelli._processes import gathered, is_first, shard
from morelli._progress import progress_bar
from morelli.errors import InputError
from morelli.models.backbones import AnyBackbone
from morelli.models.custom_modules import ModuleHead
from morelli.models.engines import InferenceBackbone, in_threads
from morelli.models.heads import EmbeddingHead


class Embedder(nn.Module):
    """A backbone and a head together: a batch of what the backbone's transform gives → embeddings (B, D)."""

    def __init__(self, backbone: AnyBackbone, head: EmbeddingHead | ModuleHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Any) -> Tensor:
        embeddings: Tensor = self.head(self.backbone(images))
        return embeddings


def loader_workers(pictures: int, device: torch.device, *, few: int = 512) -> int:
    """Processes that decode pictures for a network on ``device``: none for fewer pictures than ``few``.

    A GPU gets all cores but one, sixteen at most. On the CPU the network itself keeps all cores busy, and its threads
    wait for the one whose core a decoder takes: on two cores embedding with a decoder took 1.45 times as long as
    without. So decoders get a quarter of the cores there. Processes on one machine share its cores.
    """
    cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return 0 if pictures < few else max(0, min(16, cores // 4 if device.type == "cpu" else cores - 1))


def pictures_at_once(device: torch.device) -> int:
    """Pictures that pass a network together when nothing is learned.

    On a processor few, which stay in its cache: on two cores 8 pictures were up to twice as fast as 64. A GPU takes
    more; several views of each go through it together.
    """
    return 8 if device.type == "cpu" else 32


def embed(
    module: nn.Module,
    dataset: Dataset[Any],
    device: torch.device,
    *,
    batch_size: int | None = None,
    what: str = "embed",
    told: Callable[[float], None] | None = None,
) -> Tensor:
    """Pass every picture once through ``module`` in evaluation mode; several processes share the pictures.

    Args:
        module: a batch of what the dataset's transform gives → rows (B, …), such as a backbone or a whole network.
        dataset: a :class:`~morelli.PaintersByNumbers`, or any whose items are (image, label), the image as the module
            takes it.
        device: where to compute; the result is on the CPU.
        batch_size: pictures at a time; by default what :func:`pictures_at_once` says.
        what: shown beside the progress bar.
        told: called with how many more pictures are done, in place of a bar of its own.

    Returns:
        (N, …) float32, in the dataset's order, in every process.

    Raises:
        InputError: the module gives no tensor.
    """
    module = module.to(device).eval()
    count = len(dataset)  # type: ignore[arg-type]  # torch's Dataset says nothing of its length
    share: Subset[tuple[Any, Tensor]] = Subset(dataset, shard(count))
    rows: list[Tensor] = []
    with progress_bar(hidden=told is not None or not is_first()) as progress:
        told = told or partial(progress.advance, progress.add_task(what, total=count))
        for found, _ in in_batches(module, share, device, batch_size=batch_size):
            rows.append(_checked(found, module))
            told(len(rows[-1]) * count / len(share))
    return gathered(torch.cat(rows), count)


def in_batches(
    module: nn.Module,
    dataset: Dataset[Any],
    device: torch.device,
    *,
    batch_size: int | None = None,
    collate: Callable[[list[Any]], Any] = default_collate,
    few: int = 512,
) -> Iterator[tuple[Any, Any]]:
    """Pass a dataset's items, collated as (inputs, rest), through a module: (output, rest) of each batch, in order.

    ``module`` is on ``device`` and in evaluation mode. Inputs of None have the output None. From ``few`` pictures on,
    processes decode for torch; other engines' threads decode for themselves.
    """

    def forward(batch: Any) -> tuple[Any, Any]:
        inputs, rest = batch
        return None if inputs is None else module(send_to_device(inputs, device)), rest

    batch_size = batch_size or pictures_at_once(device)
    threads = sum(one.start() for one in module.modules() if isinstance(one, InferenceBackbone))
    if threads:
        count = len(dataset)  # type: ignore[arg-type]
        places = [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
        return in_threads(lambda own: forward(collate([dataset[place] for place in own])), places, threads)
    workers = loader_workers(len(dataset), device, few=few)  # type: ignore[arg-type]
    pinned = device.type == "cuda"
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size, num_workers=workers, collate_fn=collate, pin_memory=pinned
    )
    return in_threads(forward, loader, 0)


def _checked(found: Any, module: nn.Module) -> Tensor:
    if not isinstance(found, Tensor):
        raise InputError(
            f"{type(module).__name__} gives a {type(found).__name__}, not a tensor of embeddings (B, D). Wrap it in a "
            "module that returns the one to use."
        )
    return found.float().cpu()
