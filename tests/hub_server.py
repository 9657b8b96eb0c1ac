"""A local HTTP server that speaks as much of the hub's wire as its official client needs to push and fetch a model.

Small files come with the commit, weights by LFS; Xet, the newer way for weights, has a wire of its own and is switched
off.
"""

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

sys.path.insert(0, str(Path(__file__).parent))
from local_server import LocalServer

TOKEN = "hf_averysecrettoken"
SIGNATURE = "a-secret-signature"


class HubServer(LocalServer):
    """Models on 127.0.0.1, readable by all, to be written with :data:`TOKEN`.

    Attributes:
        models: name → path → content.
        private: name → whether it was made private.
        requests: method and path of everything asked.
        refuse_uploads: whether uploads of weights answer with status 500.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.requests: list[str] = []
        self.refuse_uploads = False
        self.uploads: dict[str, bytes] = {}

    def _listening(self) -> ThreadingHTTPServer:
        return ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path, token: str | None = TOKEN) -> None:
        """Send the client here, with a cache and credentials of its own."""
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        address = f"{self.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for module in (constants, file_download):  # before 1.0 the client used the latter's own
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # clients before 0.32 have no Xet
        (_http.close_session if hasattr(_http, "close_session") else _http.reset_sessions)()  # the latter before 1.0

    def commit_of(self, name: str) -> str:
        files = self.models[name]
        return hashlib.sha1(repr(sorted((path, _blob(files[path])) for path in files)).encode()).hexdigest()


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _parts(self) -> list[str]:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        return path.strip("/").split("/")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _missing(self) -> None:
        self._answer(401, {"error": "Invalid username or password."}, X_Error_Code="RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        match self._parts():
            case ["api", "models", owner, name, "revision", _] if f"{owner}/{name}" in self.hub.models:
                model = f"{owner}/{name}"
                files = [{"rfilename": path} for path in self.hub.models[model]]
                self._answer(200, {"id": model, "sha": self.hub.commit_of(model), "siblings": files})
            case ["api", "models", owner, name, "tree", _] if f"{owner}/{name}" in self.hub.models:
                files = self.hub.models[f"{owner}/{name}"].items()
                listed = [{"type": "file", "path": p, "size": len(c), "oid": _blob(c)} for p, c in files]
                self._answer(200, listed)
            case [owner, name, "resolve", _, path] if path in self.hub.models.get(f"{owner}/{name}", {}):
                content = self.hub.models[f"{owner}/{name}"][path]
                commit = self.hub.commit_of(f"{owner}/{name}")
                self._answer(200, content, ETag=f'"{_blob(content)}"', X_Repo_Commit=commit)
            case [owner, name, "resolve", _, _] if f"{owner}/{name}" in self.hub.models:
                self._answer(404, X_Error_Code="EntryNotFound")
            case _:
                self._missing()

    def do_PUT(self) -> None:
        *_, oid = self._parts()
        content = self._body()
        if self.hub.refuse_uploads:
            self._answer(500)
            return
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.uploads[oid] = content
        self._answer(200)

    def do_POST(self) -> None:
        parts, body = self._parts(), self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._missing()
            return
        match parts:
            case ["api", "validate-yaml"]:
                self._answer(200, {"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                model = f"{asked['organization']}/{asked['name']}"
                self.hub.models.setdefault(model, {})
                private = asked.get("private", asked.get("visibility") == "private")
                self.hub.private.setdefault(model, private)
                self._answer(200, {"url": f"{self.hub.url}/{model}", "id": model})
            case ["api", "models", _, _, "preupload", _]:
                files = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
                self._answer(200, {"files": files})
            case [_, _, "info", "lfs", "objects", "batch"]:
                objects = json.loads(body)["objects"]
                for one in objects:
                    href = f"{self.hub.url}/upload/{one['oid']}?X-Signature={SIGNATURE}"
                    one["actions"] = {"upload": {"href": href}}
                self._answer(200, {"transfer": "basic", "objects": objects})
            case ["api", "models", owner, name, "commit", _]:
                model = self.hub.models[f"{owner}/{name}"]
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        model[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        model[value["path"]] = self.hub.uploads[value["oid"]]
                commit = self.hub.commit_of(f"{owner}/{name}")
                url = f"{self.hub.url}/{owner}/{name}/commit/{commit}"
                self._answer(200, {"commitUrl": url, "commitOid": commit, "hookOutput": "", "success": True})
            case _:
                self._answer(404)
