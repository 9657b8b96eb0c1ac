"""The verdict page: what it says is what was measured; it loads alone, fits a phone, and prints on one sheet."""

import re
from pathlib import Path

import pytest

from morelli import MorelliError, Network, Painters


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from morelli import SyntheticPainters

    folder = tmp_path_factory.mktemp("two")
    hands = SyntheticPainters(artists=2, paintings_per_artist=1, size=96, seed=7)
    for artist in range(2):
        hands.paint(artist, 0).save(folder / f"<b>{artist}&.png")
    return folder / "<b>0&.png", folder / "<b>1&.png"


@pytest.fixture(scope="module")
def page(painters: Painters, two: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "verdict.html"
    painters.verdict(*two, prior=0.2).write(path)
    return path


def test_it_says_what_was_compared_and_measured(painters: Painters, two: tuple[Path, Path], page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    found, card = painters.compare(*two, prior=0.2), painters.network.card
    assert found.lr.lines()[0] in html
    assert found.lr.lines()[1].strip() in html
    assert "If 20 % of such pairs" in html
    assert f"{card.measured['cllr']:.3f}" in html
    assert f"{card.measured['realised_far_0.1']:.3f}" in html
    assert f"{card.measured['artists']} further artists" in html
    assert painters.fingerprint in html
    for path in two:
        assert re.search(r"SHA-256 [0-9a-f]{64}", html)
        assert path.name not in html  # escaped
    assert "&lt;b&gt;0&amp;.png" in html
    assert len(re.findall(r'src="data:image/jpeg;base64,', html)) == 3
    assert html.count('<path class="same line"') == 2  # the curve, and its key
    assert '<path class="here line"' in html


def test_what_is_not_known_is_said(model: Path, two: tuple[Path, Path], tmp_path: Path) -> None:
    bare = Painters(Network.load(model).with_facts(calibration=None, measured=None, tippett=None), model)
    bare.verdict(*two).write(tmp_path / "bare.html")
    html = (tmp_path / "bare.html").read_text(encoding="utf-8")
    assert "stands nowhere in this network" in html
    assert "has no calibration" in html
    assert "<svg" not in html
    bare.verdict(two[0], two[0]).write(tmp_path / "copy.html")
    assert "No ratio." in (tmp_path / "copy.html").read_text(encoding="utf-8")
    with pytest.raises(MorelliError, match="html"):
        bare.verdict(*two).write(tmp_path / "page.pdf")


def test_it_fits_a_phone_and_one_sheet_of_paper(browser, page: Path) -> None:
    asked: list[str] = []
    for width in (375, 900):
        shown = browser.new_page(viewport={"width": width, "height": 800})
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(page.as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith(("data:", page.as_uri()))] == []
    printed = shown.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 1
