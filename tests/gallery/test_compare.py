"""What is said of two pictures, and what is not."""

import json
from pathlib import Path

import pytest
from PIL import Image

from morelli import MorelliError, Network, Painters
from morelli.bench.run_folder import RunFolder
from morelli.evaluation.calibration import Calibration


@pytest.fixture
def two(pictures: Path) -> tuple[Path, Path]:
    return pictures / "artist-0" / "0.png", pictures / "artist-1" / "0.png"


def test_the_probability_is_the_calibrated_score_at_the_prior(painters: Painters, two: tuple[Path, Path]) -> None:
    first, second = painters.embed(two)
    score = float(first @ second)
    calibration = Calibration.from_dict(painters.network.card.calibration)
    for prior in (0.5, 0.0131):
        found = painters.compare(*two, prior=prior)
        assert found.score == pytest.approx(score, abs=1e-5)
        assert found.probability == pytest.approx(float(calibration.probability(score, prior)), abs=1e-4)
        assert found.same_hand == (score >= painters.network.card.threshold)
        assert found.copies is None
    swapped = painters.compare(*reversed(two))
    assert swapped.score == pytest.approx(score, abs=1e-5)


def test_error_rates_are_those_measured_on_unseen_artists(model: Path, painters: Painters, two: tuple) -> None:
    unseen = RunFolder(model).metrics["unseen"]
    rates = painters.compare(*two).rates
    assert rates.artists == unseen["artists"]
    assert rates.wrongly_same == unseen["realised_far_balanced"]
    assert rates.wrongly_same_interval == tuple(unseen["interval"]["realised_far_balanced"])
    assert rates.wrongly_different == 1 - unseen["realised_recall_balanced"]
    assert 1 - (rates.wrongly_same + rates.wrongly_different) / 2 == pytest.approx(unseen["balanced_accuracy"])
    low, high = rates.wrongly_different_interval
    assert low <= rates.wrongly_different <= high


def test_the_text_says_all_of_it(painters: Painters, two: tuple[Path, Path]) -> None:
    text = painters.compare(*two, prior=0.0131).text()
    for part in (str(two[0]), "if 1.3 % of such pairs", "artists never seen in training", " to ", "not authentication"):
        assert part in text
    plain = painters.compare(*two).to_dict()
    assert json.loads(json.dumps(plain)) == json.loads(json.dumps(plain))
    assert plain["caveat"] == "This is evidence, not authentication."


def test_the_same_file_twice_is_said_and_gets_no_probability(painters: Painters, two: tuple, tmp_path: Path) -> None:
    link, copy = tmp_path / "link.png", tmp_path / "copy.png"
    link.symlink_to(two[0])
    copy.write_bytes(two[0].read_bytes())
    for other in (two[0], link, copy, str(two[0])):
        found = painters.compare(two[0], other)
        assert (found.copies, found.probability, found.same_hand) == ("file", None, None)
        assert "the same file" in found.text()
    with Image.open(two[0]) as image:
        smaller = image.resize((80, 80))
    found = painters.compare(two[0], smaller)
    assert (found.copies, found.probability) == ("picture", None)
    assert "copies of one picture" in found.text()


def test_lists_are_compared_pair_by_pair(painters: Painters, pictures: Path) -> None:
    files = sorted(pictures.rglob("*.png"))
    found = painters.compare(files[:3], files[3:6])
    assert [(one.a, one.b) for one in found] == [(str(a), str(b)) for a, b in zip(files[:3], files[3:6], strict=True)]
    assert found[1].score == pytest.approx(painters.compare(files[1], files[4]).score, abs=1e-5)
    with pytest.raises(MorelliError, match="3 and 2 pictures"):
        painters.compare(files[:3], files[3:5])


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, 2.0])
def test_an_impossible_prior_is_refused(painters: Painters, two: tuple[Path, Path], prior: float) -> None:
    with pytest.raises(MorelliError, match="between 0 and 1"):
        painters.compare(*two, prior=prior)


def test_a_network_that_knows_less_says_so(model: Path, two: tuple[Path, Path]) -> None:
    network = Network.load(model)
    bare = Painters(network.with_facts(calibration=None, threshold=None, measured=None), model).compare(*two)
    assert (bare.probability, bare.threshold, bare.same_hand, bare.rates) == (None, None, None, None)
    assert "no calibration" in bare.text()
    assert "stands nowhere" in bare.text()
    flat = {**network.card.calibration, "slope": 0.0}
    assert "no better than chance" in Painters(network.with_facts(calibration=flat), model).compare(*two).text()


def test_training_paintings_are_recognised(model: Path, two: tuple[Path, Path]) -> None:
    import hashlib

    digest = hashlib.sha256(two[1].read_bytes()).hexdigest()[:16]
    painters = Painters(Network.load(model).with_facts(training_paintings=(digest,)), model)
    text = painters.compare(*two).text()
    assert "B is one of the paintings the network was trained on" in text
    assert "A is one" not in text
