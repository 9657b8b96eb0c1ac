"""Likelihood ratios and cohorts in answers about one's own pictures."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from morelli import MorelliError, Network, Painters, SyntheticPainters
from morelli.bench.measure import evaluate_network
from morelli.data.prepared import read_paintings, write_paintings
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.normalisation import FolderScorer
from morelli.gallery.compare import Comparison
from morelli.gallery.identify import Answer
from morelli.gallery.scoring import cohort_embeddings
from morelli.gallery.search import SearchResult
from morelli.models.heads import CosineScorer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures by eight artists."""
    made = tmp_path_factory.mktemp("forty")
    hands = SyntheticPainters(artists=8, paintings_per_artist=5, size=64, seed=3)
    for artist in range(8):
        for painting in range(5):
            hands.paint(artist, painting).save(made / f"{artist}-{painting}.png")
    return made


@pytest.fixture(scope="module")
def index(painters: Painters, folder: Path) -> Path:
    return painters.index(folder).path


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query") / "query.png"
    SyntheticPainters(artists=2, paintings_per_artist=1, size=80, seed=11).paint(0, 0).save(path)
    return path


def test_the_ratio_is_the_calibrations_within_its_bounds(painters: Painters, folder: Path) -> None:
    calibration = Calibration.from_dict(painters.network.card.calibration)
    found = painters.compare(folder / "0-0.png", folder / "1-0.png")
    wanted = np.clip(calibration.slope * found.score + calibration.offset, *calibration.bounds) / np.log(10)
    assert found.lr.log10 == pytest.approx(wanted, abs=1e-4)
    low, high = found.lr.interval
    assert low <= found.lr.log10 <= high
    assert found.lr.bounds[0] <= low
    assert high <= found.lr.bounds[1]
    assert np.log10(found.probability / (1 - found.probability)) == pytest.approx(found.lr.log10, abs=1e-4)


def test_json_begins_with_the_ratio_and_the_text_is_narrow(painters: Painters, folder: Path) -> None:
    found = painters.compare(folder / "0-0.png", folder / "1-0.png")
    plain = json.loads(json.dumps(found.to_dict()))
    assert next(iter(plain)) == "log10_lr"
    assert plain["log10_lr"] == found.lr.log10
    assert plain["log10_lr_bounds"] == list(found.lr.bounds)
    text = found.text()
    assert "times likelier if" in text
    assert "ENFSI 2015" in text
    assert all(len(line) <= 80 for line in text.splitlines()[2:7])


def test_copies_have_no_ratio(painters: Painters, folder: Path) -> None:
    found = painters.compare(folder / "0-0.png", folder / "0-0.png")
    assert found.lr is None
    assert found.to_dict()["log10_lr"] is None


@pytest.mark.parametrize("kind", ["folder", "index"])
def test_a_folder_and_its_index_are_the_same_cohort(
    painters: Painters, folder: Path, index: Path, query: Path, kind: str
) -> None:
    cohort = folder if kind == "folder" else index
    other = folder / "3-1.png"
    found = painters.compare(query, other, cohort=cohort)
    files = [path for path in sorted(folder.glob("*.png")) if path != other]  # itself says nothing
    scorer = FolderScorer(CosineScorer(), painters.embed(files))
    a, b = painters.embed([query, other])
    assert found.score == pytest.approx(float(scorer.matrix(a[None], b[None])), abs=2e-3)
    assert (found.cohort, found.cohort_pictures) == (str(cohort), 39)
    assert any("39 pictures" in note and "200 are enough" in note for note in found.notes)
    learned = painters.network.card.with_cohort["own"]
    assert found.threshold == learned["threshold"]
    assert found.rates.wrongly_same == painters.network.card.measured["realised_far_balanced_own_cohort"]


def test_training_paintings_are_a_cohort(painters: Painters, folder: Path, query: Path) -> None:
    found = painters.compare(query, folder / "0-0.png", cohort="training")
    scorer = FolderScorer(CosineScorer(), painters.network.cohort.cpu())
    a, b = painters.embed([query, folder / "0-0.png"])
    assert found.score == pytest.approx(float(scorer.matrix(a[None], b[None])), abs=2e-3)
    assert found.cohort == "training"


def test_an_index_is_its_own_cohort_unless_told_otherwise(painters: Painters, index: Path, query: Path) -> None:
    found = painters.search(index, query, 3)
    compared = painters.compare(query, found.matches[0].path, cohort=index)
    assert found.cohort == str(index)
    assert found.matches[0].lr.log10 == pytest.approx(compared.lr.log10, abs=0.02)
    plain = painters.search(index, query, 3, cohort="none")
    assert (plain.cohort, plain.notes) == ("none", ())
    assert plain.matches[0].score == pytest.approx(painters.compare(query, plain.matches[0].path).score, abs=1e-4)
    assert json.loads(json.dumps(found.to_dict()))["matches"][0]["log10_lr"] == found.matches[0].lr.log10


def test_a_small_index_is_none(painters: Painters, pictures: Path, query: Path) -> None:
    index = painters.index(pictures).path
    assert painters.search(index, query).cohort == "none"
    with pytest.raises(MorelliError, match="A cohort of 9 pictures is too small"):
        painters.search(index, query, cohort=index)


def test_identification_has_ratios_of_each_way_of_scoring(
    painters: Painters, folder: Path, query: Path, tmp_path: Path
) -> None:
    index = painters.index(folder, tmp_path / "index").path
    for artist in range(3):
        inner = tmp_path / f"by-{artist}"
        inner.mkdir()
        for painting in range(2):
            SyntheticPainters(artists=8, paintings_per_artist=9, size=64, seed=3).paint(artist, 6 + painting).save(
                inner / f"{painting}.png"
            )
        painters.enroll(index, f"Artist {artist}", inner)
    for cohort, kind in ((None, str(index)), ("none", "none")):
        answer = painters.identify(index, query, cohort=cohort)
        assert answer.cohort == kind
        order = np.argsort([-one.log10_lr for one in answer.candidates], kind="stable")
        assert order.tolist() == [0, 1, 2]
        assert "log10 LR" in answer.text()


def test_a_network_of_an_earlier_version_says_what_it_lacks(model: Path, folder: Path, index: Path) -> None:
    network = Network.load(model)
    former = {key: value for key, value in network.card.calibration.items() if key not in ("bounds", "covariance")}
    painters = Painters(network.with_facts(calibration=former, with_cohort={}), model)
    found = painters.compare(folder / "0-0.png", folder / "1-0.png")
    assert found.lr is None
    assert found.probability is not None
    assert "before likelihood ratios" in found.text()
    assert painters.search(index, folder / "0-0.png").cohort == "none"
    with pytest.raises(MorelliError, match="learned no thresholds for scores that are normalised by a cohort"):
        painters.compare(folder / "0-0.png", folder / "1-0.png", cohort=folder)


@pytest.mark.parametrize(
    ("cohort", "message"), [("nowhere", "there is no nowhere"), ("empty", "holds no pictures"), ("bad", "can be used")]
)
def test_what_is_no_cohort_is_refused(
    painters: Painters, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cohort: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "one.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MorelliError, match=message):
        painters.compare(folder / "0-0.png", folder / "1-0.png", cohort=cohort)


def test_copies_of_what_is_compared_leave_the_cohort(
    painters: Painters, folder: Path, query: Path, tmp_path: Path
) -> None:
    crowd = tmp_path / "crowd"
    crowd.mkdir()
    for path in folder.glob("*.png"):
        (crowd / path.name).write_bytes(path.read_bytes())
    with Image.open(query) as image:
        image.resize((70, 70)).save(crowd / "copy-of-query.png")
    found = painters.compare(query, folder / "0-0.png", cohort=crowd)
    assert found.cohort_pictures == 39
    assert torch.isfinite(torch.tensor(found.score))


@pytest.mark.parametrize("cohort", [None, "folder"])
def test_an_answer_does_not_depend_on_what_was_asked_before_or_with_it(
    model: Path, folder: Path, query: Path, tmp_path: Path, cohort: str | None
) -> None:
    """A query's copies leave the cohort for that query only."""
    crowd = tmp_path / "crowd"
    shutil.copytree(folder, crowd)
    with Image.open(query) as image:
        image.resize((70, 70)).save(crowd / "copy-of-query.png")
    queries = [query, crowd / "0-0.png", crowd / "5-2.png"]
    of_folder = {"cohort": crowd} if cohort else {}
    painters = Painters.load(model)
    index = painters.index(crowd, tmp_path / "crowd.index").path
    painters.enroll(index, "Some", folder)
    alone = [Painters.load(model).search(index, one, 5, **of_folder) for one in queries]
    for places in ([0, 1, 2], [2, 1, 0]):
        assert [painters.search(index, queries[one], 5, **of_folder) for one in places] == [alone[i] for i in places]
    assert [one.cohort_pictures for one in alone] == [40, 40, 40]

    def scores(answer: SearchResult | Answer | Comparison) -> list[float | None]:
        """As far as they do not depend on how many pictures pass the network at once."""
        of = getattr(answer, "matches", None) or getattr(answer, "candidates", None) or [answer]
        return [answer.cohort_pictures, *(one.score for one in of)]

    others = [crowd / "1-1.png", crowd / "2-2.png", crowd / "3-3.png"]
    for together, each in (
        (painters.search(index, queries, 5, **of_folder), alone),
        (painters.identify(index, queries, **of_folder), [painters.identify(index, q, **of_folder) for q in queries]),
        (
            painters.compare(queries, others, cohort=crowd),
            map(partial(painters.compare, cohort=crowd), queries, others),
        ),
    ):
        for one, other in zip(together, each, strict=True):
            assert scores(one) == pytest.approx(scores(other), abs=1e-3)


def test_an_evaluation_takes_another_folder_for_its_cohort(
    painters: Painters, model: Path, folder: Path, index: Path, tmp_path: Path
) -> None:
    SyntheticPainters(artists=6, paintings_per_artist=5, size=64, seed=21).write(tmp_path / "data", workers=1)
    paintings = read_paintings(tmp_path / "data")
    write_paintings(tmp_path / "data", paintings.assign(artist="Other " + paintings["artist"]))
    own = evaluate_network(model, tmp_path / "data")["unseen"]
    other = evaluate_network(model, tmp_path / "data", cohort=partial(cohort_embeddings, index))["unseen"]
    assert own["pair_auc"] == other["pair_auc"]
    assert own["realised_far_0.1_own_cohort"] != other["realised_far_0.1_own_cohort"]
    by_folder = evaluate_network(model, tmp_path / "data", cohort=partial(cohort_embeddings, folder))["unseen"]
    assert by_folder["cllr_own_cohort"] == pytest.approx(other["cllr_own_cohort"], abs=1e-3)
    for name in ("none", "nowhere"):
        with pytest.raises(MorelliError, match=f"{name}"):
            cohort_embeddings(Path(name), painters.network)
