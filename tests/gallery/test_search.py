"""Search is exact, keeps copies apart, and shows what it found."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from morelli import MorelliError, Painters
from morelli.evaluation.calibration import Calibration
from morelli.gallery.page import write_page
from morelli.gallery.search import Nearest


def unit(count: int, width: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1)


@pytest.mark.parametrize("width", [3, 64, 300])
def test_the_nearest_are_those_of_a_full_sort(width: int) -> None:
    embeddings = unit(25_000, width)
    nearest = Nearest(embeddings, by_distance=False)
    for query in unit(5, width, seed=1):
        for k in (1, 12, 100):
            products = (embeddings @ query).numpy()
            places = nearest.find(query, k)
            np.testing.assert_allclose(products[places], np.sort(products)[::-1][:k], atol=1e-6)
            assert len(set(places.tolist())) == k


def test_as_many_are_found_where_all_are_nearly_the_same() -> None:
    alike = Nearest(unit(1, 64).repeat(25_000, 1) + 1e-5 * unit(25_000, 64), by_distance=False)
    query = unit(1, 64, seed=1)[0]
    assert len(alike.find(query, 12)) == 12


def test_distances_decide_for_a_distance_scorer() -> None:
    embeddings = unit(300, 5) * torch.rand(300, 1, generator=torch.Generator().manual_seed(0)) * 9
    query = unit(1, 5, seed=1)[0]
    wanted = (embeddings - query).norm(dim=1).argsort()[:20]
    assert Nearest(embeddings, by_distance=True).find(query, 20).tolist() == wanted.tolist()
    assert len(Nearest(embeddings, by_distance=True).find(query, 999)) == 300


@pytest.fixture
def index(painters: Painters, pictures: Path) -> Path:
    original = pictures / "artist-0" / "0.png"
    shutil.copy(original, pictures / "twin.png")
    with Image.open(pictures / "artist-1" / "0.png") as image:
        image.resize((70, 70)).save(pictures / "smaller.png")
    return painters.index(pictures).path


def test_matches_come_nearest_first_and_copies_apart(painters: Painters, index: Path, pictures: Path) -> None:
    query = pictures / "artist-0" / "0.png"
    found = painters.search(index, query, k=5)
    assert [copy.file for copy in found.copies] == ["artist-0/0.png", "twin.png"]
    assert all(copy.probability is None for copy in found.copies)
    files = [path for path in sorted(pictures.rglob("*.png")) if path.name not in ("twin.png", "smaller.png")]
    scores = {str(path.relative_to(pictures)): float(painters.embed(query) @ painters.embed(path).T) for path in files}
    del scores["artist-0/0.png"]
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:5]
    assert [match.file for match in found.matches] == best
    calibration = Calibration.from_dict(painters.network.card.calibration)
    for match in found.matches:
        assert match.score == pytest.approx(scores[match.file], abs=1e-4)
        assert match.probability == pytest.approx(float(calibration.probability(match.score, 0.5)), abs=1e-6)
        assert match.path == pictures / match.file


def test_a_picture_that_was_found_once_is_not_listed_again(painters: Painters, index: Path, pictures: Path) -> None:
    found = painters.search(index, pictures / "artist-2" / "0.png", k=99)
    assert len(found.matches) == 8
    also = {match.file: match.also for match in found.matches if match.also}
    assert {frozenset((file, *others)) for file, others in also.items()} == {
        frozenset(("artist-0/0.png", "twin.png")),
        frozenset(("artist-1/0.png", "smaller.png")),
    }


def test_results_as_text_json_and_page(painters: Painters, index: Path, pictures: Path, tmp_path: Path) -> None:
    query = pictures / "artist-0" / "0.png"
    found = painters.search(index, query, k=3, prior=0.02)
    text = found.text()
    assert "Copies of the picture itself" in text
    assert "2.0 %" in text
    assert text.endswith("evidence, not authentication.")
    plain = json.loads(json.dumps(found.to_dict()))
    assert [match["file"] for match in plain["matches"]] == [match.file for match in found.matches]
    (pictures / found.matches[0].file).unlink()  # gone since it was indexed
    write_page(query, found, tmp_path / "found.html")
    page = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', page)) == 1 + 2 + 3
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "not authentication" in page
    with pytest.raises(MorelliError, match=r"\.html"):
        write_page(query, found, tmp_path / "found.txt")


def test_file_names_cannot_write_html(painters: Painters, pictures: Path, tmp_path: Path) -> None:
    (pictures / "artist-0" / "0.png").rename(pictures / "<script>alert(1)<.png")
    found = painters.search(painters.index(pictures).path, pictures / "artist-1" / "0.png")
    write_page(pictures / "artist-1" / "0.png", found, tmp_path / "found.html")
    page = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_several_pictures_at_once_and_pictures_from_memory(painters: Painters, index: Path, pictures: Path) -> None:
    files = [pictures / "artist-0" / "0.png", pictures / "artist-1" / "0.png"]
    both = painters.search(index, files, k=2)
    assert [[match.file for match in one.matches] for one in both] == [
        [match.file for match in painters.search(index, file, k=2).matches] for file in files
    ]
    with Image.open(files[0]) as image:
        from_memory = painters.search(index, image, k=2)
    assert [copy.file for copy in from_memory.copies] == ["artist-0/0.png", "twin.png"]


def test_mistakes(painters: Painters, index: Path, pictures: Path, tmp_path: Path) -> None:
    query = pictures / "artist-0" / "0.png"
    with pytest.raises(MorelliError, match="at least 1"):
        painters.search(index, query, k=0)
    with pytest.raises(MorelliError, match="between 0 and 1"):
        painters.search(index, query, prior=1)
    with pytest.raises(MorelliError, match="is no index"):
        painters.search(tmp_path, query)
    (tmp_path / "text.jpg").write_text("a letter")
    with pytest.raises(MorelliError, match="cannot be used"):
        painters.search(index, tmp_path / "text.jpg")


@pytest.mark.parametrize("kind", ["bce-pair", "frozen"])
def test_every_kind_of_network_can_search(train_tiny, pictures: Path, kind: str) -> None:
    painters = Painters.load(train_tiny(kind, objectives=[kind]))
    query = pictures / "artist-0" / "0.png"
    found = painters.search(painters.index(pictures).path, query, k=3)
    assert len(found.matches) == 3
    for match in found.matches:
        assert match.score == pytest.approx(painters.compare(query, match.path).score, abs=1e-3)
