"""Embedding of pictures from anywhere: files read in parallel, passed through a network in batches."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import or_
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image, ImageStat
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from morelli._file_names import unescaped
from morelli._progress import progress_bar
from morelli.errors import MorelliError
from morelli.gallery.pictures import LoadedPicture, PictureInfo, read_file, read_picture
from morelli.models.custom_modules import update_with
from morelli.models.embedder import in_batches
from morelli.models.engines import InferenceBackbone, engines_for
from morelli.models.heads import EmbeddingHead
from morelli.models.network import Network
from morelli.preparation.picture_files import UnusableError

Load = Callable[[Any, str, int], LoadedPicture]

_FLAT = 2.0  # standard deviation of every channel, of 255
_DEFAULT_SIZE = 256  # what prepare shrinks to unless told otherwise


@dataclass(frozen=True)
class ReadBatch:
    """A batch of files: what was read, its embeddings (B, D), and what could not be used, as (file, reason)."""

    pictures: list[PictureInfo]
    embeddings: Tensor
    left_out: list[tuple[str, str]]


class Reader:
    """A network, and the pictures it reads at the size it was trained at.

    Inputs are opaque: whatever the backbone's transform gives is collated and handed to the network.
    """

    def __init__(self, network: Network) -> None:
        self.network = network.eval().requires_grad_(False)
        self.device = Accelerator().device
        self.network.to(self.device)
        self.network.scorer.cpu()  # scores are taken where the embeddings are kept
        self.size = network.card.prepared_size or _DEFAULT_SIZE
        self.transform: Callable[[Image.Image], Any] = network.backbone.transform()
        self._backbones: dict[tuple[str, ...], InferenceBackbone] = {}

    def embed(self, images: Sequence[Image.Image]) -> Tensor:
        """Embed shrunk RGB pictures: (N, D) on the CPU."""
        embedder, transform = self._embedder(len(images))
        rows = in_batches(embedder, _Images(images, transform), self.device)
        return torch.cat([_finite(found) for found, _ in rows])

    def embed_and_judge(self, images: Sequence[Image.Image]) -> tuple[Tensor, list[bool]]:
        """:meth:`embed`, and whether each picture is of another kind than the paintings of validation.

        One in a hundred of those is, too; a picture of one colour always is.
        """
        (backbone, head), transform = self._embedder(len(images))
        both = nn.Sequential(backbone, _Judge(head, self.network.card.unexplained))
        rows = list(in_batches(both, _Images(images, transform), self.device))
        unlike = [share for (_, shares), _ in rows for share in shares.tolist()]
        flat = [max(ImageStat.Stat(image).stddev) < _FLAT for image in images]
        return torch.cat([_finite(found) for (found, _), _ in rows]), list(map(or_, flat, unlike))

    def read(self, root: Path, files: Sequence[str], what: str) -> Iterator[ReadBatch]:
        """Read and embed files, in their order; their names are written as :func:`morelli._file_names.escaped` does."""
        with progress_bar() as progress:
            task = progress.add_task(what, total=len(files))
            # An original takes up to a hundred times as long to decode as a prepared picture: processes pay earlier.
            for batch in self.read_each(files, files, partial(_read_below, root), few=32):
                yield batch
                progress.advance(task, len(batch.pictures) + len(batch.left_out))

    def read_each(
        self,
        names: Sequence[str],
        pictures: Sequence[Any],
        load: Load = read_picture,
        *,
        few: int,
        expected: int | None = None,
    ) -> Iterator[ReadBatch]:
        """Load and embed pictures, in their order.

        Args:
            names, pictures: of one length.
            load: (picture, name, the network's size) → the picture, or an ``UnusableError``.
            few: from so many pictures on, processes load them where the network runs in torch.
            expected: pictures that will pass in all, by which the engine is chosen; by default these.
        """
        embedder, transform = self._embedder(expected or len(names))
        dataset = _Loaded(names, pictures, load, self.size, transform)
        for found, (read, left_out) in in_batches(embedder, dataset, self.device, collate=_collate, few=few):
            yield ReadBatch(read, torch.empty(0, 0) if found is None else _finite(found), left_out)

    def _embedder(self, pictures: int) -> tuple[nn.Sequential, Callable[[Image.Image], Any]]:
        """The network in the engines that suit so many pictures, and what it takes of a picture."""
        engines = engines_for(self.network.backbone, self.device, pictures=pictures)
        names = tuple(one.name for one in engines)
        backbone = self._backbones.setdefault(names, InferenceBackbone(engines))
        return nn.Sequential(backbone, self.network.head).eval(), backbone.transform

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that determines a picture's embedding, but for the versions of the libraries."""
        card = self.network.card
        # With the former names of the head's settings, so that indexes made before go on to fit.
        head = repr(card.head).replace("untrained_weight", "keep").replace("untrained_width", "keep_width")
        how = [repr(card.backbone.model_dump(exclude={"weights", "train"})), head, repr(self.size)]
        how += [repr(part) for part in (card.trunk, card.embedder) if part]  # of somebody's own modules
        digest = hashlib.sha256(f"[{', '.join(how)}]".encode())
        state = self.network.state_dict().items()  # without what takes no part in an embedding
        update_with(digest, {name: one for name, one in state if name.startswith(("backbone.", "head."))})
        return digest.hexdigest()[:32]


class _Judge(nn.Module):
    """Features (B, F) → embeddings, and (B,) whether the training paintings' axes explain too little of them."""

    def __init__(self, head: nn.Module, limit: float | None) -> None:
        super().__init__()
        self.head, self.limit = head, limit

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.head(features)
        if self.limit is None or not isinstance(self.head, EmbeddingHead):
            return embeddings, torch.zeros(len(embeddings), dtype=torch.bool)
        found = self.head.unexplained(features)
        assert found is not None  # else no limit was learned
        return embeddings, found.float() > self.limit


def _finite(embeddings: Tensor) -> Tensor:
    embeddings = embeddings.float().cpu()
    if not embeddings.isfinite().all():
        raise MorelliError("This network gives embeddings that are not finite; its weights are damaged.")
    return embeddings


class _Images(Dataset[tuple[Any, int]]):
    """Pictures in memory as (the network's input, nothing)."""

    def __init__(self, images: Sequence[Image.Image], transform: Callable[[Image.Image], Any]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return self.transform(self.images[place]), 0


class _Loaded(Dataset[tuple[str, Any, PictureInfo | str]]):
    """Pictures as (name, the network's input or None, the picture without its pixels or the reason why not)."""

    def __init__(
        self,
        names: Sequence[str],
        pictures: Sequence[Any],
        load: Load,
        size: int,
        transform: Callable[[Image.Image], Any],
    ) -> None:
        self.names, self.pictures, self.load, self.size, self.transform = names, pictures, load, size, transform

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: int) -> tuple[str, Any, PictureInfo | str]:
        name = self.names[place]
        try:
            loaded = self.load(self.pictures[place], name, self.size)
        except UnusableError as error:
            return name, None, str(error)
        return name, self.transform(loaded.rgb), loaded.info


def _read_below(root: Path, file: str, name: str, size: int) -> LoadedPicture:
    return read_file(root / unescaped(file), name, size)


def _collate(
    items: list[tuple[str, Any, PictureInfo | str]],
) -> tuple[Any, tuple[list[PictureInfo], list[tuple[str, str]]]]:
    inputs = [picture for _, picture, found in items if isinstance(found, PictureInfo)]
    read = [found for _, _, found in items if isinstance(found, PictureInfo)]
    left_out = [(file, found) for file, _, found in items if isinstance(found, str)]
    return default_collate(inputs) if inputs else None, (read, left_out)
