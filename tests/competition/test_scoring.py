import gzip
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from morelli.competition.scoring import ScoreRow, score_submission
from morelli.errors import MorelliError

MINI = Path(__file__).parents[2].parent / "shared" / "painters-mini"


def write(path: Path, values: np.ndarray, index: np.ndarray | None = None) -> Path:
    rows = np.arange(len(values)) if index is None else index
    pd.DataFrame({"index": rows, "sameArtist": values}).to_csv(path, index=False)
    return path


def rows_of(folder: Path, scores: np.ndarray, is_same: np.ndarray) -> dict[str, ScoreRow]:
    table = score_submission(write(folder / "sub.csv", scores), write(folder / "sol.csv", is_same.astype(int)))
    return {row.kind: row for row in table.rows}


def latent(pairs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Whether each of some pairs is by one artist (about 1 in 50), and a score that knows something of it."""
    rng = np.random.default_rng(seed)
    is_same = rng.random(pairs) < 0.02
    return is_same, rng.normal(size=pairs) + 1.2 * is_same


SHAPES = {
    "cosine": lambda z: np.float32(0.4 + 0.1 * z),
    "logit": lambda z: 8 * z - 20,
    "probability near 0": lambda z: 1 / (1 + np.exp(-(6 * z - 12))),
    "probability near 1": lambda z: 1 / (1 + np.exp(-(6 * z + 12))),
    "rounded": lambda z: np.round(z, 1),
    "yes or no": lambda z: (z > 1).astype(int),
    "with outliers": lambda z: np.concatenate([z[:-2], [1e308, -1e308]]),
    "around zero": lambda z: np.where(z > 1, z, np.where(z > 0, 0.0, -0.0)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_scikit_learn(tmp_path: Path, shape: str) -> None:
    is_same, z = latent(20_000)
    scores = SHAPES[shape](z)
    row = rows_of(tmp_path, scores, is_same)["all"]
    assert row.auc == pytest.approx(roc_auc_score(is_same, scores), abs=1e-12)
    assert row.error_bound == 0
    assert (row.same_artist, row.different_artists) == (is_same.sum(), (~is_same).sum())
    assert (row.paintings, row.artists) == (None, None)


@pytest.mark.parametrize("shape", SHAPES)
def test_many_pairs_are_scored_exactly(tmp_path: Path, shape: str) -> None:
    is_same, z = latent(200_000)
    scores = SHAPES[shape](z)
    row = rows_of(tmp_path, scores, is_same)["all"]
    assert row.auc is not None
    assert row.error_bound == 0
    assert abs(row.auc - roc_auc_score(is_same, scores)) <= 1e-12


@settings(max_examples=60, deadline=None)
@given(
    scores=arrays(np.float64, 30, elements=st.floats(allow_nan=False, allow_infinity=False)), seed=st.integers(0, 99)
)
def test_any_scores_are_scored_exactly(tmp_path_factory: pytest.TempPathFactory, scores: np.ndarray, seed: int) -> None:
    is_same = np.random.default_rng(seed).permutation(30) < 9
    row = rows_of(tmp_path_factory.mktemp("any"), scores, is_same)["all"]
    assert row.auc is not None
    assert abs(row.auc - roc_auc_score(is_same, scores)) <= 1e-12


def test_other_order_and_archives(tmp_path: Path) -> None:
    is_same, scores = latent(5_000)
    rng = np.random.default_rng(3)
    index, shuffled = rng.permutation(9_000)[:5_000], rng.permutation(5_000)
    submission = write(tmp_path / "sub.csv", scores, index)
    solution = write(tmp_path / "sol.csv", is_same.astype(int)[shuffled], index[shuffled])
    (tmp_path / "sub.csv.gz").write_bytes(gzip.compress(submission.read_bytes()))
    with zipfile.ZipFile(tmp_path / "sol.csv.zip", "w") as archive:
        archive.write(solution, "sol.csv")
    table = score_submission(tmp_path / "sub.csv.gz", tmp_path / "sol.csv.zip")
    assert table.rows[0].auc == pytest.approx(roc_auc_score(is_same, scores), abs=1e-12)


def invented_paintings(count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    artist = rng.integers(0, 8, count)
    return pd.DataFrame(
        {
            "id": [str(500 + 3 * n) for n in range(count)],
            "artist": [f"Artist {n}" for n in artist],
            "artist_group": np.array(["train_and_test", "train_and_test", "test_only"])[artist % 3],
            "style": rng.choice(["Baroque", "Cubism", None], count),
            "genre": rng.choice(["portrait", "landscape"], count),
            "date": rng.choice(["1650", "c.1910", None], count),
            "source": rng.choice(["wikiart", "wikipedia", None], count, p=[0.7, 0.2, 0.1]),
        }
    )


def listed_pairs(folder: Path, paintings: pd.DataFrame) -> tuple[Path, pd.DataFrame]:
    first, second = np.triu_indices(len(paintings), 1)
    order = np.random.default_rng(2).permutation(len(first))
    names = (paintings["id"] + ".jpg").to_numpy()
    pairs = pd.DataFrame({"index": order, "image1": names[first[order]], "image2": names[second[order]]})
    pairs.to_csv(folder / "pairs.csv", index=False)
    sides = (paintings.iloc[rows[order]].reset_index(drop=True) for rows in (first, second))
    both = pd.concat([side.add_suffix(str(number)) for number, side in enumerate(sides, 1)], axis=1)
    both["index"] = order
    return folder / "pairs.csv", both


def test_kinds_equal_a_selection_by_hand(tmp_path: Path) -> None:
    paintings = invented_paintings()
    pairs, both = listed_pairs(tmp_path, paintings)
    both["same"] = both["artist1"] == both["artist2"]
    both["score"] = np.random.default_rng(4).normal(size=len(both)) + both["same"]
    by_index = both.sort_values("index")
    submission = write(tmp_path / "sub.csv", by_index["score"].to_numpy(), by_index["index"].to_numpy())
    solution = write(tmp_path / "sol.csv", both["same"].astype(int).to_numpy(), both["index"].to_numpy())

    table = score_submission(submission, solution, paintings, pairs=pairs)

    unseen = (both[["artist_group1", "artist_group2"]] == "test_only").sum(axis=1)
    alike = {column: both[f"{column}1"].eq(both[f"{column}2"]) & both[f"{column}1"].notna() for column in paintings}
    expected = {
        "all": unseen >= 0,
        "both_artists_seen": unseen == 0,
        "both_artists_unseen": unseen == 2,
        "one_artist_unseen": unseen == 1,
        "same_style": alike["style"],
        "same_genre": alike["genre"],
        "same_period": alike["date"],
        "source_wikiart": alike["source"] & both["source1"].eq("wikiart"),
        "source_wikipedia": alike["source"] & both["source1"].eq("wikipedia"),
    }
    assert [row.kind for row in table.rows] == list(expected)
    for row in table.rows:
        members = both[expected[row.kind]]
        negatives_only = row.kind.startswith(("one_", "same_"))
        measured = both[(expected[row.kind] & ~both["same"]) | both["same"]] if negatives_only else members
        assert row.auc == pytest.approx(roc_auc_score(measured["same"], measured["score"]), abs=1e-12)
        assert (row.same_artist, row.different_artists) == (measured["same"].sum(), (~measured["same"]).sum())
        assert row.paintings == len({*members["id1"], *members["id2"]})
        assert row.artists == len({*members["artist1"], *members["artist2"]})
    assert table.frame()["kind"].tolist() == list(expected)


def test_kinds_that_the_columns_cannot_tell(tmp_path: Path) -> None:
    paintings = invented_paintings().assign(artist_group=None, style=None, genre=None, date=None, source=None)
    pairs, both = listed_pairs(tmp_path, paintings)
    is_same = (both["artist1"] == both["artist2"]).astype(int)
    submission = write(tmp_path / "sub.csv", is_same.to_numpy() * 0.5, both["index"].to_numpy())
    solution = write(tmp_path / "sol.csv", is_same.to_numpy(), both["index"].to_numpy())
    (row,) = score_submission(submission, solution, paintings, pairs=pairs).rows
    assert (row.kind, row.auc, row.paintings, row.artists) == ("all", 1.0, 60, 8)


def test_a_kind_without_both_sorts_of_pairs_has_no_score(tmp_path: Path) -> None:
    paintings = pd.DataFrame({"id": list("abcd"), "artist": list("xxyz")})
    paintings = paintings.assign(artist_group=["train_and_test"] * 2 + ["test_only"] * 2)
    (tmp_path / "pairs.csv").write_text("index,image1,image2\n0,a.jpg,b.jpg\n1,c.jpg,d.jpg\n")
    table = score_submission(
        write(tmp_path / "sub.csv", np.array([0.9, 0.1])),
        write(tmp_path / "sol.csv", np.array([1, 0])),
        paintings,
        pairs=tmp_path / "pairs.csv",
    )
    assert {row.kind: row.auc for row in table.rows} == {
        "all": 1.0,
        "both_artists_seen": None,
        "both_artists_unseen": None,
        "one_artist_unseen": None,
    }


@pytest.mark.parametrize(
    ("submission", "solution", "words"),
    [
        ("0,0.5\n1,0.2\n", "0,1\n1,0\n2,0\n3,0\n", ["sub.csv lacks index 2, 3"]),
        ("0,0.5\n1,0.2\n7,0.1\n", "0,1\n1,0\n", ["sub.csv has index 7"]),
        ("0,0.5\n1,0.2\n1,0.3\n", "0,1\n1,0\n2,1\n", ["sub.csv has more than one row for index 1"]),
        ("0,0.5\n1,0.2\n", "0,1\n1,0\n1,0\n", ["sol.csv has more than one row for index 1"]),
        ("0,0.5\n1,much\n", "0,1\n1,0\n", ["sub.csv, line 3", "column sameArtist", "'much'"]),
        ("0,0.5\n1,\n", "0,1\n1,0\n", ["sub.csv, line 3", "column sameArtist"]),
        ("0,0.5\n1,nan\n", "0,1\n1,0\n", ["sub.csv, line 3", "finite number"]),
        ("0,0.5\n1,inf\n", "0,1\n1,0\n", ["sub.csv, line 3", "finite number"]),
        ("0,0.5\n1\n", "0,1\n1,0\n", ["sub.csv, line 3", "Expected 2 columns"]),
        ("0,0.5\n1,0.2\n", "0,1\n\n1,0.4\n", ["sol.csv, line 4", "must be 0 or 1"]),
        ("0,0.5\n1,0.2\n", "0,0\n1,0\n", ["no pairs by the same artist"]),
        ("0,0.5\n1,0.2\n", "0,1\n1,1\n", ["no pairs by different artists"]),
        ("", "0,1\n1,0\n", ["sub.csv has a header but no rows"]),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, submission: str, solution: str, words: list[str]) -> None:
    (tmp_path / "sub.csv").write_text("index,sameArtist\n" + submission)
    (tmp_path / "sol.csv").write_text("index,sameArtist\n" + solution)
    with pytest.raises(MorelliError) as error:
        score_submission(tmp_path / "sub.csv", tmp_path / "sol.csv")
    for word in words:
        assert word in str(error.value)


def test_other_bad_input(tmp_path: Path) -> None:
    (tmp_path / "sub.csv").write_text("index,same_artist\n0,1\n")
    solution = write(tmp_path / "sol.csv", np.array([1, 0]))
    with pytest.raises(MorelliError, match=r'no column sameArtist.* Did you mean "same_artist"\?'):
        score_submission(tmp_path / "sub.csv", solution)
    with pytest.raises(MorelliError, match="There is no file"):
        score_submission(tmp_path / "absent.csv", solution)
    with pytest.raises(MorelliError, match="need the list of pairs"):
        score_submission(tmp_path / "sub.csv", solution, invented_paintings())

    submission = write(tmp_path / "sub.csv", np.array([0.7, 0.2]))
    paintings = invented_paintings()
    (tmp_path / "pairs.csv").write_text("index,image1,image2\n0,500.jpg,503.jpg\n1,500.jpg,1.jpg\n")
    with pytest.raises(MorelliError, match=r"pairs.csv, line 3: no picture has the id of 1\.jpg"):
        score_submission(submission, solution, paintings, pairs=tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("index,image1,image2\n0,500.jpg,503.jpg\n2,500.jpg,506.jpg\n")
    with pytest.raises(MorelliError, match=r"pairs.csv lacks index 1"):
        score_submission(submission, solution, paintings, pairs=tmp_path / "pairs.csv")


@pytest.mark.skipif(not MINI.is_dir(), reason="needs ../shared/painters-mini")
def test_the_real_lists_by_kind(tmp_path: Path) -> None:
    paintings = pd.read_csv(MINI / "all_data_info.csv.zip")
    paintings["id"] = paintings["new_filename"].str.removesuffix(".jpg")
    paintings["date"] = paintings["date"].astype("string")
    truth = pd.read_csv(MINI / "solution.csv.zip")
    scores = np.random.default_rng(0).normal(size=len(truth)) + truth["sameArtist"].to_numpy()
    table = score_submission(
        write(tmp_path / "sub.csv", scores),
        MINI / "solution.csv.zip",
        paintings,
        pairs=MINI / "submission_info.csv.zip",
    )
    rows = {row.kind: row for row in table.rows}
    assert rows["all"].auc == pytest.approx(roc_auc_score(truth["sameArtist"], scores), abs=1e-12)
    assert rows["all"].paintings == 2_480
    assert (rows["both_artists_unseen"].paintings, rows["both_artists_unseen"].artists) == (1_532, 60)
    seen_and_unseen = ("both_artists_seen", "both_artists_unseen", "one_artist_unseen")
    assert sum(rows[kind].different_artists for kind in seen_and_unseen) == rows["all"].different_artists
    assert rows["both_artists_seen"].same_artist + rows["both_artists_unseen"].same_artist == rows["all"].same_artist
