"""Store: pictures with their embeddings, one Parquet file that DuckDB, pandas, LanceDB and Qdrant read as it is.

While pictures are being indexed, parts are appended: ``pictures-00001.parquet`` and so on, beside ``pictures.parquet``.
A part's generation is one more than that of the table it was appended to. :func:`compact` puts the next generation in
place in one step, whereupon the parts count no more; so a reader meets all of one moment, whenever a writer is killed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from morelli._file_names import escaped
from morelli._json import parsed_json
from morelli._tables import DamagedTableError, read_table, write_table
from morelli.errors import first_line

FORMAT_VERSION: Final = 2
SCHEMA: Final = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),  # relative to the folder, forward slashes
        ("artist", pa.string()),  # null in an index of pictures
        ("copy_of", pa.string()),  # the first file of the group of copies that it is in; null if it is in none
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),  # as the network saw it
        pa.field("height", pa.int32(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("look", pa.binary(32), nullable=False),  # the perceptual hash
    ]
)
_KEY: Final = b"morelli_pictures"
_PATIENCE: Final = 20


class Metadata(BaseModel):
    """What holds for all pictures of a store; paths are written as :func:`morelli._file_names.escaped` does.

    Attributes:
        format: of the file; 1 had its embeddings in a safetensors file.
        model: the model folder, or the name of the packaged network.
        version: the packaged network's.
        fingerprint: of the network.
        folder: the pictures' folder.
        generation: how often the table was written as a whole.
        embeddings: the safetensors file, in format 1.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    format: int = FORMAT_VERSION
    model: str
    version: str | None = None
    fingerprint: str = Field(min_length=1)
    folder: str = ""
    generation: int = Field(default=0, ge=0)
    embeddings: str | None = None


@dataclass(frozen=True)
class Store:
    """Pictures with their embeddings.

    Attributes:
        pictures: N rows, the columns of :data:`SCHEMA`.
        embeddings: (N, D) float32; the column ``vector`` on disk.
        metadata: what holds for all of them.
    """

    pictures: pd.DataFrame
    embeddings: Tensor
    metadata: Metadata

    def write(self, path: Path) -> None:
        """Write one file; a reader meets the old one or the new one."""
        table = pa.Table.from_pandas(self.pictures, schema=SCHEMA, preserve_index=False)
        kind = vector_type(self.embeddings.shape[1])
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.embeddings.numpy().ravel()), type=kind)
        table = table.append_column(pa.field("vector", kind, nullable=False), vectors)
        about = self.metadata.model_copy(update={"format": FORMAT_VERSION, "embeddings": None})
        metadata = {_KEY: about.model_dump_json(exclude_none=True).encode()}
        write_table(path, table, metadata, durable=True, use_dictionary=False)

    @classmethod
    def read(cls, path: Path) -> "Store":
        """Read back what :meth:`write` wrote, or the format before.

        Raises:
            DamagedTableError: it is damaged or of another format.
            FileNotFoundError: it is not there.
        """
        table = read_table(path)
        try:
            metadata = _metadata(table)
            if metadata.format == 1:
                embeddings = load_file(path.with_name(Path(metadata.embeddings or "").name))["embeddings"]
            else:
                embeddings = _matrix(table["vector"])
                table = table.drop(["vector"])
            table = table.cast(SCHEMA)  # refuses other names, and nulls where there must be none
            if embeddings.ndim != 2 or len(embeddings) != table.num_rows or embeddings.dtype != torch.float32:
                raise ValueError("its embeddings are not one row of float32 a picture")
            if not embeddings.sum(1).isfinite().all():
                raise ValueError("its embeddings are not all finite")
        except (
            LookupError,
            ValueError,
            TypeError,
            OSError,
            RecursionError,
            SafetensorError,
            pa.ArrowException,
        ) as error:
            raise DamagedTableError(f"{path} cannot be used: {first_line(error)}.") from error
        return cls(table.to_pandas(), embeddings, metadata)

    @classmethod
    def empty(cls, metadata: Metadata) -> "Store":
        return cls(SCHEMA.empty_table().to_pandas(), torch.empty(0, 0), metadata)

    def take(self, places: Sequence[int] | np.ndarray) -> "Store":
        """The pictures at these places, in their order."""
        places = np.asarray(places, dtype=int)
        pictures = self.pictures.iloc[places].reset_index(drop=True)
        return replace(self, pictures=pictures, embeddings=self.embeddings[places])


def vector_type(width: int) -> pa.DataType:
    """The type of the column ``vector``: so many float32 each."""
    return pa.list_(pa.field("element", pa.float32(), nullable=False), width)


def joined(parts: Sequence[Store]) -> Store:
    """All parts' pictures one after the other, with the metadata of the first."""
    some = [part for part in parts if not part.pictures.empty]
    if len(some) <= 1:
        return replace(some[0], metadata=parts[0].metadata) if some else parts[0]
    if len({part.embeddings.shape[1] for part in some}) > 1:
        raise DamagedTableError("The embeddings of one index have different widths.")
    pictures = pd.concat([part.pictures.astype(object) for part in some], ignore_index=True)
    return Store(pictures, torch.cat([part.embeddings for part in some]), parts[0].metadata)


def read_with_parts(path: Path) -> Store | None:
    """The store at ``path`` with the parts appended to it; None if there is neither. Its generation is the whole's."""
    for _ in range(_PATIENCE):
        before = _state(path)
        try:
            whole = Store.read(path) if before else None
            generation = whole.metadata.generation if whole else 0
            parts = [part for part in map(Store.read, part_paths(path)) if part.metadata.generation == generation + 1]
        except FileNotFoundError:  # another process has just compacted it
            continue
        if _state(path) == before:
            break
    else:
        raise DamagedTableError(f"{path} or its parts cannot be read while they change.")
    found = [*([whole] if whole else []), *parts]
    if not found:
        return None
    every = joined(found)
    every = replace(every, metadata=every.metadata.model_copy(update={"generation": generation}))
    return every.take(np.flatnonzero(~every.pictures["file"].duplicated(keep="last"))) if parts else every


def part_paths(path: Path) -> list[Path]:
    """The parts that lie beside a store, whether they still count or not, in their order."""
    return sorted(path.parent.glob(f"{path.stem}-{5 * '[0-9]'}{path.suffix}"))


def append(path: Path, part: Store) -> None:
    """Write a part of the store at ``path``; the part's metadata have the generation of the whole."""
    there = part_paths(path)
    number = int(there[-1].stem.rpartition("-")[2]) + 1 if there else 1
    _next(part).write(path.with_name(f"{path.stem}-{number:05d}{path.suffix}"))


def compact(path: Path, store: Store) -> None:
    """Write a whole store in the place of the one before and its parts."""
    _next(store).write(path)
    for part in part_paths(path):
        part.unlink(missing_ok=True)


def _next(store: Store) -> Store:
    about = store.metadata
    return replace(store, metadata=about.model_copy(update={"generation": about.generation + 1}))


def _state(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_ino, stat.st_mtime_ns


def _metadata(table: pa.Table) -> Metadata:
    metadata = parsed_json((table.schema.metadata or {}).get(_KEY, b"null"), Metadata)
    if metadata.format == 1:
        of_text = {key: escaped(value) for key, value in metadata if isinstance(value, str)}
        metadata = metadata.model_copy(update=of_text)
    if metadata.format not in (1, FORMAT_VERSION):
        raise ValueError(f"it has format {metadata.format}, and this morelli reads {FORMAT_VERSION}")
    return metadata


def _matrix(column: pa.ChunkedArray) -> Tensor:
    kind = column.type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32() or column.null_count:
        raise ValueError("its vectors are not lists of float32 of one length")
    rows = [from_dlpack(chunk.flatten()) for chunk in column.chunks if len(chunk)]  # without a copy
    flat = rows[0] if len(rows) == 1 else torch.cat([torch.empty(0), *rows])
    return flat.view(len(column), kind.list_size)
