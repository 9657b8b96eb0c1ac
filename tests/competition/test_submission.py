import csv
import gzip
import itertools
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from morelli.competition.submission import write_submission
from morelli.errors import MorelliError
from morelli.models.heads import ConcatHead, CosineScorer, DistanceScorer, PairHead, Scorer

MINI = Path(__file__).parents[2].parent / "shared" / "painters-mini"
GROUPS = (range(0, 70), range(70, 75), range(75, 140))
IDS = [str(1000 + 7 * n) for n in range(150)]
EMBEDDINGS = torch.randn(150, 16, generator=torch.Generator().manual_seed(0))
IN_GROUPS = [pair for group in GROUPS for pair in itertools.combinations(group, 2)]

Pairs = list[tuple[int, int]]


def list_pairs(path: Path, pairs: Pairs, ids: list[str] = IDS) -> Path:
    lines = [f"{index},{ids[a]}.jpg,{ids[b]}.jpg\n" for index, (a, b) in enumerate(pairs)]
    path.write_text("index,image1,image2\n" + "".join(lines))
    return path


def zipped(path: Path, content: bytes, name: str = "submission_info.csv") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._" + name, b"\0\1")
        archive.writestr(name, content)
    return path


def by_line(embeddings: Tensor, ids: list[str], scorer: Scorer, pairs: Path) -> dict[int, float]:
    """What the slowest possible program would write."""
    of = dict(zip(ids, embeddings, strict=True))
    with pairs.open() as file, torch.no_grad():
        return {
            int(row["index"]): float(
                scorer.pairwise_distance(
                    of[row["image1"].removesuffix(".jpg")][None], of[row["image2"].removesuffix(".jpg")][None]
                )
            )
            for row in csv.DictReader(file)
        }


def read_scores(path: Path) -> dict[int, float]:
    frame = pd.read_csv(path)
    assert list(frame.columns) == ["index", "sameArtist"]
    return dict(zip(frame["index"], frame["sameArtist"], strict=True))


def scorers() -> list[Scorer]:
    torch.manual_seed(1)
    return [CosineScorer(), DistanceScorer(), PairHead(16, 8), ConcatHead(16)]


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morelli.competition.csv_blocks._BLOCK_BYTES", 2000)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("scorer", scorers(), ids=lambda scorer: type(scorer).__name__)
@pytest.mark.parametrize("order", ["groups", "shuffled", "arbitrary"])
def test_equals_a_line_by_line_reference(tmp_path: Path, scorer: Scorer, order: str) -> None:
    pairs = list(IN_GROUPS)
    rng = np.random.default_rng(0)
    if order != "groups":
        rng.shuffle(pairs)
        pairs = [(b, a) if flip else (a, b) for (a, b), flip in zip(pairs, rng.random(len(pairs)) < 0.5, strict=True)]
    if order == "arbitrary":
        pairs = [*pairs[::17], (0, 149), (148, 3), (74, 75)]
    listed = list_pairs(tmp_path / "pairs.csv", pairs)

    summary = write_submission(EMBEDDINGS, IDS, scorer, listed, tmp_path / "out.csv")

    assert read_scores(tmp_path / "out.csv") == pytest.approx(by_line(EMBEDDINGS, IDS, scorer, listed), abs=2e-6)
    assert summary.pairs == len(pairs)
    assert summary.images == len({image for pair in pairs for image in pair})
    assert summary.groups == (None if order == "arbitrary" else 3)
    if order == "groups":
        assert summary.in_products > 0.95 * len(pairs)


def test_sparse_pairs_are_gathered(tmp_path: Path) -> None:
    listed = list_pairs(tmp_path / "pairs.csv", [(n, (37 * n + 1) % 150) for n in range(0, 150, 2)])
    summary = write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, tmp_path / "out.csv")
    assert summary.in_products == 0
    assert read_scores(tmp_path / "out.csv") == pytest.approx(
        by_line(EMBEDDINGS, IDS, CosineScorer(), listed), abs=2e-6
    )


@settings(max_examples=40, deadline=None)
@given(pairs=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda p: p[0] < p[1]), min_size=1))
def test_any_list_of_pairs(tmp_path_factory: pytest.TempPathFactory, pairs: set[tuple[int, int]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    listed = list_pairs(folder / "pairs.csv", list(pairs))
    summary = write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, folder / "out.csv")
    assert read_scores(folder / "out.csv") == pytest.approx(by_line(EMBEDDINGS, IDS, CosineScorer(), listed), abs=2e-6)

    linked = [{image} for image in range(12)]
    for a, b in pairs:
        one, other = (next(s for s in linked if image in s) for image in (a, b))
        if one is not other:
            linked.remove(other)
            one |= other
    sizes = [len(group) for group in linked if len(group) > 1]
    is_complete = sum(n * (n - 1) // 2 for n in sizes) == len(pairs)
    assert summary.groups == (len(sizes) if is_complete else None)


def test_a_missing_pair_is_no_group(tmp_path: Path) -> None:
    listed = list_pairs(tmp_path / "pairs.csv", IN_GROUPS[:100] + IN_GROUPS[101:])
    assert write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, tmp_path / "out.csv").groups is None


def test_archives_in_and_out(tmp_path: Path) -> None:
    plain = list_pairs(tmp_path / "pairs.csv", IN_GROUPS)
    write_submission(EMBEDDINGS, IDS, CosineScorer(), plain, tmp_path / "plain.csv")
    in_zip = zipped(tmp_path / "pairs.csv.zip", plain.read_bytes())
    write_submission(EMBEDDINGS, IDS, CosineScorer(), in_zip, tmp_path / "from_zip.csv.gz")
    in_gzip = tmp_path / "pairs.csv.gz"
    in_gzip.write_bytes(gzip.compress(plain.read_bytes()))
    write_submission(EMBEDDINGS, IDS, CosineScorer(), in_gzip, tmp_path / "from_gzip.csv.gz")

    expected = (tmp_path / "plain.csv").read_bytes()
    assert gzip.decompress((tmp_path / "from_zip.csv.gz").read_bytes()) == expected
    assert (tmp_path / "from_gzip.csv.gz").read_bytes() == (tmp_path / "from_zip.csv.gz").read_bytes()
    assert read_scores(tmp_path / "from_zip.csv.gz") == read_scores(tmp_path / "plain.csv")


def test_scores_are_written_without_loss(tmp_path: Path) -> None:
    listed = list_pairs(tmp_path / "pairs.csv", IN_GROUPS)
    write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv", dtype={"sameArtist": str})["sameArtist"]
    assert written.str.len().max() <= 16
    assert written.astype(np.float32).nunique() == written.nunique() > 4_000


def test_probability_index_and_extra_columns(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        f'note,image2,"index",image1\r\nx,{IDS[1]}.jpg,7,{IDS[0]}.jpg\r\n\r\ny,{IDS[2]}.png,3,{IDS[0]}.jpg'
    )
    write_submission(
        EMBEDDINGS, IDS, CosineScorer(), pairs, tmp_path / "new" / "out.csv", probability=lambda s: torch.sigmoid(5 * s)
    )
    cosines = torch.cosine_similarity(EMBEDDINGS[0], EMBEDDINGS[1:3])
    expected = dict(zip([7, 3], torch.sigmoid(5 * cosines).tolist(), strict=True))
    assert read_scores(tmp_path / "new" / "out.csv") == pytest.approx(expected, abs=1e-6)


ONE, TWO, THREE = (f"{picture}.jpg" for picture in IDS[:3])
HEAD = "index,image1,image2\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        (HEAD, ["no rows"]),
        (HEAD + "\n\n", ["no rows"]),
        (f"index,image_1,image2\n0,{ONE},{TWO}\n", ["no column image1", 'Did you mean "image_1"?']),
        (f"index;image1;image2\n0;{ONE};{TWO}\n", ["no column index"]),
        (HEAD + f"0,{ONE},{TWO}\n1,{ONE}\n", ["line 3", "Expected 3 columns, got 2"]),
        (HEAD + f"0,{ONE},{TWO}\n\none,{ONE},{THREE}\n", ["line 4", "column index", "'one'"]),
        (HEAD + f"0,{ONE},{TWO}\n1,{ONE},nobody.jpg\n", ["line 3", "nobody.jpg", "left_out.csv"]),
        (HEAD + f"0,{ONE},{TWO}\n1,{THREE},{THREE}\n", ["line 3", THREE, "with itself"]),
        (HEAD + f"0,{ONE},{TWO}\n1,{ONE},{THREE}\n\n2,{TWO},{ONE}\n", ["line 5", "already in line 2", IDS[0], IDS[1]]),
        (HEAD + f"0,{ONE},{TWO}\n1,{ONE},{TWO}\n", ["line 3", "already in line 2"]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".csv.zip"])
def test_bad_lists(tmp_path: Path, content: str, words: list[str], suffix: str) -> None:
    pairs = tmp_path / f"pairs{suffix}"
    if suffix == ".csv":
        pairs.write_text(content)
    else:
        zipped(pairs, content.encode())
    with pytest.raises(MorelliError) as error:
        write_submission(EMBEDDINGS, IDS, CosineScorer(), pairs, tmp_path / "out" / "out.csv")
    for word in ["pairs.csv", *words]:
        assert word in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_lines_are_named_in_later_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morelli.competition.csv_blocks._BLOCK_BYTES", 500)
    listed = list_pairs(tmp_path / "pairs.csv", [*IN_GROUPS[:300], IN_GROUPS[20][::-1]])
    with pytest.raises(MorelliError, match=r"line 302: .* already in line 22 "):
        write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, tmp_path / "out.csv")
    with listed.open("a") as file:
        file.write("301,404.jpg,1000.jpg\n")
    with pytest.raises(MorelliError, match=r"line 303: no picture has the id of 404\.jpg"):
        write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morelli.competition.csv_blocks._BLOCK_BYTES", 500)
    listed = list_pairs(tmp_path / "pairs.csv", IN_GROUPS[:100])
    with listed.open("a") as file:
        file.write("100," + "x" * 5_000 + ".jpg,1000.jpg\n")
    with pytest.raises(MorelliError, match="line 102: longer than 500 bytes"):
        write_submission(EMBEDDINGS, IDS, CosineScorer(), listed, tmp_path / "out.csv")


def damaged(path: Path, content: bytes, how: str) -> None:
    whole = zipped(path, content).read_bytes()
    middle = whole.index(b"PK\x03\x04", 4) + 60 + len(content) // 20
    damages = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "no zip": b"hello",
        "nothing": b"",
    }
    path.write_bytes(damages[how])


@pytest.mark.parametrize("how", ["cut", "flipped", "no zip", "nothing"])
def test_damaged_zip(tmp_path: Path, how: str) -> None:
    content = list_pairs(tmp_path / "pairs.csv", IN_GROUPS).read_bytes()
    damaged(tmp_path / "pairs.csv.zip", content, how)
    with pytest.raises(MorelliError, match=r"pairs\.csv\.zip cannot be read, or is damaged"):
        write_submission(EMBEDDINGS, IDS, CosineScorer(), tmp_path / "pairs.csv.zip", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_other_unusable_archives(tmp_path: Path) -> None:
    content = list_pairs(tmp_path / "pairs.csv", IN_GROUPS).read_bytes()
    encrypted = bytearray(zipped(tmp_path / "encrypted.zip", content).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.index(signature, encrypted.index(signature) + 4)
        encrypted[at + flags] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    zipped(tmp_path / "none.zip", content, "pairs.txt")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(content)[:-2000])
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)) * 10)
    for name, words in {
        "encrypted.zip": "is encrypted",
        "none.zip": "holds 0 CSV files",
        "cut.csv.gz": "is damaged",
        "picture.csv": "does not begin with a header line",
        "absent.csv": "There is no file",
    }.items():
        with pytest.raises(MorelliError, match=words):
            write_submission(EMBEDDINGS, IDS, CosineScorer(), tmp_path / name, tmp_path / "out.csv")


def test_unusable_embeddings_and_outputs(tmp_path: Path) -> None:
    listed = list_pairs(tmp_path / "pairs.csv", IN_GROUPS)
    out = tmp_path / "out.csv"
    scorer = CosineScorer()
    with pytest.raises(MorelliError, match="do not fit 149 ids"):
        write_submission(EMBEDDINGS, IDS[:-1], scorer, listed, out)
    with pytest.raises(MorelliError, match=f"id {IDS[3]} belongs to two"):
        write_submission(EMBEDDINGS, [*IDS[:-1], IDS[3]], scorer, listed, out)
    broken = EMBEDDINGS.clone()
    broken[2] = float("nan")
    with pytest.raises(MorelliError, match="line 3: the score of this pair is not a finite number"):
        write_submission(broken, IDS, scorer, listed, out)
    with pytest.raises(MorelliError, match=r"written as \.csv or \.csv\.gz"):
        write_submission(EMBEDDINGS, IDS, scorer, listed, tmp_path / "out.parquet")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(MorelliError, match="is a folder"):
        write_submission(EMBEDDINGS, IDS, scorer, listed, tmp_path / "folder.csv")
    with pytest.raises(MorelliError, match="is the list of pairs itself"):
        write_submission(EMBEDDINGS, IDS, scorer, listed, listed)
    (tmp_path / "history.csv").write_text("epoch,loss\n")
    (tmp_path / "history.csv.gz").write_text("no gzip file")
    for foreign in ("history.csv", "history.csv.gz"):
        with pytest.raises(MorelliError, match="is there already and is no submission"):
            write_submission(EMBEDDINGS, IDS, scorer, listed, tmp_path / foreign)
    assert (tmp_path / "history.csv").read_text() == "epoch,loss\n"
    left = ["folder.csv", "history.csv", "history.csv.gz", "pairs.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


RUN = """
import resource, signal, sys
from pathlib import Path
import numpy as np, torch
from morelli.errors import MorelliError
from morelli.competition.submission import write_submission
from morelli.models.heads import CosineScorer
folder, images, file_limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if file_limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
embeddings = torch.randn(images, 16, generator=torch.Generator().manual_seed(0))
try:
    ids = [str(n) for n in range(images)]
    write_submission(embeddings, ids, CosineScorer(), folder / "pairs.csv", folder / "out.csv")
except MorelliError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def run_apart(folder: Path, images: int, file_limit: int = 0) -> list[str]:
    command = [sys.executable, "-c", RUN, str(folder), str(images), str(file_limit)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_full_disk_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    list_pairs(tmp_path / "pairs.csv", IN_GROUPS, [str(n) for n in range(150)])
    message, _ = run_apart(tmp_path, 150, file_limit=30_000)
    assert "out.csv could not be written (File too large); nothing was left of it" in message
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def write_groups(path: Path, groups: int, size: int) -> None:
    first, second = np.triu_indices(size, 1)
    with path.open("w") as file:
        file.write("index,image1,image2\n")
        for group in range(groups):
            frame = pd.DataFrame({"a": first + group * size, "b": second + group * size}).astype(str) + ".jpg"
            frame.index = pd.RangeIndex(len(frame) * group, len(frame) * (group + 1))
            frame.to_csv(file, header=False)


def test_memory_does_not_grow_with_the_pairs(tmp_path: Path) -> None:
    size = 1_000
    peaks = []
    for groups in (2, 6):
        write_groups(tmp_path / "pairs.csv", groups, size)
        peaks.append(int(run_apart(tmp_path, 6 * size)[-1]))
    assert peaks[1] - peaks[0] < 64, f"peak memory at one and at three million pairs: {peaks} MiB"


@pytest.mark.skipif(not MINI.is_dir(), reason="needs ../shared/painters-mini")
def test_the_real_list_is_recognised(tmp_path: Path) -> None:
    pairs = pd.read_csv(MINI / "submission_info.csv.zip")
    ids = sorted({name.removesuffix(".jpg") for name in [*pairs["image1"], *pairs["image2"]]})
    embeddings = torch.randn(len(ids), 16, generator=torch.Generator().manual_seed(0))
    summary = write_submission(embeddings, ids, CosineScorer(), MINI / "submission_info.csv.zip", tmp_path / "out.csv")
    assert (summary.pairs, summary.images, summary.groups) == (767_843, 2_480, 4)
    assert summary.in_products > 0.98 * summary.pairs
    rows = {picture: row for row, picture in enumerate(ids)}
    some = pairs.sample(2_000, random_state=0)
    first, second = (embeddings[some[c].str.removesuffix(".jpg").map(rows).tolist()] for c in ("image1", "image2"))
    written = pd.read_csv(tmp_path / "out.csv")
    assert (written["index"] == pairs["index"]).all()
    assert written["sameArtist"][some.index].to_numpy() == pytest.approx(
        torch.cosine_similarity(first, second).numpy(), abs=2e-6
    )
