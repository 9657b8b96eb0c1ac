"""The whole competition through the command line, at a small size: download, prepare, train, submit, score."""

import csv
import io
import itertools
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from morelli.cli import main
from morelli.data.prepared import read_paintings
from morelli.evaluation.calibration import Calibration
from morelli.models.network import Network
from morelli.synthetic.painters import SyntheticPainters

sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
from kaggle_server import KaggleServer

ARTISTS, PER_ARTIST, UNSEEN_FROM = 16, 6, 12
STYLES, SOURCES = ("Cubism", "Rococo", "Ukiyo-e"), ("wikiart", "wikipedia")
SIDES = {"both_artists_seen": 2, "one_artist_unseen": 1, "both_artists_unseen": 0}
RECIPE = (
    "backbones=[{name: test_efficientnet, weights: none, image_size: 64}]",
    "objectives=[triplet, bce-pair]",
    "split={kind: competition, validation_fraction: 0.3}",
    "training={epochs: 2, batch_size: 8, m: 2}",
    "head={hidden: [16], width: 8}",
)


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def morelli(*arguments: object) -> Said:
    """What a person sees who types the command."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        monkeypatch.setattr(sys, "argv", ["morelli", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
    return Said(int(left.value.code or 0), out.getvalue(), err.getvalue())


def done(*arguments: object) -> Said:
    said = morelli(*arguments)
    assert said.code == 0, said.err
    return said


def refused(*arguments: object) -> str:
    """The message of a command that exits with 2, in one line."""
    said = morelli(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
    return " ".join(said.err.split())


def zipped(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def csv_text(rows: list[dict[str, object]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def small_competition() -> tuple[dict[str, bytes], pd.DataFrame]:
    """The competition's files by name, and its solution, which Kaggle keeps.

    Artists from the twelfth on are test_only; of the others two paintings in six are test pictures. The test pictures
    are in three groups. One training picture is cut off and has a replacement.
    """
    painters = SyntheticPainters(artists=ARTISTS, paintings_per_artist=PER_ARTIST, size=64)
    rows: list[dict[str, object]] = []
    pictures: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    for number, (artist, painting) in enumerate(itertools.product(range(ARTISTS), range(PER_ARTIST))):
        stream = io.BytesIO()
        painters.paint(artist, painting).save(stream, "JPEG", quality=90)
        side = "train" if artist < UNSEEN_FROM and painting < 4 else "test"
        name = f"{1000 + 7 * number}.jpg"
        pictures[side][f"{side}/{name}"] = stream.getvalue()
        rows.append(
            {
                "artist": f"Artist {artist:02}",
                "date": f"c.{1700 + 5 * number}",
                "genre": "portrait",
                "pixelsx": 64.0,
                "pixelsy": 64.0,
                "size_bytes": 1.0,
                "source": SOURCES[number % 2],
                "style": STYLES[number % 3],
                "title": "A, b",
                "artist_group": "test_only" if artist >= UNSEEN_FROM else "train_and_test",
                "in_train": side == "train",
                "new_filename": name,
            }
        )
    broken = next(iter(pictures["train"]))
    replacements = {broken: pictures["train"][broken], "__MACOSX/train/._x.jpg": b"x"}
    pictures["train"][broken] = pictures["train"][broken][:-300]

    artist_of = {str(row["new_filename"]): row["artist"] for row in rows}
    tested = [name.removeprefix("test/") for name in pictures["test"]]
    np.random.default_rng(0).shuffle(tested)
    pairs = [pair for group in np.array_split(tested, 3) for pair in itertools.combinations(map(str, group), 2)]
    listed: list[dict[str, object]] = [{"index": i, "image1": a, "image2": b} for i, (a, b) in enumerate(pairs)]
    solution = pd.DataFrame(
        {"index": range(len(pairs)), "sameArtist": [artist_of[a] == artist_of[b] for a, b in pairs]}
    )
    trained = [{"filename": r["new_filename"], "artist": r["artist"]} for r in rows if r["in_train"]]
    files = {
        "train.zip": zipped(pictures["train"]),
        "test.zip": zipped(pictures["test"]),
        "replacements_for_corrupted_files.zip": zipped(replacements),
        "all_data_info.csv.zip": zipped({"all_data_info.csv": csv_text(rows)}),
        "train_info.csv.zip": zipped({"train_info.csv": csv_text(trained)}),
        "submission_info.csv.zip": zipped({"submission_info.csv": csv_text(listed)}),
    }
    return files, solution.astype({"sameArtist": int})


@dataclass(frozen=True)
class Competition:
    downloads: Path
    prepared: Path
    runs: Path
    solution: Path

    @property
    def pairs(self) -> Path:
        return self.downloads / "submission_info.csv.zip"


@pytest.fixture(scope="module")
def entered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Competition]:
    """The competition downloaded, prepared, and a cosine network and a pair head trained; tests only read it."""
    folder = tmp_path_factory.mktemp("competition")
    files, solution = small_competition()
    here = Competition(folder / "downloads", folder / "prepared", folder / "runs", folder / "solution.csv")
    solution.to_csv(here.solution, index=False)
    with pytest.MonkeyPatch.context() as monkeypatch, KaggleServer(files) as server:
        monkeypatch.setenv("MORELLI_CACHE", str(folder / "cache"))
        server.use(monkeypatch, folder / "home")
        done("data", "download", "--out", here.downloads)
        done("data", "prepare", here.downloads, "--out", here.prepared, "--size", 64, "--workers", 1)
        settings = [part for setting in RECIPE for part in ("--set", setting)]
        for objective in ("triplet", "bce-pair"):
            out = here.runs / objective
            done("train", "--data", here.prepared, "--objective", objective, "--out", out, *settings)
        yield here


def scored(*arguments: object) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(done("score", *arguments, "--csv").out)).set_index("kind")


def pictures_and_truth(here: Competition, submission: Path) -> pd.DataFrame:
    """An independent join of submission, solution, list and table: one row a pair."""
    table = pd.read_csv(here.downloads / "all_data_info.csv.zip").set_index("new_filename")
    rows = (
        pd.read_csv(here.pairs)
        .merge(pd.read_csv(submission), on="index")
        .merge(pd.read_csv(here.solution), on="index", suffixes=("", "_true"))
    )
    for column in ("artist_group", "style", "source"):
        rows[f"{column}1"], rows[f"{column}2"] = (rows[image].map(table[column]) for image in ("image1", "image2"))
    return rows


@pytest.mark.parametrize("objective", ["triplet", "bce-pair"])
def test_from_nothing_to_a_scored_submission(entered: Competition, tmp_path: Path, objective: str) -> None:
    prepared = read_paintings(entered.prepared)
    assert (len(prepared), prepared["status"].eq("repaired").sum()) == (ARTISTS * PER_ARTIST, 1)
    submission = tmp_path / "submission.csv.gz"

    said = done(
        "submit", entered.runs / objective, "--data", entered.prepared, "--pairs", entered.pairs, "--out", submission
    )
    table = scored(submission, entered.solution, "--data", entered.prepared, "--pairs", entered.pairs)

    rows = pictures_and_truth(entered, submission)
    assert "3 groups" in said.out
    assert f"{len(rows):,} pairs of 48 pictures" in said.out
    assert "was trained on pictures of" not in said.err
    assert list(pd.read_csv(submission)["index"]) == list(pd.read_csv(entered.pairs)["index"])
    assert rows["sameArtist"].nunique() > len(rows) / 2
    expected = {"all": (rows["index"] >= 0, rows["index"] >= 0)}
    is_same = rows["sameArtist_true"].eq(1)
    for kind, seen in SIDES.items():
        of_kind = rows[["artist_group1", "artist_group2"]].ne("test_only").sum(axis=1).eq(seen)
        expected[kind] = (of_kind if seen != 1 else is_same, of_kind)
    expected["same_style"] = (is_same, rows["style1"].eq(rows["style2"]))
    for source in SOURCES:
        of_source = rows["source1"].eq(source) & rows["source2"].eq(source)
        expected[f"source_{source}"] = (of_source, of_source)
    for kind, (positives, negatives) in expected.items():
        asked = rows[is_same & positives | ~is_same & negatives]
        auc = roc_auc_score(asked["sameArtist_true"], asked["sameArtist"])
        assert table.loc[kind, "auc"] == pytest.approx(auc, abs=1e-12), kind
        assert table.loc[kind, "same_artist"] == asked["sameArtist_true"].sum()
        assert table.loc[kind, "different_artists"] == asked["sameArtist_true"].eq(0).sum()


def test_a_network_scores_pairs_as_its_own_measurement_does(entered: Competition, tmp_path: Path) -> None:
    """The training's own report of unseen artists, which takes all pairs among them, in another order."""
    tested = read_paintings(entered.prepared).query("artist_group == 'test_only'")
    pairs = tmp_path / "pairs.csv"
    listed = list(itertools.combinations(tested["id"].sample(frac=1, random_state=0), 2))
    pd.DataFrame(listed, columns=["image1", "image2"]).rename_axis("index").to_csv(pairs)
    artist = dict(zip(tested["id"], tested["artist"], strict=True))
    truth = pd.DataFrame({"sameArtist": [int(artist[a] == artist[b]) for a, b in listed]}).rename_axis("index")
    truth.to_csv(tmp_path / "truth.csv")
    for objective in ("triplet", "bce-pair"):
        out = tmp_path / f"{objective}.csv"
        done("submit", entered.runs / objective, "--data", entered.prepared, "--pairs", pairs, "--out", out)
        measured = json.loads((entered.runs / objective / "metrics.json").read_text())["unseen"]["pair_auc"]
        assert scored(out, tmp_path / "truth.csv").loc["all", "auc"] == pytest.approx(measured, abs=2e-3)


def test_a_calibrated_network_writes_probabilities_for_the_prior(entered: Competition, tmp_path: Path) -> None:
    calibration = Calibration("platt", slope=3.0, offset=-0.5, thresholds={}, artists=())
    network = Network.load(entered.runs / "triplet")
    network.with_facts(calibration=None).save(tmp_path / "plain")
    network.with_facts(calibration=calibration.to_dict()).save(tmp_path / "calibrated")
    arguments = ("--data", entered.prepared, "--pairs", entered.pairs, "--out")
    done("submit", tmp_path / "plain", *arguments, tmp_path / "scores.csv")
    done("submit", tmp_path / "calibrated", *arguments, tmp_path / "default.csv")
    done("submit", tmp_path / "calibrated", *arguments, tmp_path / "half.csv", "--prior", 0.5)

    scores, default, half = (pd.read_csv(tmp_path / f"{n}.csv")["sameArtist"] for n in ("scores", "default", "half"))
    odds = np.exp(3.0 * scores - 0.5)
    assert half.to_numpy() == pytest.approx((odds / (1 + odds)).to_numpy(), abs=1e-6)
    odds *= 0.0131 / 0.9869
    assert default.to_numpy() == pytest.approx((odds / (1 + odds)).to_numpy(), abs=1e-6)

    flat = replace(calibration, slope=0.0)
    network.with_facts(calibration=flat.to_dict()).save(tmp_path / "flat")
    said = done("submit", tmp_path / "flat", *arguments, tmp_path / "flat.csv")
    assert "scores are written instead of probabilities" in said.err
    assert (tmp_path / "flat.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()


def test_a_trained_network_is_calibrated(entered: Competition) -> None:
    card = Network.load(entered.runs / "bce-pair").card
    assert card.threshold is not None
    assert card.calibration is not None


def test_score_finds_the_list_beside_the_files_and_prints_a_table(entered: Competition, tmp_path: Path) -> None:
    shutil.copy(entered.solution, tmp_path / "submission.csv")
    shutil.copy(entered.solution, tmp_path / "solution.csv")
    arguments = ("score", tmp_path / "submission.csv", tmp_path / "solution.csv")
    positives = pd.read_csv(entered.solution)["sameArtist"].sum()
    header, row = (line.split() for line in done(*arguments).out.splitlines())
    assert header == ["kind", "auc", "error_bound", "same_artist", "different_artists"]
    assert row[:4] == ["all", "1.0", "0.0", str(positives)]

    message = refused(*arguments, "--data", entered.prepared)
    assert "need the list of pairs" in message
    assert "submission_info.csv" in message
    assert "give --data too" in refused(*arguments, "--pairs", entered.pairs)

    shutil.copy(entered.pairs, tmp_path)
    assert "both_artists_unseen" in done(*arguments, "--data", entered.prepared).out


def test_a_kind_without_same_artist_pairs_has_no_auc(entered: Competition, tmp_path: Path) -> None:
    listed, solution = pd.read_csv(entered.pairs), pd.read_csv(entered.solution)
    table = read_paintings(entered.prepared).set_index("id")
    unseen = listed["image1"].str.removesuffix(".jpg").map(table["artist_group"]).eq("test_only")
    kept = ~(unseen & solution["sameArtist"].eq(1))
    listed[kept].to_csv(tmp_path / "submission_info.csv", index=False)
    solution[kept].to_csv(tmp_path / "solution.csv", index=False)
    submission = solution[kept].assign(sameArtist=0.5)
    submission.to_csv(tmp_path / "submission.csv", index=False)

    said = done("score", tmp_path / "submission.csv", tmp_path / "solution.csv", "--data", entered.prepared)
    of_kind = {line.split()[0]: line.split()[1:4] for line in said.out.splitlines()}
    assert of_kind["all"][:2] == ["0.5", "0.0"]
    assert of_kind["both_artists_unseen"] == ["-", "-", "0"]


def test_submit_refuses_what_it_cannot_use(entered: Competition, tmp_path: Path) -> None:
    model, out = entered.runs / "triplet", tmp_path / "submission.csv"
    good = {"--data": entered.prepared, "--pairs": entered.pairs, "--out": out}

    def message(model: Path = model, **changed: object) -> str:
        options = {**good, **{f"--{name}": value for name, value in changed.items()}}
        text = refused("submit", model, *itertools.chain.from_iterable(options.items()))
        assert not out.exists()
        return text

    def pairs(text: str) -> Path:
        path = tmp_path / "pairs.csv"
        path.write_text(text)
        return path

    one, other = read_paintings(entered.prepared).query("~in_train")["id"][:2]
    header = "index,image1,image2\n"
    assert "pairs.csv, line 3" in (
        said := message(pairs=pairs(f"{header}0,{one}.jpg,{other}.jpg\n1,{one}.jpg,9.jpg\n"))
    )
    assert "no picture has the id of 9.jpg" in said
    assert "no column image2" in message(pairs=pairs("index,image1,image3\n0,1.jpg,2.jpg\n"))
    assert "stands already in line 2" in message(
        pairs=pairs(f"{header}0,{one}.jpg,{other}.jpg\n1,{other}.jpg,{one}.jpg\n")
    )
    assert "There is no file" in (said := message(pairs=tmp_path / "nothing.csv"))
    assert "morelli data download" in said
    assert "holds no trained model" in message(model=tmp_path / "nothing")
    assert "No prepared folder at" in message(data=tmp_path / "nothing")
    for prior in (0, 1, -0.5, 1.5):
        assert "between 0 and 1" in message(prior=prior)
    assert "written as .csv or .csv.gz" in message(out=tmp_path / "submission.txt")


def test_submit_says_that_a_folder_of_training_pictures_alone_cannot_do(entered: Competition, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    shutil.copytree(entered.downloads, downloads)
    (downloads / "test.zip").unlink()
    done("data", "prepare", downloads, "--out", tmp_path / "prepared", "--workers", 1)
    arguments = ("--data", tmp_path / "prepared", "--pairs", entered.pairs, "--out", tmp_path / "submission.csv")
    assert "holds only the competition's training pictures" in refused("submit", entered.runs / "triplet", *arguments)


def test_a_network_made_for_another_prepared_size_is_used_and_said(entered: Competition, tmp_path: Path) -> None:
    done("data", "prepare", entered.downloads, "--out", tmp_path / "prepared", "--size", 48, "--workers", 1)
    with Image.open(next((tmp_path / "prepared" / "images").rglob("*.jpg"))) as picture:
        assert min(picture.size) == 48
    out = tmp_path / "submission.csv"
    arguments = ("--data", tmp_path / "prepared", "--pairs", entered.pairs, "--out", out)
    said = done("submit", entered.runs / "triplet", *arguments)
    assert "Note: the network was trained on pictures of 64 px, these have 48 px." in said.err
    assert len(pd.read_csv(out)) == len(pd.read_csv(entered.solution))


def test_score_refuses_what_it_cannot_use(entered: Competition, tmp_path: Path) -> None:
    submission = tmp_path / "submission.csv"

    def message(text: str, *options: object, solution: Path = entered.solution) -> str:
        submission.write_text(text)
        return refused("score", submission, solution, *options)

    good = entered.solution.read_text()
    assert "lacks index 0" in message(good.replace("\n0,", "\n99999,", 1))
    assert "more than one row for index 1" in message(good + "1,0.5\n")
    assert "no column sameArtist" in message(good.replace("sameArtist", "sameartist", 1))
    assert "submission.csv, line 2: column sameArtist" in message("index,sameArtist\n0,high\n")
    assert "There is no file" in message(good, solution=tmp_path / "nothing.csv")
    assert "No prepared folder at" in message(good, "--data", tmp_path / "nothing", "--pairs", entered.pairs)
    few = tmp_path / "few.csv"
    few.write_text("index,image1,image2\n")
    assert "has a header but no rows" in message(good, "--data", entered.prepared, "--pairs", few)
    few.write_text("index,image1,image2\n0,1.jpg,9.jpg\n")
    assert "few.csv, line 2: no picture has the id of" in message(good, "--data", entered.prepared, "--pairs", few)
    (tmp_path / "guesses.csv").write_text(good.replace(",1\n", ",0.7\n"))
    assert "must be 0 or 1" in message(good, solution=tmp_path / "guesses.csv")
