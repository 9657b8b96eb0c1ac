"""A local server that speaks IIIF: Presentation API 2 and 3, and Image API 2 and 3 at levels 0 and 2."""

import io
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from local_server import LocalServer

FIXED = 2
"""At level 0, pictures are there whole and at 1 / FIXED of their size."""


class IIIFServer(LocalServer):
    """Pictures and documents on 127.0.0.1.

    Attributes:
        pictures: name → file. ``/image2/NAME``, ``/image3/NAME`` and ``/fixed3/NAME`` (level 0) are its image services.
        documents: path → what it answers: JSON, bytes, or the address that it redirects to.
        failures: path or its beginning → statuses that it answers first, each once.
        requests: every path that was asked for, and when.
        most_at_once: how many pictures were asked for at a time.
    """

    def __init__(self, pictures: dict[str, Path] | None = None) -> None:
        self.pictures = pictures or {}
        self.documents: dict[str, Any] = {}
        self.failures: dict[str, list[int]] = {}
        self.requests: list[tuple[str, float]] = []
        self.at_once = self.most_at_once = 0

    def _listening(self) -> ThreadingHTTPServer:
        return ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"iiif": self}))

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def asked(self, part: str) -> list[str]:
        """The paths with this in them that were asked for."""
        return [path for path, _ in self.requests if part in path]

    def size_of(self, name: str) -> tuple[int, int]:
        with Image.open(self.pictures[name]) as image:
            return image.size

    def service(self, name: str, kind: str = "image3") -> dict[str, Any]:
        level = 0 if kind == "fixed3" else 2
        if kind == "image2":
            context = "http://iiif.io/api/image/2/context.json"
            profile = f"http://iiif.io/api/image/2/level{level}.json"
            return {"@context": context, "@id": f"{self.url}/{kind}/{name}", "profile": profile}
        return {"id": f"{self.url}/{kind}/{name}", "type": "ImageService3", "profile": f"level{level}"}

    def info(self, name: str, kind: str) -> dict[str, Any]:
        width, height = self.size_of(name)
        sizes = [{"width": width // FIXED, "height": height // FIXED}, {"width": width, "height": height}]
        context = f"http://iiif.io/api/image/{kind[-1]}/context.json"
        return {"@context": context, **self.service(name, kind), "width": width, "height": height, "sizes": sizes}

    def canvas(self, name: str, version: int, kind: str = "", size: tuple[int, int] | None = None) -> dict[str, Any]:
        """A canvas with one picture, said to be of this ``size``."""
        width, height = size or self.size_of(name)
        about = {"width": width, "height": height}
        service = [self.service(name, kind or f"image{version}")]
        if version == 2:
            resource = {"@id": f"{self.url}/x", "@type": "dctypes:Image", **about, "service": service[0]}
            return {"@id": f"{self.url}/c/{name}", "@type": "sc:Canvas", **about, "images": [{"resource": resource}]}
        body = {"id": f"{self.url}/x", "type": "Image", **about, "service": service}
        annotation = {"type": "Annotation", "motivation": "painting", "body": body}
        page = {"type": "AnnotationPage", "items": [annotation]}
        return {"id": f"{self.url}/c/{name}", "type": "Canvas", **about, "items": [page]}

    def manifest(
        self, path: str, version: int, canvases: list[dict[str, Any]], label: str, metadata: dict[Any, Any]
    ) -> dict[str, Any]:
        """Serve a manifest at ``path``; labels of ``metadata`` are texts, or pairs of language and text."""
        context = f"http://iiif.io/api/presentation/{version}/context.json"
        about: dict[str, Any] = {"@context": context}
        if version == 2:
            about |= {"@id": f"{self.url}{path}", "@type": "sc:Manifest", "label": label}
            about["metadata"] = [{"label": _label2(key), "value": value} for key, value in metadata.items()]
            about["sequences"] = [{"@type": "sc:Sequence", "canvases": canvases}]
        else:
            about |= {"id": f"{self.url}{path}", "type": "Manifest", "label": {"none": [label]}, "items": canvases}
            about["metadata"] = [{"label": _label3(key), "value": _value3(value)} for key, value in metadata.items()]
        self.documents[path] = about
        return about

    def collection(self, path: str, version: int, members: list[str]) -> dict[str, Any]:
        """Serve a collection of the manifests and collections at these paths or addresses."""
        addresses = [one if "://" in one else f"{self.url}{one}" for one in members]
        about: dict[str, Any] = {"@context": f"http://iiif.io/api/presentation/{version}/context.json"}
        if version == 2:
            parts = [{"@id": one, "@type": "sc:Manifest"} for one in addresses]
            about |= {"@id": f"{self.url}{path}", "@type": "sc:Collection", "manifests": parts}
        else:
            parts = [{"id": one, "type": "Manifest"} for one in addresses]
            about |= {"id": f"{self.url}{path}", "type": "Collection", "items": parts}
        self.documents[path] = about
        return about


def _label2(key: Any) -> Any:
    return [{"@value": text, "@language": language} for language, text in key] if isinstance(key, tuple) else key


def _label3(key: Any) -> Any:
    return {language: [text] for language, text in key} if isinstance(key, tuple) else {"en": [key]}


def _value3(value: Any) -> Any:
    return value if isinstance(value, dict) else {"none": [value]}


class _Handler(BaseHTTPRequestHandler):
    iiif: IIIFServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        served = self.iiif
        served.requests.append((self.path, time.monotonic()))
        for start, statuses in served.failures.items():
            if self.path.startswith(start) and statuses:
                return self._answer(statuses.pop(0), Retry_After="1")
        if self.path in served.documents:
            found = served.documents[self.path]
            if isinstance(found, str):
                return self._answer(302, Location=found)
            return self._answer(200, found if isinstance(found, bytes) else json.dumps(found).encode())
        kind, _, rest = self.path.strip("/").replace("image/3/", "image2/").partition("/")
        name, _, rest = rest.partition("/")
        if name not in served.pictures:
            return self._answer(404)
        if rest == "info.json":
            return self._answer(200, json.dumps(served.info(name, kind)).encode())
        served.at_once += 1
        served.most_at_once = max(served.at_once, served.most_at_once)
        try:
            return self._picture(name, kind, rest)
        finally:
            served.at_once -= 1

    def _picture(self, name: str, kind: str, rest: str) -> None:
        """``full/SIZE/0/default.jpg``, as the Image API has it: no picture is made larger."""
        region, size, rotation, quality = rest.split("/")
        assert (region, rotation, quality) == ("full", "0", "default.jpg")
        with Image.open(self.iiif.pictures[name]) as image:
            width, height = image.size
            if size == ("full" if kind == "image2" else "max"):
                return self._answer(200, self.iiif.pictures[name].read_bytes())
            asked, _, tall = size.partition(",")
            if not asked.isdigit() or int(asked) > width:
                return self._answer(400)
            wanted = (int(asked), int(tall) if tall else round(height * int(asked) / width))
            if kind == "fixed3" and wanted != (width // FIXED, height // FIXED):
                return self._answer(404)
            jpeg = io.BytesIO()
            image.convert("RGB").resize(wanted).save(jpeg, "JPEG", quality=92)
            return self._answer(200, jpeg.getvalue())
