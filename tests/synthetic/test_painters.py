import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2_contingency
from sklearn.metrics import roc_auc_score

from morelli.data.artists import artist_key
from morelli.data.prepared import LEFT_OUT, TABLE, read_paintings
from morelli.errors import MorelliError
from morelli.synthetic.painters import SyntheticPainters

FEW = SyntheticPainters(artists=3, paintings_per_artist=3, size=40, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "painters"
    FEW.write(out, workers=1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_parameters_paint_the_same_picture() -> None:
    again = SyntheticPainters(artists=3, paintings_per_artist=3, size=40, seed=5)
    assert FEW.paint(2, 1).tobytes() == again.paint(2, 1).tobytes()
    assert FEW.paint(2, 1).mode == "RGB"
    assert min(FEW.paint(2, 1).size) == 40


def test_every_painting_artist_and_seed_differs() -> None:
    other_seed = SyntheticPainters(artists=3, paintings_per_artist=3, size=40, seed=6)
    pictures = [p.paint(a, n).tobytes() for p in (FEW, other_seed) for a in range(3) for n in range(3)]
    assert len(set(pictures)) == 18
    assert not {artist_key(name) for name in FEW.names} & {artist_key(name) for name in other_seed.names}


def test_an_artist_stays_the_same_when_there_are_more_of_them() -> None:
    more = SyntheticPainters(artists=50, paintings_per_artist=9, size=40, seed=5)
    assert more.paint(2, 1).tobytes() == FEW.paint(2, 1).tobytes()
    assert more.names[:3] == FEW.names


def test_names_differ_when_folded() -> None:
    names = SyntheticPainters(artists=5000).names
    assert len({artist_key(name) for name in names}) == 5000


def test_writes_the_same_bytes_with_any_number_of_processes(folder: Path, tmp_path: Path) -> None:
    FEW.write(tmp_path / "two", workers=2)
    assert contents(tmp_path / "two") == contents(folder)


def test_the_folder_is_a_prepared_folder(folder: Path) -> None:
    paintings = read_paintings(folder)
    assert len(paintings) == 9
    assert paintings["id"].is_unique
    assert paintings["artist"].tolist() == [name for name in FEW.names for _ in range(3)]
    assert paintings["genre"].tolist() == [FEW.subject(a, n) for a in range(3) for n in range(3)]
    assert set(paintings["source"]) == {"synthetic"}
    assert paintings["artist_group"].isna().all()
    assert paintings["in_train"].isna().all()
    for row in paintings.itertuples():
        assert row.file == f"images/{hashlib.sha256(row.id.encode()).hexdigest()[:2]}/{row.id}.jpg"
        assert hashlib.sha256((folder / row.file).read_bytes()).hexdigest() == row.sha256
        with Image.open(folder / row.file) as picture:
            assert (picture.size, picture.mode) == ((row.width, row.height), "RGB")
    assert (folder / LEFT_OUT).read_text() == "id,file,artist,reason\n"


def test_the_files_show_what_paint_paints(folder: Path) -> None:
    with Image.open(folder / read_paintings(folder)["file"][4]) as picture:
        written = np.asarray(picture, dtype=float)
    painted = np.asarray(FEW.paint(1, 1), dtype=float)
    assert abs(written - painted).mean() < 8  # JPEG
    assert np.corrcoef(written.ravel(), painted.ravel())[0, 1] > 0.95


def test_titles_count_the_artists_paintings_of_a_subject(folder: Path) -> None:
    paintings = read_paintings(folder)
    for _, group in paintings.groupby(["artist", "genre"]):
        subject = group["genre"].iloc[0].capitalize()
        assert group["title"].tolist() == [f"{subject} no. {n}" for n in range(1, len(group) + 1)]


def test_an_interrupted_call_is_taken_up_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "painters"
    FEW.write(out, workers=1)
    files = [out / file for file in read_paintings(out)["file"]]
    for path in (out / TABLE, out / LEFT_OUT, files[0], files[-1]):
        path.unlink()
    half = files[1].with_name(".0123456789ab.partial.jpg")
    half.write_bytes(b"half a pic")
    os.utime(half, (1, 1))  # nobody has written to it for long
    os.utime(files[1], (1, 1))
    FEW.write(out, workers=1)
    assert contents(out) == contents(folder)
    assert files[1].stat().st_mtime == 1  # not painted again


def test_a_finished_folder_is_left_alone(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    FEW.write(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_progress_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SyntheticPainters(artists=2, paintings_per_artist=1, size=32).write(tmp_path / "out", workers=1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2/2" in printed.err


def test_other_parameters_in_the_same_folder_are_refused(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(MorelliError, match=r"other synthetic painters: .*size 40.* wanted: .*size 48"):
        SyntheticPainters(artists=3, paintings_per_artist=3, size=48, seed=5).write(folder)
    assert contents(folder) == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(MorelliError, match="is not a folder of synthetic painters"):
        FEW.write(tmp_path)
    assert contents(tmp_path) == {"holiday.jpg": b"mine"}


def test_a_damaged_parameter_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(MorelliError, match=r"synthetic\.json cannot be read"):
        FEW.write(tmp_path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MorelliError, match="cannot be written"):
        FEW.write(tmp_path / "file" / "painters")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("artists", 1),
        ("artists", 10**9),
        ("artists", 2.5),
        ("paintings_per_artist", 0),
        ("size", 31),
        ("size", 5000),
        ("seed", -1),
        ("seed", True),
        ("seed", "0"),
    ],
)
def test_bad_parameters_are_refused(name: str, value: object) -> None:
    with pytest.raises(MorelliError, match=f"{name} is {value!r}. Give a whole number from"):
        SyntheticPainters(**{name: value})


def test_bad_workers_and_unknown_paintings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="workers is 0"):
        FEW.write(tmp_path / "out", workers=0)
    with pytest.raises(MorelliError, match="no artist 3; they run from 0 to 2"):
        FEW.paint(3, 0)
    with pytest.raises(MorelliError, match="no painting -1"):
        FEW.paint(0, -1)


def test_subjects_do_not_depend_on_the_artist() -> None:
    painters = SyntheticPainters(artists=100, paintings_per_artist=60)
    subjects = [[painters.subject(a, n) for n in range(60)] for a in range(100)]
    names = sorted({subject for row in subjects for subject in row})
    counts = [[row.count(name) for name in names] for row in subjects]
    assert names == ["abstract", "horizon", "portrait", "still life"]
    assert chi2_contingency(counts).pvalue > 0.01


def handwriting(picture: Image.Image) -> list[float]:
    """A naive look at the hand: how rough the paint is, at which size, and which way it runs."""
    grey = np.asarray(picture.convert("L"), dtype=float)
    across, down = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
    roughness, axis = np.hypot(across, down), 2 * np.arctan2(down, across)
    fine = np.log(roughness.mean())
    coarser = [np.log(abs(grey[step:] - grey[:-step]).mean()) - fine for step in (4, 10)]
    return [fine, *coarser, np.average(np.cos(axis), weights=roughness), np.average(np.sin(axis), weights=roughness)]


def test_the_hand_tells_artists_apart_and_colour_or_subject_alone_does_not() -> None:
    painters = SyntheticPainters(artists=20, paintings_per_artist=8, size=96, seed=1)
    keys = [(artist, number) for artist in range(20) for number in range(8)]
    pictures = [painters.paint(*key) for key in keys]
    artists = np.array([artist for artist, _ in keys])
    subjects = np.array([painters.subject(*key) for key in keys])

    def auc(features: list[list[float]], labels: np.ndarray) -> float:
        standard = (np.array(features) - np.mean(features, axis=0)) / np.std(features, axis=0)
        rows, columns = np.triu_indices(len(labels), 1)
        closeness = -np.linalg.norm(standard[rows] - standard[columns], axis=1)
        return float(roc_auc_score(labels[rows] == labels[columns], closeness))

    hands = [handwriting(picture) for picture in pictures]
    colours = [np.asarray(picture).mean((0, 1)).tolist() for picture in pictures]
    assert auc(hands, artists) > 0.65
    assert auc(hands, subjects) < 0.58
    assert 0.5 < auc(colours, artists) < 0.75
