"""The local web page (GUI): compare two pictures, find a picture's nearest in an index, browse the index's map."""

import asyncio
import re
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import numpy as np
import torch

from morelli._file_names import unescaped
from morelli._files import sentence_of
from morelli._text import shown
from morelli.errors import MorelliError
from morelli.evaluation.plane_map import plane_map
from morelli.gallery.explain import CAPTION
from morelli.gallery.index import PictureIndex
from morelli.gallery.painters import Painters
from morelli.gallery.pictures import as_jpeg, data_url, open_picture
from morelli.gallery.search import SearchResult
from morelli.gallery.verdict import Verdict
from morelli.report.neighbours import in_scorers_geometry

try:
    import uvicorn
    from fastapi import FastAPI, Response
    from nicegui import run, ui
    from nicegui.events import UploadEventArguments
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ModuleNotFoundError as error:
    raise MorelliError(f"The page needs {error.name}. Install: pip install 'morelli[app]'") from error

ON_MAP: Final = 300
"""Pictures on the map at most: more would lie on one another."""
_HOST: Final = "127.0.0.1"
_PORTS_TRIED: Final = 20
_SMALL, _LARGE = 160, 360
_STYLE: Final = (Path(__file__).parent / "templates" / "app.css").read_text(encoding="utf-8")
_ZONE: Final = '<label class="zone">{}<q-uploader-add-trigger tabindex="0"></q-uploader-add-trigger></label>'
_T = TypeVar("_T")
Asked = Callable[[Path], Coroutine[Any, Any, None]]


@dataclass
class Page:
    """What the page shows: answers to the questions of the commands, one at a time, whoever asks.

    Attributes:
        painters: the network.
        index: what is searched and browsed; None where pictures are only compared.
        uploads: the folder where pictures that are dropped are kept.
    """

    painters: Painters
    index: PictureIndex | None
    uploads: Path
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    slow_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    has_ended: bool = False

    @cached_property
    def files(self) -> list[str]:
        """The names of the index's pictures."""
        return list(self.index.pictures.pictures["file"]) if self.index else []

    @cached_property
    def plane(self) -> tuple[list[tuple[int, float, float]], str]:
        """The map: rows of the index, some at random of many, with x and y between 0 and 1; and the method's name."""
        assert self.index is not None
        rows = np.sort(np.random.default_rng(0).permutation(len(self.files))[:ON_MAP])
        embeddings = self.index.pictures.embeddings[torch.from_numpy(rows)]
        layout, method = plane_map(in_scorers_geometry(embeddings, self.painters.network.scorer))
        return [(int(row), float(x), float(y)) for row, (x, y) in zip(rows, layout, strict=True)], method

    def path_of(self, row: int) -> Path:
        """Where a picture of the index lies."""
        assert self.index is not None
        return self.index.folder / unescaped(self.files[row])

    def picture(self, row: int) -> Response:
        """A small JPEG of a picture of the index, for the browser."""
        if not 0 <= row < len(self.files):
            return Response(status_code=404)
        try:
            return Response(as_jpeg(open_picture(self.path_of(row), _SMALL).rgb), media_type="image/jpeg")
        except MorelliError:  # gone since it was indexed
            return Response(status_code=404)

    def said(self, text: str) -> str:
        """What a command says, with dropped pictures named as their owner knows them."""
        return shown(re.sub(rf"{re.escape(str(self.uploads))}/\w+/", "", text))

    def show(self) -> None:
        """Build the page, for one browser."""
        ui.add_css(_STYLE)
        ui.colors(primary="#2c68b0")
        ui.html("Who painted this?", tag="h1")
        if self.index is None:
            self._compare()
            ui.label(
                "To find a picture's nearest and who could have painted it, and to browse, make an index of your "
                "pictures: morelli index FOLDER. Then: morelli app FOLDER.index"
            ).classes("soft")
            return
        with ui.tabs().props("align=left no-caps") as tabs:
            places = [ui.tab(name) for name in ("Compare two", "Find one", "Browse")]
        with ui.tab_panels(tabs, value=places[0]).props("keep-alive"):
            with ui.tab_panel(places[0]):
                self._compare()
            with ui.tab_panel(places[1]):
                find = self._find()
            with ui.tab_panel(places[2]):
                browse = self._browse(tabs, places[1], find)
        tabs.on_value_change(lambda now: browse() if now.value == "Browse" else None)

    def _compare(self) -> None:
        pair: dict[str, Path] = {}

        async def dropped(letter: str, path: Path) -> None:
            pair[letter] = path
            if len(pair) == 2:
                both = pair["A"], pair["B"]
                regions.place.clear()
                if await answer.ask(partial(self.painters.compare, *both), lambda found: self.say(found.text())):

                    def proceed() -> None:
                        if self.has_ended or regions.place.is_deleted or both != (pair["A"], pair["B"]):
                            raise MorelliError("Other pictures were dropped meanwhile.")

                    await regions.ask(partial(self.painters.verdict, *both, proceed=proceed), self._show_regions)

        with ui.element("div").classes("zones"):
            for letter in "AB":
                self._zone(f"Drop picture {letter} here, or choose it", partial(dropped, letter))
        answer = _Answer(self, self.turn)
        regions = _Answer(self, self.slow_turn, "Looking for the regions that speak for one hand; this takes a while.")

    def _show_regions(self, verdict: Verdict) -> None:
        with ui.element("figure"):
            _image(verdict.explanation.image(captioned=False), "Both pictures; red where a region speaks for one hand")
            ui.html(CAPTION, tag="figcaption").classes("soft")
        page = self.said(verdict.html())
        ui.button("Save as a page for print", on_click=lambda: ui.download.content(page, "verdict.html")).props(
            "no-caps"
        )

    def _find(self) -> Asked:
        def work(path: Path) -> tuple[SearchResult, str]:
            assert self.index is not None
            found = self.painters.search(self.index.path, path)
            try:
                return found, self.painters.identify(self.index.path, path).text()
            except MorelliError as error:  # nobody is enrolled
                return found, str(error)

        def show(found: tuple[SearchResult, str]) -> None:
            ui.html("Nearest", tag="h2")
            with ui.element("div").classes("found"):
                for match in (*found[0].copies, *found[0].matches):
                    with ui.element("figure"):
                        self._picture(self.files.index(match.file))
                        ui.label(match.file).classes("soft")
            self.say(found[0].text())
            ui.html("Who could it be?", tag="h2")
            self.say(found[1])

        async def find(path: Path) -> None:
            await answer.ask(partial(work, path), show)

        self._zone("Drop a picture here, or choose it", find)
        answer = _Answer(self, self.turn)
        return find

    def _browse(self, tabs: ui.tabs, place: ui.tab, find: Asked) -> Callable[[], Coroutine[Any, Any, None]]:
        async def chosen(row: int) -> None:
            tabs.set_value(place)
            await find(self.path_of(row))

        def show(plane: tuple[list[tuple[int, float, float]], str]) -> None:
            points, method = plane
            ui.label(
                f"{len(points):,} of {len(self.files):,} pictures; what the network finds alike lies together "
                f"({method}). Choose one to see its nearest."
            ).classes("soft")
            side = f"--side: {2.7 * len(points) ** 0.5:.0f}rem"
            with ui.element("div").classes("map"), ui.element("div").classes("plane").style(side):
                for row, x, y in points:
                    one = ui.element("button").style(f"left: {4 + 92 * x:.2f}%; top: {4 + 92 * y:.2f}%")
                    with one.on("click", partial(chosen, row)):
                        self._picture(row)

        async def browse() -> None:
            if not answer.asked:
                await answer.ask(lambda: self.plane, show)

        answer = _Answer(self, self.turn)
        return browse

    def _zone(self, label: str, then: Asked) -> None:
        """A place to drop a picture on; it is shown, and ``then`` is called with its path."""

        async def uploaded(event: UploadEventArguments) -> None:
            path = self.uploads / uuid4().hex / (re.sub(r"[^\w.() -]", "_", event.file.name)[-100:] or "_")
            await event.file.save(path)
            zone.reset()
            if await opened.ask(lambda: open_picture(path, _LARGE).rgb, lambda image: _image(image, path.name)):
                await then(path)

        with ui.element("div"):
            zone = ui.upload(auto_upload=True, on_upload=uploaded)
            zone.add_slot("header", _ZONE.format(label))
            opened = _Answer(self, self.turn)

    def _picture(self, row: int) -> None:
        image = ui.element("img").props("loading=lazy")
        image.props["src"], image.props["alt"] = f"/picture/{row}", self.files[row]

    def say(self, text: str) -> None:
        """Show what a command says."""
        ui.label(self.said(text)).classes("answer")


class _Answer:
    """A place of the page where the answer to the last question appears."""

    def __init__(self, page: Page, turn: asyncio.Lock, meanwhile: str = "One moment.") -> None:
        self.page, self.turn, self.meanwhile, self.asked = page, turn, meanwhile, 0
        self.place = ui.element("div").props("aria-live=polite")

    async def ask(self, work: Callable[[], _T], show: Callable[[_T], None]) -> bool:
        """Show what a thread makes of ``work`` when its turn has come, or why it cannot; whether it could."""
        self.asked += 1
        mine = self.asked
        self._replace(lambda: ui.label(self.meanwhile).classes("soft"))
        async with self.turn:
            if mine != self.asked or self.place.is_deleted:  # asked again since, or the browser has gone
                return False
            found, why = None, ""
            try:
                found = await run.io_bound(work)
            except (MorelliError, OSError) as error:
                why = sentence_of(error) if isinstance(error, OSError) else str(error)
            if mine != self.asked:
                return False
            self._replace(lambda: self.page.say(why) if found is None else show(found))
            return found is not None

    def _replace(self, show: Callable[[], object]) -> None:
        if not self.place.is_deleted:
            self.place.clear()
            with self.place:
                show()


def _image(image: Any, alt: str) -> None:
    one = ui.element("img").classes("opened")
    one.props["alt"] = alt
    one.props["src"] = data_url(image)


def _listening(port: int) -> socket.socket:
    """The first port that is free, from a port on."""
    for one in range(port, min(port + _PORTS_TRIED, 65536)):
        try:
            return socket.create_server((_HOST, one))
        except OSError:
            continue
    raise MorelliError(f"No port from {port} on can be had on {_HOST}; name another with --port.")


def serve(painters: Painters, index: Path | None, port: int, *, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page on this machine alone, until Ctrl-C; pictures that are dropped are then removed.

    Args:
        painters: the network.
        index: what is searched and browsed; None to compare only.
        port: the port; if it is taken, the next that is free.
        browser: whether to open the page in the browser.
        say: told where the page is.

    Raises:
        MorelliError: no port is free, or the index cannot be read.
    """
    found = PictureIndex.load(index) if index else None
    with _listening(port) as listening, tempfile.TemporaryDirectory(prefix="morelli-") as uploads:
        tempfile.tempdir = uploads  # also for what the server itself keeps of a large upload
        page = Page(painters, found, Path(uploads))
        app = FastAPI(openapi_url=None)
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[_HOST, "localhost"])  # against DNS rebinding
        app.get("/picture/{row}")(page.picture)
        ui.run_with(app, root=page.show, title="morelli", dark=None, language="en-US", show_welcome_message=False)
        url = f"http://{_HOST}:{listening.getsockname()[1]}"
        say(f"The page: {url} (Ctrl-C ends it). It is for this machine alone; nothing leaves it.")
        if browser:
            threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
        try:
            uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run([listening])
        finally:
            page.has_ended = True  # Python waits for threads at its end
