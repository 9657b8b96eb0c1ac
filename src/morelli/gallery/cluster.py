"""Indexing on a Ray cluster: a folder, Parquet files or a bucket, embedded by one network on each worker."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyarrow import fs

from morelli._file_names import escaped, unescaped
from morelli._progress import progress_bar
from morelli.errors import MorelliError, first_line
from morelli.gallery.batch_inference import PICTURE_COLUMNS, EmbedPictures
from morelli.gallery.index import FolderListing
from morelli.gallery.listing import IndexSummary, Listing
from morelli.gallery.pictures import PictureInfo
from morelli.gallery.reader import ReadBatch, Reader
from morelli.gallery.store import SCHEMA
from morelli.preparation.picture_files import SUFFIXES

_PARQUET: Final = (".parquet", ".pq")
_ANSWER_SECONDS: Final = 6
_BATCH: Final = 32
_LARGEST_BLOCK: Final = 512
_MEASURED: Final = [name for name in SCHEMA.names if name not in ("artist", "copy_of")]


class RayListing(Listing):
    """Pictures that are embedded by the workers of a Ray cluster, each of which must be able to read them.

    Args:
        address: of the cluster, ``host:port``; or ``local`` to use this machine.
        model: as of :class:`~morelli.EmbedPictures`.
        reader: of the same network here.
    """

    def __init__(self, address: str, model: str | Path, reader: Reader) -> None:
        self.address, self.model, self.fingerprint = address, str(model), reader.fingerprint
        self.here = FolderListing(reader)
        self.versions: dict[str, list[int]] = {}

    def listed(self, folder: Path, out: Path) -> tuple[list[str], IndexSummary]:
        """A folder of pictures as plain ``index`` lists it; else the rows of Parquet files, or a bucket's pictures."""
        _connect(self.address)  # before the work, so that a slip in the address is told at once
        place = address_of(folder)
        if "://" not in place and folder.is_dir() and not any(folder.rglob("*.parquet")):
            return self.here.listed(folder, out)
        try:
            system, root = filesystem(place)
            found = system.get_file_info(root)
            infos = [found] if found.is_file else system.get_file_info(fs.FileSelector(root, recursive=True))
            infos = sorted((one for one in infos if one.is_file), key=lambda one: one.path)
            shards = [one for one in infos if one.extension.lower() in (suffix[1:] for suffix in _PARQUET)]
            for info in shards or infos:
                name = escaped(info.base_name if found.is_file else os.path.relpath(info.path, root))
                if shards:
                    with system.open_input_file(info.path) as file:
                        names = [f"{name}#{row}" for row in range(pq.ParquetFile(file).metadata.num_rows)]
                else:
                    names = [name] if PurePosixPath(name).suffix.lower() in SUFFIXES else []
                self.versions |= {one: [info.size, info.mtime_ns or 0] for one in names}
        except (OSError, ValueError, pa.ArrowException) as error:
            raise MorelliError(f"{place} cannot be read: {first_line(error)}.") from error
        if not self.versions:
            raise MorelliError(f"{place} holds neither Parquet files nor pictures.")
        return list(self.versions), IndexSummary(out, other_files=len(infos) - len(shards or self.versions))

    def version(self, folder: Path, file: str) -> list[int]:
        """As of plain ``index``; of a row it is that of its Parquet file."""
        return self.versions[file] if self.versions else self.here.version(folder, file)

    def read(self, folder: Path, files: Sequence[str], what: str) -> Iterator[ReadBatch]:
        """Embed pictures on all workers, in their order; a worker that dies is replaced, and its batch done again."""
        import ray

        gpus = int(ray.cluster_resources().get("GPU", 0))
        workers = gpus or max(1, int(ray.cluster_resources().get("CPU", 1)))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        block = min(_LARGEST_BLOCK, max(_BATCH, len(files) // (8 * workers)))
        slices = [pa.table({"file": files[start : start + block]}) for start in range(0, len(files), block)]
        embedded = ray.data.from_arrow(slices).map_batches(
            _EmbedFiles,
            fn_constructor_args=(self.model, len(files), self.fingerprint, address_of(folder)),
            batch_size=_BATCH,
            compute=ray.data.ActorPoolStrategy(min_size=min(workers, len(slices)), max_size=workers),
            **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
        )
        try:
            with progress_bar() as progress:
                task = progress.add_task(what, total=len(files))
                for table in embedded.iter_batches(batch_size=None, batch_format="pyarrow"):
                    yield self._batch(table)
                    progress.advance(task, len(table))
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise MorelliError(f"The workers of {self.address} cannot go on: {first_line(cause)}") from error

    def _batch(self, table: pa.Table) -> ReadBatch:
        used = table.filter(table["vector"].is_valid())
        rows = [list(column) for column in zip(*used.select(_MEASURED).to_pydict().values(), strict=True)]
        infos = [
            PictureInfo(file, width, height, sha, look, *length) for file, *length, width, height, sha, look in rows
        ]
        if self.versions:
            infos = [
                replace(one, length=self.versions[one.name][0], mtime_ns=self.versions[one.name][1]) for one in infos
            ]
        bad = table.filter(table["vector"].is_null())
        left_out = list(zip(bad["file"].to_pylist(), bad["left_out"].to_pylist(), strict=True))
        vectors = used["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        return ReadBatch(
            infos, torch.from_numpy(vectors).view(len(infos), -1) if infos else torch.empty(0, 0), left_out
        )


class _EmbedFiles(EmbedPictures):
    """What a worker does: reads files, a bucket's objects or a Parquet file's rows by their names, and embeds them."""

    def __init__(self, model: str, expected: int, fingerprint: str, place: str) -> None:
        super().__init__(model, "picture", expected=expected)
        self.place = place
        if self.reader.fingerprint != fingerprint:
            raise MorelliError(f"{model} is another network on a worker than here.")
        self._group: tuple[Any, ...] = (None, None)

    @cached_property
    def _files(self) -> tuple[Any, str]:
        return filesystem(self.place)

    def __call__(self, batch: Any) -> Any:
        pictures = [self._picture(str(file)) for file in batch["file"]]
        found = super().__call__({"picture": pictures})
        del found["picture"]
        return {"file": batch["file"], **found}

    def _picture(self, file: str) -> Any:
        name, _, row = unescaped(file).rpartition("#")
        if "://" not in self.place and PurePosixPath(name).suffix.lower() not in _PARQUET:
            return str(Path(self.place) / unescaped(file))
        system, root = self._files
        try:
            if PurePosixPath(name).suffix.lower() in _PARQUET:
                return self._row(system, root if root.endswith(f"/{name}") else f"{root}/{name}", int(row))
            with system.open_input_stream(f"{root}/{unescaped(file)}") as stream:
                return stream.read()
        except (OSError, pa.ArrowException) as error:
            return OSError(first_line(error))

    def _row(self, system: Any, path: str, row: int) -> Any:
        """A row's picture; its row group is kept, as the next rows are of it, too."""
        key, first, values = self._group if len(self._group) == 3 else (None, 0, [])
        if key != path or not first <= row < first + len(values):
            with system.open_input_file(path) as file:
                opened = pq.ParquetFile(file)
                first, group = 0, 0
                while row >= first + opened.metadata.row_group(group).num_rows:
                    first, group = first + opened.metadata.row_group(group).num_rows, group + 1
                column = picture_column(opened.schema_arrow)
                values = opened.read_row_group(group, columns=[column])[column].to_pylist()
            self._group = path, first, values
        return values[row - first]


def picture_column(schema: pa.Schema) -> str:
    """The column of a Parquet file that holds pictures: of bytes, else one with a usual name."""
    inside = [one.name for one in schema if pa.types.is_struct(one.type) or pa.types.is_binary(one.type)]
    usual = [name for name in PICTURE_COLUMNS if name in schema.names]
    for found in ([name for name in usual if name in inside], inside if len(inside) == 1 else [], usual):
        if found:
            return found[0]
    raise MorelliError(
        f"No column {' or '.join(PICTURE_COLUMNS)} holds pictures; there are: {', '.join(schema.names)}."
    )


def address_of(place: Path) -> str:
    """A bucket's address as it was typed; a path has lost one of its slashes."""
    scheme = re.match(r"(\w{2,}):/(?=[^/])", place.as_posix())
    return f"{scheme[1]}://{'/' * (scheme[1] == 'file')}{place.as_posix()[scheme.end() :]}" if scheme else str(place)


def filesystem(place: str) -> tuple[Any, str]:
    """Where a place lies, and its path there: a local one, or ``s3://``, ``gs://`` and so on, as pyarrow reads them."""
    system, root = fs.FileSystem.from_uri(place if "://" in place else Path(place).absolute().as_uri())
    return system, root.rstrip("/")


def _connect(address: str) -> None:
    """Join a Ray cluster, or start one on this machine; said within ten seconds if none answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MorelliError("--ray needs Ray. Install it with: pip install 'morelli[ray]'") from error
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address == "local":
        ray.init("local", include_dashboard=False, **quiet)
        return
    if not _answers(address):
        raise MorelliError(
            f"No Ray cluster answers at {address}. Give the HOST:PORT that `ray start --head` printed, or --ray local."
        )
    ray.init(address, **quiet)


def _answers(address: str) -> bool:
    found = re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address)
    if not found:
        return False
    try:
        socket.create_connection((found[1], int(found[2])), timeout=_ANSWER_SECONDS / 2).close()
        check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", f"{found[1]}:{found[2]}"]
        return (
            address.startswith("ray://")
            or not subprocess.run(check, timeout=_ANSWER_SECONDS, capture_output=True, check=False).returncode
        )
    except (OSError, OverflowError, subprocess.TimeoutExpired):
        return False
