"""A local HTTP server that speaks the wire of Kaggle's API, for the official client to talk to.

By hand, for a folder of files (everything after ``--`` is given to ``morelli``)::

    python tests/data/kaggle_server.py ../shared/painters-mini -- data download --out downloads
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from local_server import LocalServer

TOKEN = "KGAT_a-secret-token"
SIGNATURE = "a-secret-signature"
_CHUNK = 1 << 20


@dataclass
class Request:
    """What the client asked for: the method's name and its message, or GET and a file."""

    name: str
    body: dict[str, Any]
    range: str | None = None


class KaggleServer(LocalServer):
    """Serves the files of one competition on 127.0.0.1, and misbehaves when told to.

    Attributes:
        requests: everything that was asked, in order.
        page_size: files listed at a time.
        cut: file names to bytes after which the connection is cut, once.
        down_after_cut: whether everything after a cut is refused, as if the network were gone.
        listed_sizes: file names to sizes that are announced in the list instead of the true ones.
        sent_as: file names to names under which they are sent.
        refuse: method name to the status it answers with.
        token: the token that is accepted.
    """

    def __init__(self, files: Mapping[str, bytes] | Path, *, competition: str = "painter-by-numbers") -> None:
        self.files: dict[str, bytes | Path] = (
            {path.name: path for path in sorted(files.iterdir()) if path.is_file()}
            if isinstance(files, Path)
            else dict(files)
        )
        self.competition = competition
        self.requests: list[Request] = []
        self.page_size = 5
        self.cut: dict[str, int] = {}
        self.down_after_cut = False
        self.listed_sizes: dict[str, int] = {}
        self.sent_as: dict[str, str] = {}
        self.refuse: dict[str, int] = {}
        self.token = TOKEN
        self._down = False

    def _listening(self) -> ThreadingHTTPServer:
        return _Server(("127.0.0.1", 0), _handler(self))

    def up(self) -> None:
        """The network is there again."""
        self._down = self.down_after_cut = False

    def asked(self, name: str) -> list[Request]:
        return [request for request in self.requests if request.name == name]

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path, *, token: str | None = TOKEN) -> None:
        """Send the client here, with a home of its own, so that it finds no real credentials."""
        for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        if token:
            monkeypatch.setenv("KAGGLE_API_TOKEN", token)
        from kagglesdk import kaggle_env

        for environment in (kaggle_env.KaggleEnv.PROD, kaggle_env.KaggleEnv.LOCAL):
            monkeypatch.setitem(kaggle_env._env_to_endpoint, environment, self.url)
        from kaggle.api.kaggle_api_extended import KaggleApi

        monkeypatch.setattr(KaggleApi, "config", str(home / ".kaggle" / "kaggle.json"))
        monkeypatch.setattr(KaggleApi, "config_values", {})
        self.requests.clear()  # the client talks while it is imported

    def length(self, name: str) -> int:
        content = self.files[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size

    def read(self, name: str, start: int) -> Iterator[bytes]:
        content = self.files[name]
        if isinstance(content, bytes):
            yield content[start:]
            return
        with content.open("rb") as stream:
            stream.seek(start)
            while chunk := stream.read(_CHUNK):
                yield chunk


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that resumes leaves the connection of its first, whole answer."""
        if not isinstance(sys.exception(), ConnectionError):
            raise


def _handler(server: KaggleServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            if not server._down:
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            name = self.path.rpartition("/")[2]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            server.requests.append(Request(name, body))
            if name in server.refuse:
                self.answer({"code": server.refuse[name], "message": f"no, {server.token}"}, server.refuse[name])
            elif name == "IntrospectToken":
                active = body["token"] == server.token
                self.answer({"active": active, "username": "tester" if active else ""})
            elif not self.is_signed_in():
                self.answer({"code": 401, "message": "Unauthenticated"}, 401)
            elif body["competitionName"] != server.competition:
                self.answer({"code": 404, "message": "Not found"}, 404)
            elif name == "ListDataFiles":
                self.list_files(int(body.get("pageToken") or 0))
            elif name == "DownloadDataFile":
                sent_as = server.sent_as.get(body["fileName"], body["fileName"])
                self.send_response(302)
                self.send_header("Location", f"{server.url}/storage/{sent_as}?X-Signature={SIGNATURE}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer({"code": 404, "message": name}, 404)

        def is_signed_in(self) -> bool:
            given = self.headers.get("Authorization", "")
            return given == f"Bearer {server.token}" or given.startswith("Basic ")

        def answer(self, message: dict[str, Any], status: int = 200) -> None:
            content = json.dumps(message).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def list_files(self, start: int) -> None:
            names, end = list(server.files), start + server.page_size
            files = [
                {"name": name, "totalBytes": server.listed_sizes.get(name, server.length(name))}
                for name in names[start:end]
            ]
            self.answer({"files": files, "nextPageToken": str(end) if end < len(names) else ""})

        def do_GET(self) -> None:
            sent_as = re.split("[/?]", self.path)[2]
            name = next((real for real, other in server.sent_as.items() if other == sent_as), sent_as)
            asked_range = self.headers.get("Range")
            server.requests.append(Request("GET", {"name": name}, asked_range))
            if "GET" in server.refuse:
                self.answer({}, server.refuse["GET"])
                return
            length, etag = server.length(name), f'"{sha256(name.encode()).hexdigest()[:12]}"'
            resumes = asked_range is not None and self.headers.get("If-Range", etag) == etag
            start = int(asked_range.removeprefix("bytes=").rstrip("-")) if asked_range and resumes else 0
            self.send_response(206 if resumes else 200)
            if resumes:
                self.send_header("Content-Range", f"bytes {start}-{length - 1}/{length}")
            self.send_header("Content-Length", str(length - start))
            self.send_header("Content-Type", "application/zip")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", formatdate(1_460_000_000, usegmt=True))
            self.end_headers()
            left = server.cut.pop(name, None)
            for chunk in server.read(name, start):
                self.wfile.write(chunk[:left])
                if left is not None and (left := left - len(chunk)) <= 0:
                    server._down = server.down_after_cut
                    self.close_connection = True
                    return

    return Handler


@contextmanager
def _serving(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch, KaggleServer(folder) as server:
        server.use(monkeypatch, Path("/nonexistent"))
        yield


if __name__ == "__main__":
    from morelli.cli import main

    folder, dashes, *arguments = sys.argv[1:]
    assert dashes == "--", "folder first, then --, then morelli's own arguments"
    with _serving(Path(folder)):
        sys.argv = ["morelli", *arguments]
        main()
