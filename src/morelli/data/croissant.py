"""Croissant 1.0 metadata of a prepared folder: JSON-LD by which data sets are searched for and loaded."""

import hashlib
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from morelli.data.prepared import SCHEMA, TABLE, read_paintings

_TERMS: Final = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
_TYPES: Final = {pa.bool_(): "sc:Boolean", pa.int32(): "sc:Integer"}  # all others are text
_IMAGES: Final = {"fileSet": {"@id": "images"}}


def croissant(folder: Path) -> dict[str, Any]:
    """Describe a prepared folder: its table with its digest, its pictures, and each painting's fields.

    Raises:
        MorelliError: it is no prepared folder.
    """
    paintings = read_paintings(folder)
    table = {"encodingFormat": "application/x-parquet", "contentUrl": TABLE}
    table["sha256"] = hashlib.sha256((folder / TABLE).read_bytes()).hexdigest()
    images = {"encodingFormat": "image/jpeg", "includes": "images/*/*.jpg"}
    picture = {"dataType": "sc:ImageObject", "source": {**_IMAGES, "extract": {"fileProperty": "content"}}}
    fields = [_field(column) for column in SCHEMA if not pa.types.is_binary(column.type)]
    records = {"key": {"@id": "paintings/id"}, "field": [*fields, _named("Field", "paintings/image", picture)]}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": folder.resolve().name,
        "description": f"{len(paintings):,} paintings by {paintings['artist'].nunique():,} artists.",
        "distribution": [_named("FileObject", TABLE, table), _named("FileSet", "images", images)],
        "recordSet": [_named("RecordSet", "paintings", records)],
    }


def _field(column: pa.Field) -> dict[str, Any]:
    """A column of the table; pictures and rows are joined by the pictures' paths."""
    where: dict[str, Any] = {"source": {"fileObject": {"@id": TABLE}, "extract": {"column": column.name}}}
    if column.name == "file":  # mlcroissant compares paths with text only where they went through a pattern
        path = {**_IMAGES, "extract": {"fileProperty": "fullpath"}, "transform": {"regex": "(.*)"}}
        where = {"source": path, "references": where["source"]}
    return _named("Field", f"paintings/{column.name}", {"dataType": _TYPES.get(column.type, "sc:Text"), **where})


def _named(kind: str, id_: str, about: dict[str, Any]) -> dict[str, Any]:
    return {"@type": f"cr:{kind}", "@id": id_, "name": id_.removeprefix("paintings/"), **about}
