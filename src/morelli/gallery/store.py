"""Store: a table of pictures and their embeddings on disk, always of one moment.

``<name>.parquet`` has a row a picture, and in its metadata what holds for all and the name of the file with the
embeddings. The table is moved into place last, so a reader never meets rows of one moment and embeddings of another.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from morelli._files import written_whole
from morelli.errors import MorelliError

FORMAT_VERSION: Final = 1
SCHEMA: Final = pa.schema(
    [
        ("file", pa.string()),  # relative to the folder, forward slashes
        ("artist", pa.string()),  # null in an index of pictures
        ("copy_of", pa.string()),  # the first file of the group of copies that it is in; null if it is in none
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("width", pa.int32()),  # as the network saw it
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("look", pa.binary()),  # the perceptual hash
    ]
)
_KEY: Final = b"morelli_pictures"


@dataclass(frozen=True)
class Store:
    """Pictures with their embeddings.

    Attributes:
        pictures: N rows, the columns of :data:`SCHEMA`.
        embeddings: (N, D) float32.
        metadata: what holds for all of them, such as the model's fingerprint.
    """

    pictures: pd.DataFrame
    embeddings: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, name: str) -> None:
        """Write both files; a reader meets the old ones or the new ones."""
        file = f"{name}-{uuid4().hex[:12]}.safetensors"
        with written_whole(folder / file) as temporary:
            save_file({"embeddings": self.embeddings.contiguous()}, temporary)
        metadata = json.dumps({**self.metadata, "format": FORMAT_VERSION, "embeddings": file})
        table = pa.Table.from_pandas(self.pictures, schema=SCHEMA, preserve_index=False)
        with written_whole(folder / f"{name}.parquet") as temporary:
            pq.write_table(table.replace_schema_metadata({_KEY: metadata.encode()}), temporary)
        for other in folder.glob(f"{name}-*.safetensors"):
            if other.name != file:
                other.unlink(missing_ok=True)

    @classmethod
    def read(cls, folder: Path, name: str) -> "Store":
        """Read back what :meth:`write` wrote, if it is whole, of this format and belongs together."""
        path = folder / f"{name}.parquet"
        again = f"Delete {folder} and make it again."
        try:
            table = pq.read_table(path)
            metadata = json.loads((table.schema.metadata or {})[_KEY])
            if metadata["format"] != FORMAT_VERSION:
                raise MorelliError(
                    f"{path} has format {metadata['format']}; this morelli reads {FORMAT_VERSION}. {again}"
                )
            embeddings = load_file(folder / Path(metadata["embeddings"]).name)["embeddings"]
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException, SafetensorError) as error:
            raise MorelliError(f"{path} is damaged ({error}). {again}") from error
        if len(embeddings) != table.num_rows or table.schema.names != SCHEMA.names:
            raise MorelliError(f"{path} and {metadata['embeddings']} do not fit. {again}")
        return cls(table.to_pandas(), embeddings, metadata)

    @classmethod
    def empty(cls, metadata: dict[str, Any]) -> "Store":
        return cls(SCHEMA.empty_table().to_pandas(), torch.empty(0, 0), metadata)

    def take(self, places: Sequence[int]) -> "Store":
        """The pictures at these places, in their order."""
        places = list(places)
        return Store(self.pictures.iloc[places].reset_index(drop=True), self.embeddings[places], self.metadata)


def joined(parts: Sequence[Store]) -> Store:
    """All parts' pictures one after the other, with the metadata of the first."""
    some = [part for part in parts if not part.pictures.empty]
    if not some:
        return parts[0]
    pictures = pd.concat([part.pictures.astype(object) for part in some], ignore_index=True)
    return Store(pictures, torch.cat([part.embeddings for part in some]), parts[0].metadata)
