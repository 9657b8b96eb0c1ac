"""Parquet as a source: a file, or a folder of shards as Hugging Face ``datasets`` writes them, with pictures inside."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from morelli._file_names import escaped
from morelli._json import parsed_json
from morelli.errors import MorelliError, first_line
from morelli.preparation.archives import File
from morelli.preparation.csv_columns import FIELDS, find_columns, folded_name
from morelli.preparation.listing import list_folder
from morelli.preparation.parquet_pictures import ParquetPictures
from morelli.preparation.picture_files import SUFFIXES as PICTURES
from morelli.preparation.source import Catalogue, Source, SourceOptions
from morelli.preparation.table import catalogue_of_rows, find_files, of_fields, said_of

SUFFIXES: Final = frozenset({".parquet", ".pq"})
_MOST_TEXT: Final = 1 << 30
"""Bytes of all columns but the pictures', unpacked, of one file."""


class ParquetSource(Source):
    """A Parquet file or a folder of them: pictures in a column of bytes or ``{bytes, path}``, or a column of paths."""

    name = "parquet"

    def recognises(self, path: Path, options: SourceOptions) -> bool:
        if path.is_file() or not any(chain(path.glob("*.parquet"), path.glob("*/*.parquet"))):
            return path.suffix.lower() in SUFFIXES
        found = {file.suffix for file in list_folder(path, options.out.resolve()).files}
        return bool(found & SUFFIXES) and not found & {*PICTURES, ".zip"}

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        shards = [File.at(path, escaped(path.name))] if path.is_file() else []
        shards = shards or [one for one in list_folder(path, options.out.resolve()).files if one.suffix in SUFFIXES]
        if not shards:
            raise MorelliError(f"{path} holds no Parquet files.")
        pictures = _picture_column(Path(shards[0].path), options.columns.get("path", ""))
        wanted = {**options.columns, "path": ""} if pictures else options.columns
        cells = pd.concat([_texts(shard) for shard in shards]).fillna("")
        if cells.empty:
            raise MorelliError(f"{path} has its columns but no rows. It needs one row a painting.")
        columns = find_columns(path, cells, wanted, ("artist",))
        if pictures:
            rows, files, said = _rows_of_pictures(shards, pictures, options.out)
            rows.index, columns = cells.index, {**columns, "picture": pictures}
        elif "path" in columns:
            rows, files, said = find_files(Path(shards[0].path), cells[columns["path"]], options.out, only_inside=True)
        else:
            raise MorelliError(
                f"{path} has neither a column of pictures (bytes, or bytes and path) nor one of paths; it has "
                f"{', '.join(map(str, cells))}. Say which it is with --path-column."
            )
        rows = rows.join(of_fields(cells, columns))
        return catalogue_of_rows("Parquet", path, rows, files, [said_of(columns), *said])


@contextmanager
def _opened(path: str | Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            yield opened
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise MorelliError(f"{path} is no whole Parquet file ({first_line(error)}). Get it again.") from error


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _bytes_of(field: pa.Field) -> str | None:
    """Where the bytes of pictures stand in a column: in it, or in its part ``bytes``; None if nowhere."""
    if pa.types.is_struct(field.type) and any(part.name == "bytes" and _is_binary(part.type) for part in field.type):
        return f"{field.name}.bytes"
    return field.name if _is_binary(field.type) else None


def _picture_column(shard: Path, wanted: str) -> str | None:
    """The column of pictures; None where there is none, or another one is wanted."""
    with _opened(shard) as opened:
        found = [field.name for field in opened.schema_arrow if _bytes_of(field)]
    if wanted:
        return next((name for name in found if folded_name(name) == folded_name(wanted)), None)
    found = [name for name in found if folded_name(name) in FIELDS["path"].split("|")] or found
    if len(found) > 1:
        choices = " or ".join(f'--path-column "{name}"' for name in found)
        raise MorelliError(f"{shard} has several columns that may be the pictures. Say which it is: {choices}")
    return next(iter(found), None)


def _texts(shard: File) -> pd.DataFrame:
    """All columns but nested ones and bytes, as text; class numbers as the names that the metadata has for them."""
    with _opened(shard.path) as opened:
        schema = opened.schema_arrow
        plain = [field.name for field in schema if not (pa.types.is_nested(field.type) or _is_binary(field.type))]
        if sum(one.total_uncompressed_size for one in _chunks(opened) if one.path_in_schema in plain) > _MOST_TEXT:
            raise MorelliError(f"{shard.path} holds more than {_MOST_TEXT:,} bytes besides its pictures. Divide it.")
        table = opened.read(columns=plain)
        names, texts = _class_names(schema), {}
        for column in plain:
            values = table[column]
            if told := names.get(column):
                texts[column] = [told.get(number, "") for number in values.to_pylist()]
            else:
                values = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
                texts[column] = [(text or "").strip() for text in values.cast(pa.string()).to_pylist()]
        return pd.DataFrame(texts, index=[f"{shard.name}, row {row}" for row in range(table.num_rows)], dtype=str)


def _chunks(opened: pq.ParquetFile) -> Iterator[Any]:
    """What the file says of each column of each row group."""
    for group in map(opened.metadata.row_group, range(opened.num_row_groups)):
        yield from map(group.column, range(group.num_columns))


def _class_names(schema: pa.Schema) -> dict[str, dict[int, str]]:
    """The names of classes that ``datasets`` writes into a table's metadata, by column and number."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        features = parsed_json((schema.metadata or {})[b"huggingface"], dict[str, Any])["info"]["features"]
        labels = {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
        return {name: dict(enumerate(map(str, names))) for name, names in labels.items()}
    return {}


def _rows_of_pictures(shards: list[File], column: str, out: Path) -> tuple[pd.DataFrame, dict[str, File], list[str]]:
    """As :func:`find_files`, for a column of pictures: named by the paths beside them if these tell them all apart.

    Where there are paths only, as ``datasets`` writes pictures that lie on its own disk, these are looked for.
    """
    found: list[tuple[str, File, tuple[str, int, int]]] = []
    given: list[str] = []
    are_inside = False
    for shard in shards:
        with _opened(shard.path) as opened:
            schema = opened.schema_arrow
            lengths = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
            if column not in schema.names or not (leaf := _bytes_of(schema.field(column))):
                raise MorelliError(f'{shard.path} has no column "{column}" of pictures, as {shards[0].path} has.')
            known = [one for one in _chunks(opened) if one.path_in_schema == leaf and one.statistics]
            are_inside |= sum(one.statistics.null_count or 0 for one in known) < sum(lengths)
            places = [(leaf, group, row) for group, length in enumerate(lengths) for row in range(length)]
            paths = opened.read(columns=[f"{column}.path"])[column].to_pylist() if leaf != column else places
        found += [(f"{shard.name}/{at:06}", shard, place) for at, place in enumerate(places)]
        given += [str((isinstance(one, dict) and one.get("path")) or "") for one in paths]
    if not are_inside:
        return find_files(Path(shards[0].path), pd.Series(given, name=column, dtype=str), out, only_inside=True)
    are_names = "" not in given and len({*given}) == len(given)
    files = {}
    for (name, shard, place), path in zip(found, given, strict=True):
        name, version = escaped(path if are_names else name), f"{shard.version} {place}"
        files[name] = File(name, shard.path, 0, version, entry=place, container=ParquetPictures)
    return pd.DataFrame({"file": list(files), "trouble": ""}, dtype=str), files, []
