"""Artists are enrolled from a few paintings, and pictures get a name, or none of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli import MorelliError, Network, Painters
from morelli.evaluation.identification import Identification, artist_embedding


@pytest.fixture
def index(painters: Painters, pictures: Path) -> Path:
    path = painters.index(pictures).path
    for artist in range(2):
        folder = pictures.parent / f"enrolled-{artist}"
        shutil.copytree(pictures / f"artist-{artist}" / "deep", folder)
        painters.enroll(path, f"Hand {artist}", folder)
    return path


def test_probabilities_are_those_of_the_learned_rule(painters: Painters, index: Path, pictures: Path) -> None:
    query = pictures / "artist-0" / "0.png"
    answer = painters.identify(index, query)
    assert {candidate.artist for candidate in answer.candidates} == {"Hand 0", "Hand 1"}
    assert [candidate.paintings for candidate in answer.candidates] == [2, 2]
    chances = [candidate.probability for candidate in answer.candidates]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) + answer.none == pytest.approx(1)

    rules = Identification.from_dict(painters.network.card.identification)
    scorer = painters.network.scorer
    for candidate in answer.candidates:
        shown = painters.embed(sorted((pictures.parent / f"enrolled-{candidate.artist[-1]}").iterdir()))
        score = float(scorer.pairwise_distance(painters.embed(query), artist_embedding(shown, scorer)[None]))
        assert candidate.score == pytest.approx(score, abs=1e-4)
    scores = np.array([[candidate.score for candidate in answer.candidates]])
    np.testing.assert_allclose(rules.probabilities(scores, [2, 2])[0], [*chances, answer.none], atol=1e-6)
    assert answer.threshold == rules.rules[2].threshold
    assert answer.rates == rules.rules[2].rates
    assert answer.artist == (answer.candidates[0].artist if chances[0] >= answer.threshold else None)


def test_the_prior_moves_the_probabilities_but_not_the_name(painters: Painters, index: Path, pictures: Path) -> None:
    query = pictures / "artist-2" / "0.png"
    sure, unsure = (painters.identify(index, query, prior=prior) for prior in (0.99, 0.01))
    assert sure.none < unsure.none
    assert sure.artist == unsure.artist
    with pytest.raises(MorelliError, match="between 0 and 1"):
        painters.identify(index, query, prior=0)


def test_the_answer_in_words_and_json(painters: Painters, index: Path, pictures: Path) -> None:
    answers = painters.identify(index, [pictures / "artist-2" / "0.png", pictures / "artist-1" / "0.png"])
    for answer in answers:
        text = answer.text()
        assert "none of these" in text
        assert "validation artists" in text
        assert text.endswith("evidence, not authentication.")
        assert json.loads(json.dumps(answer.to_dict()))["query"] == answer.query


def test_an_artist_enrolled_twice_is_refused_unless_replaced(painters: Painters, index: Path, pictures: Path) -> None:
    for name in ("Hand 0", "  hand  0 ", "HÁND 0"):
        with pytest.raises(MorelliError, match="Hand 0 is enrolled already, with 2 paintings"):
            painters.enroll(index, name, pictures / "artist-0")
    done = painters.enroll(index, "Hand 0", pictures / "artist-0", replace=True)
    assert done.paintings == 3
    found = painters.identify(index, pictures / "artist-2" / "0.png")
    assert {candidate.artist: candidate.paintings for candidate in found.candidates} == {"Hand 0": 3, "Hand 1": 2}


def test_one_painting_is_said_to_be_little(painters: Painters, index: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(pictures / "artist-2" / "0.png", folder)
    shutil.copy(pictures / "artist-2" / "0.png", folder / "twin.png")
    with Image.open(folder / "0.png") as image:
        image.resize((80, 80)).save(folder / "smaller.png")
    done = painters.enroll(index, "Hand 2", folder)
    assert (done.paintings, done.copies) == (1, [["0.png", "smaller.png", "twin.png"]])
    assert "One painting says little" in done.text()
    # The rates of the answer are those of one painting when it is the one that is named.
    rules = Identification.from_dict(painters.network.card.identification)
    assert rules.rule(1) == rules.rules[1] != rules.rules[2]


def test_the_same_painting_cannot_be_by_two(painters: Painters, index: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    shutil.copy(pictures / "artist-0" / "deep" / "1.png", folder / "mine.png")
    with pytest.raises(MorelliError, match=r"mine.png is enrolled already, as a painting by Hand 0"):
        painters.enroll(index, "Hand 9", folder)


def test_an_enrolled_picture_does_not_speak_for_itself(painters: Painters, index: Path, pictures: Path) -> None:
    query = pictures / "artist-0" / "deep" / "1.png"
    answer = painters.identify(index, query)
    assert {one.artist: one.paintings for one in answer.candidates} == {"Hand 0": 1, "Hand 1": 2}
    assert "itself is enrolled as a painting by Hand 0" in answer.text()


def test_a_picture_that_is_all_there_is(painters: Painters, pictures: Path, tmp_path: Path) -> None:
    index = painters.index(pictures).path
    (tmp_path / "one").mkdir()
    shutil.copy(pictures / "artist-2" / "0.png", tmp_path / "one")
    painters.enroll(index, "Hand 2", tmp_path / "one")
    with pytest.raises(MorelliError, match="says nothing of itself"):
        painters.identify(index, pictures / "artist-2" / "0.png")


def test_mistakes(painters: Painters, other_model: Path, index: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.jpg").write_text("a letter")
    for folder, why in ((tmp_path / "none", "no folder"), (tmp_path / "empty", "no pictures"), (bad, "text.jpg: not")):
        with pytest.raises(MorelliError, match=why):
            painters.enroll(index, "Hand 9", folder)
    with pytest.raises(MorelliError, match="needs a name"):
        painters.enroll(index, "  ", pictures)
    with pytest.raises(MorelliError, match="made by another model"):
        Painters.load(other_model).enroll(index, "Hand 9", pictures)
    with pytest.raises(MorelliError, match="made by another model"):
        Painters.load(other_model).identify(index, pictures / "artist-0" / "0.png")
    fresh = painters.index(pictures, tmp_path / "fresh").path
    with pytest.raises(MorelliError, match="No artist is enrolled"):
        painters.identify(fresh, pictures / "artist-0" / "0.png")


def test_a_model_without_rules_ranks_and_names_nobody(model: Path, index: Path, pictures: Path) -> None:
    network = Network.load(model).with_facts(identification=None)
    answer = Painters(network, model).identify(index, pictures / "artist-0" / "0.png")
    assert (answer.artist, answer.none, answer.rates) == (None, None, None)
    assert len(answer.candidates) == 2
    assert "not calibrated for identification" in answer.text()
    assert "Answer: not known" in answer.text()


def test_an_artist_of_the_training_is_pointed_out(painters: Painters, index: Path, pictures: Path) -> None:
    name = painters.network.card.training_artists[0]
    assert "was trained on paintings by" in painters.enroll(index, name.upper(), pictures / "artist-2").text()
