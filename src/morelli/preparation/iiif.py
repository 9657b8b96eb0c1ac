"""IIIF as a source: manifests and collections of Presentation API 2 and 3; pictures come through their Image API."""

import html
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import pandas as pd

from morelli._file_names import escaped
from morelli._json import parsed_json
from morelli._progress import progress_bar
from morelli.errors import MorelliError, first_line
from morelli.preparation.archives import File
from morelli.preparation.csv_columns import FIELDS, folded_name
from morelli.preparation.picture_files import HEAD_BYTES, stand_in
from morelli.preparation.source import Catalogue, Source, SourceOptions, left_out
from morelli.preparation.table import catalogue_of_rows
from morelli.preparation.web import AT_ONCE, MOST_BYTES, AnsweredError, Web, host_of

_SIGN: Final = b"iiif.io/api/presentation"
_HEAD: Final = 1 << 16
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
            return _SIGN in stream.read(_HEAD)

    def read(self, path: Path, options: SourceOptions) -> Catalogue:
        place = options.address or str(path)
        if options.address:
            with closing(Web(" ".join([host_of(place), *options.allow_hosts]))) as web:
                document = _parsed(web.get(place), place)
        elif path.stat().st_size > MOST_BYTES:
            raise MorelliError(f"{path} holds {path.stat().st_size:,} bytes; a manifest may have {MOST_BYTES:,}.")
        else:
            document = _parsed(path.read_bytes(), place)
        hosts = [host_of(options.address or _id(document)), *options.allow_hosts]
        with closing(Web(" ".join(hosts))) as web:
            found = _Reading(web, options, hosts)
            found.read(document, place)
        return found.catalogue(place)


class _Reading:
    """Goes through collections and manifests, and collects their canvases as the rows of a table."""

    def __init__(self, web: Web, options: SourceOptions, hosts: Iterable[str]) -> None:
        self._web, self._size, self._hosts = web, options.size, tuple(filter(None, hosts))
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
        """Read a document and what it leads to."""
        seen, level = {_id(document)}, iter([(place, document)])
        for _ in range(_DEEPEST):
            members: list[str] = []
            for address, one in level:
                if isinstance(one, str):
                    self._left.append((address, f"cannot be read ({one})"))
                elif "Manifest" in _type(one):
                    self._read_manifest(one, address)
                else:
                    listed = list(filter(None, _members(one)))
                    members += [member for member in dict.fromkeys(listed) if member not in seen]
                    self._again += len(listed) - len({*listed} - seen)
                    seen.update(listed)
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
        canvases = [one for one in _each(manifest.get("items")) if "Canvas" in _type(one)]
        canvases += [one for part in _each(manifest.get("sequences")) for one in _each(part.get("canvases"))]
        for number, canvas in enumerate(canvases, 1):
            resource = next(_images(canvas), None)
            if resource is None or not (picture := _picture(resource, canvas, self._size)):
                self._left.append((f"{place}, canvas {number}", "no picture on the canvas"))
                continue
            told = self._told(manifest) | self._told(canvas)
            label = _text(canvas.get("label")) if len(canvases) > 1 else ""
            told.setdefault("title", label or _text(manifest.get("label")))
            address = picture.service or picture.address
            host, name = host_of(address), escaped(address.partition("://")[2])
            told["trouble"] = "" if host in self._hosts else f"on another host; if you trust it: --allow-host {host}"
            self._rows[f"{place}, canvas {number}"] = {"file": name, "artist": "", **told}
            width, height = _sides(resource)
            self._files[name] = File(
                name,
                " ".join(self._hosts),
                0,
                f"{picture.address} {width}x{height}",
                entry=picture,
                container=Pictures,
                side=min(width, height),
            )

    def _told(self, one: dict[str, Any]) -> dict[str, str]:
        """What the metadata of a manifest or canvas say of a painting, by field."""
        found: dict[str, tuple[int, str, str]] = {}
        for entry in _each(one.get("metadata")):
            for _, label in _texts(entry.get("label")):
                rank, field = self._names.get(folded_name(label), (0, ""))
                self._labels[field][label] += 1
                if (value := _text(entry.get("value"))) and (field not in found or rank < found[field][0]):
                    found[field] = rank, label, value
        return {field: value for field, (_, _, value) in found.items() if field not in ("", "path")}

    def catalogue(self, place: str) -> Catalogue:
        left = pd.DataFrame(self._left, columns=["file", "reason"], dtype=str).assign(artist="")
        if not self._rows:
            why = "".join(f"\n  {file}: {reason}" for file, reason in self._left[:_SHOWN])
            raise MorelliError(f"{place} has no pictures.{why}")
        rows = pd.DataFrame.from_dict(self._rows, orient="index").fillna("")
        if (rows["artist"] == "").all():
            labels = ", ".join(f'"{label}"' for label, _ in self._labels[""].most_common(_SHOWN)) or "none"
            raise MorelliError(
                f"{place}: no artist is named. The labels of its metadata are: {labels}. Say which of them names the "
                "artist with --artist-column."
            )
        said = [
            f"{field} from " + ", ".join(f'"{label}"' for label, _ in self._labels[field].most_common(3))
            for field in FIELDS
            if field in self._labels and field != "path"
        ]
        understood = [
            f"IIIF: {self._manifests:,} manifests with {len(rows):,} pictures.",
            f"Labels: {'; '.join(said)} (if that is wrong: --artist-column, …).",
        ]
        if self._again:
            understood.append(f"Read once: {self._again:,} manifests or collections that are listed again.")
        catalogue = catalogue_of_rows("IIIF", place, rows, self._files, understood)
        both = pd.concat([catalogue.left_out, left_out(left)], ignore_index=True)
        return replace(catalogue, left_out=both, at_once=AT_ONCE)


class Picture(NamedTuple):
    """A picture on a server.

    Attributes:
        address: where it lies in the size that is needed; empty where only the server's ``info.json`` tells sizes.
        service: address of its Image API; empty if it has none.
        side: pixels that its shorter side must have.
    """

    address: str
    service: str
    side: int


class Pictures(Web):
    """The pictures of some hosts, as originals."""

    def open(self, picture: Picture) -> IO[bytes]:
        """Fetch a picture; where its manifest was wrong about its size, in one that the server offers."""
        try:
            if picture.address:
                return io.BytesIO(self.get(picture.address))
        except AnsweredError:
            if not picture.service:
                raise
        place = f"{picture.service}/info.json"
        try:
            info = parsed_json(self.get(place), dict[str, Any])
        except ValueError as error:
            raise AnsweredError(f"{place} is no JSON") from error
        if not min(_sides(info)):
            raise AnsweredError(f"{place} tells no size")
        return io.BytesIO(self.get(_address(picture.service, info, _sides(info), picture.side)))


def _picture(resource: dict[str, Any], canvas: dict[str, Any], side: int) -> Picture | None:
    """Where to fetch a picture, by what the manifest says of it."""
    services = (one for one in _each(resource.get("service")) if re.search(r"ImageService[23]|/image/[23]", str(one)))
    service = next(services, {})
    base = _id(service).rstrip("/")
    if not base:
        return Picture(_id(resource), "", side) if _id(resource) else None
    said = next((sides for one in (resource, service, canvas) if min(sides := _sides(one))), (0, 0))
    is_fixed = "level0" in str(service.get("profile"))
    return Picture("" if is_fixed or not min(said) else _address(base, service, said, side), base, side)


def _address(base: str, about: Mapping[str, Any], sides: tuple[int, int], side: int) -> str:
    """A picture at the size that is needed; ``about``: what ``info.json`` or the manifest says of its service."""
    is_3 = bool(re.search(r"ImageService3|/image/3", str({**about, "service": ""})))
    offered = sorted(sides for one in _each(about.get("sizes")) if min(sides := _sides(one)) >= side)
    width, height = sides
    size = "max" if is_3 else "full"
    if min(sides) > side and "level0" not in str(about.get("profile")):
        size = f"{math.ceil(width * side / min(sides))},"
    elif min(sides) > side and offered:
        width, height = offered[0]
        size = f"{width},{height}" if is_3 else f"{width},"
    return f"{base}/full/{size}/0/default.jpg"


def _images(canvas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pictures that are painted onto a canvas."""
    annotations = [one for page in _each(canvas.get("items")) for one in _each(page.get("items"))]
    bodies = [
        body for one in annotations if "painting" in str(one.get("motivation")) for body in _each(one.get("body"))
    ]
    for body in [*bodies, *(body for one in _each(canvas.get("images")) for body in _each(one.get("resource")))]:
        resource = body
        while inner := next(
            (_each(resource.get(key)) for key in ("default", "items", "source") if resource.get(key)), None
        ):
            resource = inner[0]  # of several to choose from, the first
        if "Image" in (_type(resource) or "Image"):
            yield resource


def _members(collection: dict[str, Any]) -> Iterator[str]:
    """The addresses of the manifests and collections in a collection, and of its next page."""
    for key in ("items", "members", "collections", "manifests"):
        yield from (_id(one) for one in _each(collection.get(key)))
    yield from (one if isinstance(one := collection.get(key), str) else "" for key in ("first", "next"))


def _parsed(content: bytes, place: str) -> dict[str, Any]:
    if instead := stand_in(content[:HEAD_BYTES]):
        raise MorelliError(f"{place} is {instead}: it should be a IIIF manifest or collection, in JSON.")
    try:
        document = parsed_json(content, dict[str, Any])
    except ValueError as error:
        raise MorelliError(f"{place} is no IIIF manifest, or a damaged one ({first_line(error)}).") from error
    if not re.fullmatch(r"(sc:)?(Manifest|Collection)", _type(document)):
        raise MorelliError(f'{place} is no IIIF manifest or collection (its type is "{_type(document)}").')
    return document


def _each(value: Any) -> list[dict[str, Any]]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _first_text(one: Mapping[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := one.get(key), str)), "")


def _id(one: Mapping[str, Any]) -> str:
    return _first_text(one, "id", "@id")


def _type(one: Mapping[str, Any]) -> str:
    return _first_text(one, "type", "@type")


def _sides(one: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels, 0 where they are not told."""
    width, height = (side if isinstance(side := one.get(key), int) and side > 0 else 0 for key in ("width", "height"))
    return width, height


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Language and text of each text in a label or value, as either version of the API writes them."""
    if isinstance(value, str | int | float):
        text = " ".join(html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", " ", str(value))).split())
        yield "", text
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict) and "@value" in value:
        yield from ((str(value.get("@language", "")), text) for _, text in _texts(value["@value"]))
    elif isinstance(value, dict):
        yield from ((language, text) for language, inner in value.items() for _, text in _texts(inner))


def _text(value: Any) -> str:
    """What a label or value says in English, else in no language, else in the first one."""
    found = [(language, text) for language, text in _texts(value) if text]
    languages = [language for language, _ in found]
    chosen = next((one for one in _LANGUAGES if one in languages), next(iter(languages), ""))
    return "; ".join(dict.fromkeys(text for language, text in found if language == chosen))
