"""Batch inference: ``EmbedPictures`` for Ray Data's ``map_batches``, Daft's classes, or any other engine's workers."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, overload

import pyarrow as pa

from morelli._file_names import printable
from morelli.errors import MorelliError
from morelli.gallery.reader import Reader
from morelli.gallery.store import SCHEMA, vector_type
from morelli.models.model_folder import model_folder
from morelli.models.network import Network
from morelli.models.packaged import DEFAULT

PICTURE_COLUMNS: Final = ("image", "bytes", "path", "file")
"""Where pictures are looked for, in this order: as Hugging Face's datasets and Ray Data's readers call them."""
_MANY: Final = 1_000_000
_PER_WORKER: Final = 256
"""Pictures of a batch from which on a GPU's worker takes processes to decode them."""


class EmbedPictures:
    """Embed the pictures of a batch: call it with a batch, such as Ray Data gives, or with a column of pictures.

    The network is loaded on the first call, so that an instance costs nothing to send to a worker::

        ray.data.read_parquet("s3://bucket/paintings").map_batches(EmbedPictures, fn_constructor_args=("painters",))

    Args:
        model: as of :meth:`morelli.Painters.load`; a folder must be there on every worker.
        column: the pictures' column: a file's bytes, a path, a dict of ``bytes`` and ``path``, or an array of uint8,
            (height, width, 3). By default the first that is there of ``image``, ``bytes``, ``path`` and ``file``.
        expected: about how many pictures will pass in all. For few, no faster engine than torch is made ready.
    """

    def __init__(self, model: str | Path = DEFAULT, column: str | None = None, *, expected: int = _MANY) -> None:
        self.model, self.column, self.expected = model, column, expected

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "column": self.column, "expected": self.expected}  # without the network

    @cached_property
    def reader(self) -> Reader:
        """The network with what it needs to read pictures, loaded on first use."""
        return Reader(Network.load(model_folder(self.model)))

    @cached_property
    def schema(self) -> pa.Schema:
        """What is added: an index's columns, null where a picture cannot be used, and the reason in ``left_out``.

        ``bytes`` and ``mtime_ns`` are of the file (0 where there is none), ``width`` and ``height`` as the network saw
        it, ``sha256`` of the file's bytes, ``look`` its perceptual hash, by which copies are found.
        """
        measured = [one.with_nullable(True) for one in SCHEMA if one.name not in ("file", "artist", "copy_of")]
        vector = pa.field("vector", vector_type(self.reader.network.head.width))
        return pa.schema([*measured, vector, ("left_out", pa.string())])

    @overload
    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]: ...
    @overload
    def __call__(self, batch: Iterable[Any]) -> pa.StructArray: ...
    def __call__(self, batch: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any] | pa.StructArray:
        """Embed a batch's pictures, in their order; one that cannot be used has no vector, and the reason.

        Returns:
            The batch with the columns of :attr:`schema` added, in place of any so called. Of a column alone: these
            columns, as one column of structs.

        Raises:
            MorelliError: no such column; no whole model.
        """
        if isinstance(batch, Mapping):
            return {**batch, **dict(zip(self.schema.names, self._embedded(batch[self._column(batch)]), strict=True))}
        return pa.StructArray.from_arrays(self._embedded(batch), fields=list(self.schema))

    def _embedded(self, column: Iterable[Any]) -> list[pa.Array]:
        pictures = list(column)
        rows: list[dict[str, Any]] = [{} for _ in pictures]
        few = _PER_WORKER if self.reader.device.type != "cpu" else len(pictures) + 1
        places = [str(place) for place in range(len(pictures))]
        for read in self.reader.read_each(places, pictures, few=few, expected=self.expected):
            for info, vector in zip(read.pictures, read.embeddings.numpy(), strict=True):
                rows[int(info.name)] = {**info.row, "vector": vector}
            for place, reason in read.left_out:
                rows[int(place)] = {"left_out": reason}
        return [pa.array([row.get(one.name) for row in rows], one.type) for one in self.schema]

    def _column(self, batch: Mapping[str, Any]) -> str:
        names = [self.column] if self.column else PICTURE_COLUMNS
        for name in names:
            if name in batch:
                return name
        there = ", ".join(printable(str(name)) for name in batch) or "none"
        raise MorelliError(f"The batch has no column {' or '.join(names)}; it has: {there}. Give one as column=NAME.")
