"""IIIF as a source: manifests and collections of Presentation API 2 and 3; pictures come through their Image API."""

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from morelli._file_names import escaped
from morelli._json import parsed_json
from morelli._progress import progress_bar
from morelli.errors import MorelliError, first_line
from morelli.preparation.archives import File
from morelli.preparation.csv_columns import FIELDS, folded_name
from morelli.preparation.iiif_images import Pictures, each, id_of, picture_of, type_of
from morelli.preparation.picture_files import HEAD_BYTES, stand_in
from morelli.preparation.source import Catalogue, Source, SourceOptions, left_out
from morelli.preparation.table import catalogue_of_rows
from morelli.preparation.web import AT_ONCE, MOST_BYTES, Web, host_of

_SIGN: Final = b"iiif.io/api/presentation"
_DEEPEST: Final = 20
"""Collections within collections."""
_LANGUAGES: Final = ("en", "none", "@none", "")
_SHOWN: Final = 12


class IIIFSource(Source):
    """A manifest or a collection, a file or an address in the web; each canvas is a painting."""

    name = "iiif"

    def recognises(self, path: Path, options: SourceOptions) -> bool:
        if options.address or path.suffix.lower() != ".json":
            return bool(options.address)
        with path.open("rb") as stream:
            return _SIGN in stream.read(1 << 16)

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        place = options.address or str(path)
        if not options.address and path.stat().st_size > MOST_BYTES:
            raise MorelliError(f"{path} has {path.stat().st_size:,} bytes; a manifest may have {MOST_BYTES:,}.")
        with closing(Web([host_of(place), *options.allow_hosts])) as web:
            document = _parsed(web.get(place) if options.address else path.read_bytes(), place)
        with closing(Web([host_of(options.address or id_of(document)), *options.allow_hosts])) as web:
            reading = _Reading(web, options)
            reading.read(document, place)
            return reading.catalogue(place)


class _Reading:
    """Goes through collections and manifests, and collects their canvases as the rows of a table."""

    def __init__(self, web: Web, options: SourceOptions) -> None:
        self._web, self._size = web, options.size
        self._names = {
            folded_name(name): (rank, field)
            for field, names in FIELDS.items()
            for rank, name in enumerate([options.columns[field]] if field in options.columns else names.split("|"))
        }
        self._rows: dict[str, dict[str, str]] = {}
        self._files: dict[str, File] = {}
        self._left: list[tuple[str, str]] = []
        self._labels: dict[str, Counter[str]] = defaultdict(Counter)
        self._manifests = self._again = 0

    def read(self, document: dict[str, Any], place: str) -> None:
        """Read a document and all that it leads to, level by level."""
        seen, level = {id_of(document)}, iter([(place, document)])
        for _ in range(_DEEPEST):
            members: list[str] = []
            for address, one in level:
                if isinstance(one, str):
                    self._left.append((address, f"cannot be read ({one})"))
                elif "Manifest" in type_of(one):
                    self._read_manifest(one, address)
                else:
                    listed = list(_members(one))
                    new = set(listed) - seen
                    members += [member for member in dict.fromkeys(listed) if member in new]
                    self._again += len(listed) - len(new)
                    seen |= new
            if not members:
                return
            level = self._fetched(members)
        self._left += [(member, f"more than {_DEEPEST} collections deep") for member in members]

    def _fetched(self, addresses: list[str]) -> Iterator[tuple[str, Any]]:
        """Each document, or the reason why it cannot be read; a few at a time."""
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            with progress_bar() as progress:
                found = zip(addresses, pool.map(self._document, addresses), strict=True)
                yield from progress.track(found, total=len(addresses), description="Reading manifests")
        finally:
            pool.shutdown(cancel_futures=True)

    def _document(self, address: str) -> dict[str, Any] | str:
        try:
            return _parsed(self._web.get(address), address)
        except (MorelliError, OSError) as error:
            return str(error)

    def _read_manifest(self, manifest: dict[str, Any], place: str) -> None:
        self._manifests += 1
        canvases = [one for one in each(manifest, "items") if "Canvas" in type_of(one)]
        canvases += [one for part in each(manifest, "sequences") for one in each(part, "canvases")]
        for number, canvas in enumerate(canvases, 1):
            where = f"{place}, canvas {number}"
            picture = next((picture_of(one, canvas, self._size) for one in _images(canvas)), None)
            if picture is None:
                self._left.append((where, "no picture on the canvas"))
                continue
            host = host_of(address := picture.service or picture.address)
            name = escaped(re.sub("^https?://", "", address))
            label = (_text(canvas.get("label")) if len(canvases) > 1 else "") or _text(manifest.get("label"))
            trouble = f"on another host; if you trust it: --allow-host {host}" if host else "no address in the web"
            told = {"artist": "", "title": label} | self._told(manifest) | self._told(canvas)
            self._rows[where] = {**told, "file": name, "trouble": "" if host in self._web.hosts else trouble}
            self._files[name] = File(
                *(name, " ".join(self._web.hosts), 0, f"{picture.address} {picture.said}"),
                entry=picture,
                container=Pictures,
                side=min(picture.said),
            )

    def _told(self, one: dict[str, Any]) -> dict[str, str]:
        """What the metadata of a manifest or canvas say of a painting, by field."""
        found: dict[str, tuple[int, str]] = {}
        for entry in each(one, "metadata"):
            for label in filter(None, (text for _, text in _texts(entry.get("label")))):
                rank, field = self._names.get(folded_name(label), (0, ""))
                self._labels[field][f'"{label}"'] += 1
                value = _text(entry.get("value"))
                if field == "artist":
                    value = value.partition("\n")[0]  # nationality and dates follow
                if value and (field not in found or rank < found[field][0]):
                    found[field] = rank, value
        return {field: " ".join(value.split()) for field, (_, value) in found.items() if field not in ("", "path")}

    def catalogue(self, place: str) -> Catalogue:
        """What was found."""
        if not self._rows:
            raise MorelliError("\n  ".join([f"{place} has no pictures.", *map(": ".join, self._left[:_SHOWN])]))
        labels = {
            field: ", ".join(label for label, _ in one.most_common(_SHOWN)) for field, one in self._labels.items()
        }
        rows = pd.DataFrame.from_dict(self._rows, orient="index").fillna("")
        if not any(rows["artist"]):
            raise MorelliError(
                f"{place}: no artist is named. The labels of its metadata are: {labels.get('', 'none')}. Say which of "
                "them names the artist with --artist-column."
            )
        said = "; ".join(f"{field} from {labels[field]}" for field in FIELDS if field in labels and field != "path")
        understood = [
            f"IIIF: {self._manifests:,} manifests with {len(rows):,} pictures.",
            f"Labels: {said} (if that is wrong: --artist-column, …).",
        ]
        if self._again:
            understood.append(f"Read once: {self._again:,} manifests or collections that are listed again.")
        catalogue = catalogue_of_rows("IIIF", place, rows, self._files, understood)
        left = left_out(pd.DataFrame(self._left, columns=["file", "reason"], dtype=str).assign(artist=""))
        return replace(catalogue, left_out=pd.concat([catalogue.left_out, left], ignore_index=True), at_once=AT_ONCE)


def _images(canvas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pictures that are painted onto a canvas."""
    annotations = [one for page in each(canvas, "items") for one in each(page, "items")]
    bodies = [body for one in annotations if "painting" in str(one.get("motivation")) for body in each(one, "body")]
    for one in [*bodies, *(body for image in each(canvas, "images") for body in each(image, "resource"))]:
        resource = one
        while inner := each(resource, "default") or each(resource, "items") or each(resource, "source"):
            resource = inner[0]  # of several to choose from, the first
        if "Image" in (type_of(resource) or "Image") and id_of(resource):
            yield resource


def _members(collection: dict[str, Any]) -> Iterator[str]:
    """The addresses of the manifests and collections in a collection, and of its next page."""
    for key in ("items", "members", "collections", "manifests"):
        yield from filter(None, map(id_of, each(collection, key)))
    yield from (page for key in ("first", "next") if isinstance(page := collection.get(key), str))


def _parsed(content: bytes, place: str) -> dict[str, Any]:
    if instead := stand_in(content[:HEAD_BYTES]):
        raise MorelliError(f"{place} is {instead}: it should be a IIIF manifest or collection, in JSON.")
    try:
        document = parsed_json(content, dict[str, Any])
    except ValueError as error:
        raise MorelliError(f"{place} is no IIIF manifest, or a damaged one ({first_line(error)}).") from error
    if not re.fullmatch(r"(sc:)?(Manifest|Collection)", type_of(document)):
        raise MorelliError(f'{place} is no IIIF manifest or collection (its type is "{type_of(document)}").')
    return document


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Language and text of each text in a label or value, as either version of the API writes them."""
    if isinstance(value, str | int | float):
        text = html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", " ", re.sub(r"<(br|/p)\b[^<>]*>", "\n", str(value))))
        yield "", "\n".join(filter(None, (" ".join(line.split()) for line in text.splitlines())))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        by_language = {value.get("@language", ""): value["@value"]} if "@value" in value else value
        yield from ((str(language), text) for language, inner in by_language.items() for _, text in _texts(inner))


def _text(value: Any) -> str:
    """What a label or value says in English, else in no language, else in the first one."""
    found = [(language, text) for language, text in _texts(value) if text]
    languages = [language for language, _ in found]
    chosen = next((one for one in _LANGUAGES if one in languages), next(iter(languages), ""))
    return "; ".join(dict.fromkeys(text for language, text in found if language == chosen))
