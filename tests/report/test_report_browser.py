"""The report in a browser: it loads alone, sorts, fits phones and desks, and anyone can read it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

WIDTHS = (375, 1440)
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
PROTRUDING = """() => [...document.body.querySelectorAll('*')]
  .filter(one => !one.closest('.scroll, pre, .hidden, svg') && one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture
def opened(browser: Browser, report_file: Path) -> Iterator[Callable[..., Page]]:
    """Opens the report; at the end no page may have logged an error or asked the network for anything."""
    troubles: list[str] = []
    contexts = []

    def request(url: str) -> None:
        if url != report_file.as_uri() and not url.startswith("data:"):
            troubles.append(url)

    def make(width: int = 1440, *, path: Path = report_file, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda asked: request(asked.url))
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield make
    for context in contexts:
        context.close()
    assert not troubles


def column(page: Page, table: str, place: int) -> list[str]:
    return [str(value) for value in page.eval_on_selector_all(
        f"#{table} tbody tr", f"rows => rows.map(row => row.cells[{place}].dataset.value)"
    )]  # fmt: skip


def test_it_loads_alone_and_all_pictures_show(opened: Callable[..., Page]) -> None:
    page = opened(offline=True)
    assert page.title() == "small"
    pictures = page.eval_on_selector_all("img", "all => all.map(one => [one.alt, one.naturalWidth])")
    assert len(pictures) > 20
    assert all(alt and width for alt, width in pictures)


@pytest.mark.parametrize("key", [None, "Enter", " "])
def test_tables_sort_up_down_and_back(key: str | None, opened: Callable[..., Page]) -> None:
    page = opened()
    headings = page.locator("#ablation thead tr:last-child th")
    place = headings.all_inner_texts().index(next(t for t in headings.all_inner_texts() if t.startswith("pair AUC")))
    button = headings.nth(place).locator("button")

    def sort() -> str | None:
        if key is None:
            button.click()
        else:
            button.focus()
            page.keyboard.press(key)
        return headings.nth(place).get_attribute("aria-sort")

    before = column(page, "ablation", place)
    ordered = sorted(before, key=float)
    assert len(set(before)) == 3
    assert sort() == "ascending"
    assert column(page, "ablation", place) == ordered
    assert sort() == "descending"
    assert column(page, "ablation", place) == ordered[::-1]
    assert sort() == "none"
    assert column(page, "ablation", place) == before


def test_names_sort_as_text_and_one_column_at_a_time(opened: Callable[..., Page]) -> None:
    page = opened()
    headings = page.locator("#artists-unseen thead th")
    headings.nth(1).locator("button").click()
    headings.nth(0).locator("button").click()
    names = column(page, "artists-unseen", 0)
    assert names == sorted(names, key=str.casefold)
    assert [heading.get_attribute("aria-sort") for heading in headings.all()].count("none") == headings.count() - 1


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows(width: int, opened: Callable[..., Page]) -> None:
    page = opened(width)
    page.evaluate(OPEN_ALL)
    page.locator(".plane").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(PROTRUDING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_to_complain_about(width: int, scheme: str, opened: Callable[..., Page]) -> None:
    page = opened(width, color_scheme=scheme)
    page.evaluate(OPEN_ALL)
    page.locator(".plane").focus()
    page.keyboard.press("ArrowRight")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert "color-contrast" in {check["id"] for check in found.response["passes"]}


def test_axe_is_content_without_paintings(benched: Path, tmp_path: Path, browser: Browser) -> None:
    from morelli.report.report import report

    report([benched], tmp_path / "report.html")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    found = Axe().run(page)
    page.close()
    assert found.violations_count == 0, found.generate_report()


def test_the_map_answers_to_mouse_keys_and_list(opened: Callable[..., Page]) -> None:
    page = opened()
    card = page.locator(".card")
    assert "Point at a painting" in card.inner_text()
    page.locator(".plane use").first.hover(force=True)
    hovered = card.locator("b").inner_text()
    assert card.locator(":scope > img").evaluate("one => one.naturalWidth") > 0
    assert card.locator("li").count() == 6
    lit = page.locator(".plane use.lit")
    assert lit.count() == 6  # paintings an artist
    page.locator(".plane").focus()
    seen = {card.inner_text()}
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        seen.add(card.inner_text())
    assert len(seen) > 1
    artists = page.locator("#artist option").all_inner_texts()
    assert hovered in artists
    page.locator("#artist").select_option(index=2)
    assert lit.count() == 6
    page.locator("#artist").select_option(index=0)
    assert lit.count() == 0


def test_the_map_answers_to_taps(opened: Callable[..., Page]) -> None:
    page = opened(375, has_touch=True, is_mobile=True)
    page.locator(".plane use").first.tap(force=True)
    assert page.locator(".card > img").count() == 1
