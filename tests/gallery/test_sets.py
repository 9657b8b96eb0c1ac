"""Folders compared as sets of paintings, and the paintings that fit a folder least."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from morelli import MorelliError, Network, Painters, SyntheticPainters
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.identification import artist_embedding
from morelli.models.heads import CosineScorer

HANDS = SyntheticPainters(artists=4, paintings_per_artist=12, size=64, seed=5)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Three paintings by one hand, two by another."""
    folders = tmp_path / "first", tmp_path / "second"
    for artist, (folder, count) in enumerate(zip(folders, (3, 2), strict=True)):
        folder.mkdir()
        for painting in range(count):
            HANDS.paint(artist, painting).save(folder / f"{painting}.png")
    return folders


def test_two_folders_are_scored_by_their_means_and_calibrated_for_their_sizes(painters: Painters, two) -> None:
    found = painters.compare_sets(*two, prior=0.2)
    first, second = (artist_embedding(painters.embed(sorted(one.glob("*.png"))), CosineScorer()) for one in two)
    assert found.score == pytest.approx(float(first @ second), abs=1e-5)
    calibration = Calibration.from_dict(painters.network.card.sets["2-3"])
    assert found.probability == pytest.approx(float(calibration.probability(found.score, 0.2)), abs=1e-4)
    assert found.paintings == (3, 2)
    assert found.same_hand == (found.score >= calibration.thresholds["balanced"])
    assert painters.compare_sets(*reversed(two), prior=0.2).score == pytest.approx(found.score, abs=1e-5)
    plain = json.loads(json.dumps(found.to_dict()))
    assert next(iter(plain)) == "log10_lr"
    assert "first (3 paintings)" in found.text()
    assert "times likelier if" in found.text()


def test_a_picture_is_compared_with_a_folder(painters: Painters, two, tmp_path: Path) -> None:
    HANDS.paint(0, 7).save(tmp_path / "doubtful.png")
    found = painters.compare_sets(tmp_path / "doubtful.png", two[0])
    assert found.paintings == (1, 3)
    listed = painters.compare_sets([tmp_path / "doubtful.png"], sorted(two[0].glob("*.png")))
    assert listed.score == pytest.approx(found.score, abs=1e-5)


def test_copies_within_a_set_count_once_and_across_sets_leave_no_ratio(painters: Painters, two) -> None:
    shutil.copy(two[0] / "0.png", two[0] / "again.png")
    with Image.open(two[0] / "1.png") as image:
        image.resize((50, 50)).save(two[0] / "small.png")
    assert painters.compare_sets(*two).paintings == (3, 2)
    shutil.copy(two[0] / "0.png", two[1] / "shared.png")
    found = painters.compare_sets(*two)
    assert (found.lr, found.probability, found.same_hand) == (None, None, None)
    assert "says nothing of the hand" in found.text()
    same = painters.compare_sets(two[0], two[0])
    assert same.lr is None


def test_more_paintings_than_were_learned_for_are_drawn_evenly(painters: Painters, two) -> None:
    for painting in range(3, 5):
        HANDS.paint(0, painting).save(two[0] / f"{painting}.png")
    note = painters.compare_sets(two[0], two[1]).notes
    sizes = [int(part) for key in painters.network.card.sets for part in key.split("-")]
    assert any("of 5 paintings count, evenly spaced" in one for one in note) == (max(sizes) < 5)
    HANDS.paint(0, 9).save(two[1] / "9.png")
    HANDS.paint(0, 10).save(two[1] / "10.png")
    assert any("Of " in one and "of 4 paintings count" in one for one in painters.compare_sets(*two).notes)


def test_a_cohort_normalises_sets(painters: Painters, two, tmp_path: Path) -> None:
    crowd = tmp_path / "crowd"
    crowd.mkdir()
    for artist in range(2, 4):
        for painting in range(12):
            HANDS.paint(artist, painting).save(crowd / f"{artist}-{painting}.png")
    found = painters.compare_sets(*two, cohort=crowd)
    assert found.cohort_pictures == 24
    assert found.threshold == painters.network.card.with_cohort["own"]["sets"]["2-3"]["thresholds"]["balanced"]


def test_the_painting_that_fits_least_comes_first(painters: Painters, two) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(two[0] / "noise.png")
    HANDS.paint(0, 3).save(two[0] / "3.png")
    found = painters.outliers(two[0])
    files = sorted(path.name for path in two[0].glob("*.png"))
    assert sorted(file for file, _ in found.ratios) == files
    ratios = [ratio.log10 for _, ratio in found.ratios]
    assert ratios == sorted(ratios)
    scores = {}
    embeddings = painters.embed([two[0] / file for file in files])
    for place, file in enumerate(files):
        rest = [other for other in range(len(files)) if other != place]
        rest = [rest[0], rest[2], rest[3]] if "1-3" in painters.network.card.sets else rest  # evenly, three of four
        scores[file] = float(embeddings[place] @ artist_embedding(embeddings[rest], CosineScorer()))
    by_hand = sorted(scores, key=scores.get)
    assert [file for file, _ in found.ratios] == by_hand
    assert json.loads(json.dumps(found.to_dict()))["paintings"][0]["file"] == by_hand[0]


def test_what_cannot_be_compared_is_said(painters: Painters, two, tmp_path: Path, model: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(two[0] / "0.png", one / "a.png")
    shutil.copy(two[0] / "0.png", one / "copy.png")
    with pytest.raises(MorelliError, match="hold one painting each"):
        painters.compare_sets(one, two[1] / "0.png")
    with pytest.raises(MorelliError, match="holds 1 different paintings"):
        painters.outliers(one)
    with pytest.raises(MorelliError, match="between 0 and 1"):
        painters.compare_sets(*two, prior=1.0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MorelliError, match="holds no pictures"):
        painters.compare_sets(tmp_path / "empty", two[0])
    former = Painters(Network.load(model).with_facts(sets={}), model)
    for ask in (lambda: former.compare_sets(*two), lambda: former.outliers(two[0])):
        with pytest.raises(MorelliError, match="learned nothing of sets"):
            ask()
