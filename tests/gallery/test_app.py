"""The local page, driven in a browser: the commands' answers, bad input, two at once, phones, dark, and the end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from morelli import Painters

pytest.importorskip("nicegui")
pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"
CRADLE, VILLA = PICTURES / "morisot-the-cradle.jpg", PICTURES / "morisot-in-a-villa-at-the-seaside.jpg"
PATIENCE = 60_000
"""Milliseconds; all of it is needed on a machine that does much else."""


class Served:
    """``morelli app`` in a process of its own, with a folder for its temporary files."""

    def __init__(self, folder: Path, *arguments: str | Path) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        command = [sys.executable, "-m", "morelli", "app", *map(str, arguments), "--no-open"]
        environment = os.environ | {"TMPDIR": str(self.temporary), "MORELLI_ENGINE": "torch"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder)
        self.said = self.process.stderr.readline()
        self.url = re.search(r"http://127\.0\.0\.1:\d+", self.said).group()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """The exit code, and what was said after the address."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=60)
        return self.process.returncode, rest


@pytest.fixture(scope="module")
def painters() -> Painters:
    return Painters.load("painters")


@pytest.fixture(scope="module")
def index(painters: Painters, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The eight example pictures, two artists enrolled by one each."""
    folder = tmp_path_factory.mktemp("index")
    path = painters.index(PICTURES, folder / "pictures.index").path
    for artist, file in (("Metsu", "metsu-the-sick-child.jpg"), ("Constable", "constable-the-hay-wain.jpg")):
        (folder / artist).mkdir()
        shutil.copy(PICTURES / file, folder / artist)
        painters.enroll(path, artist, folder / artist)
    return path


@pytest.fixture(scope="module")
def served(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    one = Served(tmp_path_factory.mktemp("served"), index)
    yield one
    if one.process.poll() is None:
        one.end()


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page; at the end none may have logged an error or asked another address for anything."""
    troubles: list[str] = []
    contexts = []

    def make(width: int = 1100, url: str = served.url, **options: object) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_default_timeout(PATIENCE)
        page = contexts[-1].new_page()
        known = (url, url.replace("http", "ws"), f"blob:{url}", "data:")
        page.on("request", lambda asked: None if asked.url.startswith(known) else troubles.append(asked.url))
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not troubles


def drop(page: Page, *files: Path) -> None:
    for place, file in enumerate(files):
        page.locator(".zone input").nth(place).set_input_files(file)


def answers(page: Page, *texts: str) -> None:
    """The page shows these texts of commands, whole."""
    expect(page.locator(".answer")).to_have_count(len(texts), timeout=PATIENCE)
    assert page.locator(".answer").all_text_contents() == list(texts)


def content(page: Page) -> None:
    """Nobody is kept out, and nothing is wider than the window."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), pytest.param(1100, "light", marks=pytest.mark.slow)])
def test_every_part_answers_as_the_commands_do(
    opened: Callable[..., Page], painters: Painters, index: Path, width: int, scheme: str
) -> None:
    page = opened(width, color_scheme=scheme)
    drop(page, CRADLE, VILLA)
    compared = painters.compare(CRADLE, VILLA).text().replace(f"{PICTURES}/", "")
    answers(page, compared)
    assert page.locator("img.opened").evaluate_all("all => all.map(one => one.naturalWidth > 0)") == [True, True]
    content(page)

    page.get_by_role("tab", name="Browse").click()
    expect(page.locator(".plane img")).to_have_count(8, timeout=PATIENCE)
    assert "8 of 8 pictures" in page.inner_text("body")
    content(page)
    page.get_by_role("button", name=CRADLE.name).press("Enter")

    found, who = painters.search(index, CRADLE), painters.identify(index, CRADLE)
    answers(page, found.text(), who.text())
    names = page.locator(".found figure").all_text_contents()
    assert names == [one.file for one in (*found.copies, *found.matches)]
    expect(page.locator(".found img")).to_have_count(8)
    page.wait_for_function("[...document.querySelectorAll('.found img')].every(one => one.naturalWidth > 0)")
    content(page)


def test_what_is_no_picture_is_one_sentence_and_the_next_is_answered(
    opened: Callable[..., Page], painters: Painters, index: Path, tmp_path: Path
) -> None:
    page = opened()
    page.get_by_role("tab", name="Find one").click()
    (tmp_path / "letter.jpg").write_text("Dear all")
    expect(page.locator(".zone input")).to_have_count(1)
    drop(page, tmp_path / "letter.jpg")
    answers(page, "letter.jpg cannot be used: not a picture that can be read.")
    drop(page, VILLA)
    found, who = painters.search(index, VILLA), painters.identify(index, VILLA)
    answers(page, *(one.text().replace(f"{PICTURES}/", "") for one in (found, who)))


@pytest.mark.slow
def test_a_picture_of_50_megapixels_is_answered(
    opened: Callable[..., Page], painters: Painters, tmp_path: Path
) -> None:
    page = opened()
    large = tmp_path / "50 megapixels.png"
    Image.open(VILLA).resize((8000, 6250)).save(large, compress_level=1)
    drop(page, large, CRADLE)
    compared = painters.compare(large, CRADLE).text()
    answers(page, compared.replace(f"{tmp_path}/", "").replace(f"{PICTURES}/", ""))


def test_two_at_once_get_each_their_own_answer(opened: Callable[..., Page], painters: Painters) -> None:
    pairs = [(CRADLE, VILLA), (VILLA, PICTURES / "constable-the-hay-wain.jpg")]
    pages = [opened(), opened()]
    for page, pair in zip(pages, pairs, strict=True):
        drop(page, *pair)
    for page, pair in zip(pages, pairs, strict=True):
        answers(page, painters.compare(*pair).text().replace(f"{PICTURES}/", ""))


def test_other_sites_and_other_files_get_nothing(opened: Callable[..., Page], served: Served) -> None:
    context = opened().context
    assert context.request.get(f"{served.url}/picture/0").ok
    for asked in ("picture/8", "picture/-1", "picture/x"):
        assert context.request.get(f"{served.url}/{asked}").status in (404, 422), asked
    assert context.request.get(served.url, headers={"Host": "elsewhere.example"}).status == 400
    port = int(served.url.rpartition(":")[2])
    own = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)} - {"127.0.0.1"}
    for address in own:
        assert socket.socket().connect_ex((address, port)) != 0


@pytest.mark.slow
def test_regions_come_after_the_answer_and_the_page_for_print_can_be_saved(
    opened: Callable[..., Page], painters: Painters, tmp_path: Path
) -> None:
    page = opened()
    drop(page, CRADLE, VILLA)
    page.locator("figcaption").wait_for(timeout=500_000)
    assert page.locator("figure img").evaluate("one => one.naturalWidth") > 400
    content(page)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save").click()
    saving.value.save_as(tmp_path / "verdict.html")
    saved = (tmp_path / "verdict.html").read_text()
    assert CRADLE.name in saved
    assert str(CRADLE.parent) not in saved
    assert f"log10 LR {painters.compare(CRADLE, VILLA).lr.log10:.2f}" in saved


def test_ctrl_c_ends_it_quietly_and_what_was_dropped_is_gone(opened: Callable[..., Page], served: Served) -> None:
    """The last test with this server."""
    page = opened()
    drop(page, CRADLE)
    page.locator("img.opened").wait_for()
    assert list(served.temporary.rglob(CRADLE.name))
    page.context.close()
    assert served.end() == (130, "")
    assert not list(served.temporary.iterdir())


@pytest.mark.slow
def test_without_an_index_pictures_are_only_compared_at_the_next_free_port(browser: Browser, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        served = Served(tmp_path, "--port", str(taken.getsockname()[1]))
    page = browser.new_page()
    page.goto(served.url)
    expect(page.locator(".zone input")).to_have_count(2, timeout=PATIENCE)
    assert page.get_by_role("tab").count() == 0
    assert "morelli index FOLDER" in page.inner_text("body")
    page.close()
    assert served.end(signal.SIGTERM) == (143, "")
