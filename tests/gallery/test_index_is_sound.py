"""An index survives kills, other writers and readers, and names what is damaged."""

import json
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morelli import MorelliError, Painters, _locks
from morelli.errors import MorelliWarning
from morelli.gallery import index as index_module
from morelli.gallery import store
from morelli.gallery.index import PictureIndex
from morelli.gallery.store import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from killed_index import cheap_painters, files_and_contents, in_former_format, paint

from file_kills import killed_at_every_event

SCENARIOS = Path(__file__).with_name("killed_index.py")


@pytest.fixture(scope="module")
def cheap() -> Painters:
    return cheap_painters()


@pytest.fixture
def enrolled(cheap: Painters, tmp_path: Path) -> Path:
    """An index of 12 pictures with an enrolled artist."""
    paint(tmp_path / "pictures", range(12))
    paint(tmp_path / "first", range(40, 42))
    cheap.index(tmp_path / "pictures", tmp_path / "an.index")
    cheap.enroll(tmp_path / "an.index", "First", tmp_path / "first")
    return tmp_path / "an.index"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
@pytest.mark.parametrize(
    "name", ["Enrolled", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Fresh", "Changed", "Former"))]
)
def test_killed_at_any_file_event_it_goes_on_with_the_same_command(name: str, tmp_path: Path) -> None:
    assert killed_at_every_event(SCENARIOS, tmp_path, name, fewest=10) == []


def test_a_flipped_bit_is_refused_or_changes_nothing(cheap: Painters, enrolled: Path, tmp_path: Path) -> None:
    wanted, accepted, refused = files_and_contents(tmp_path), [], []
    files = sorted(enrolled.glob("*.parquet"))

    @given(st.sampled_from(files), st.integers(min_value=0))
    def flip(path: Path, bit: int) -> None:
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[bit // 8 % len(whole)] ^= 1 << bit % 8
        try:
            path.write_bytes(flipped)
            found = files_and_contents(tmp_path)
            PictureIndex.load(enrolled)
        except MorelliError as error:
            refused.append(path.name in str(error))
        else:
            accepted.append(bit)
            assert found == wanted
        finally:
            path.write_bytes(whole)

    flip()
    assert all(refused)
    assert len(refused) > 10 * len(accepted)
    assert cheap.index(tmp_path / "pictures", enrolled).unchanged == 12


def rewritten(
    path: Path, about: Callable[[dict], object] = dict, table: Callable[[pa.Table], pa.Table] = lambda t: t
) -> None:
    """Write a table again with other metadata or columns, without checksums, as another program would."""
    content = pq.read_table(path)
    metadata = json.loads(content.schema.metadata[b"morelli_pictures"])
    changed = table(content).replace_schema_metadata({"morelli_pictures": json.dumps(about(metadata))})
    pq.write_table(changed, path)


def with_vectors(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[pa.Table], pa.Table]:
    def changed(table: pa.Table) -> pa.Table:
        rows = change(torch.tensor(table["vector"].to_pylist()))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.numpy().ravel()), rows.shape[1])
        return table.set_column(table.schema.get_field_index("vector"), "vector", vectors)

    return changed


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"about": lambda about: {**about, "model": -1}}, "model: Input should be a valid string"),
        ({"about": lambda about: {**about, "format": 9}}, "it has format 9"),
        ({"about": lambda about: {**about, "generation": "x"}}, "generation: "),
        (
            {"about": lambda about: {k: v for k, v in about.items() if k != "fingerprint"}},
            "fingerprint: Field required",
        ),
        ({"about": lambda _: []}, "should be an object"),
        ({"about": lambda about: {**about, "fingerprint": "0" * 32}}, "another model"),
        ({"table": lambda table: table.drop(["sha256"])}, "names"),
        ({"table": lambda table: table.drop(["vector"])}, "vector"),
        ({"table": lambda table: table.set_column(8, "look", pa.nulls(len(table), pa.binary(32)))}, "look"),
        ({"table": lambda table: table.set_column(8, "look", pa.array([b"x"] * len(table)))}, "binary"),
        ({"table": with_vectors(lambda rows: rows * float("nan"))}, "not all finite"),
        ({"table": with_vectors(lambda rows: rows.double())}, "lists of float32"),
        ({"table": with_vectors(lambda rows: rows[:, :7])}, "its embeddings have 7 numbers"),
    ],
)
@pytest.mark.parametrize("name", ["pictures", "artists"])
def test_what_does_not_fit_is_one_sentence(
    cheap: Painters, enrolled: Path, tmp_path: Path, name: str, change: dict, why: str
) -> None:
    rewritten(enrolled / f"{name}.parquet", **change)
    with pytest.raises(MorelliError, match=why) as error:
        cheap.search(enrolled, tmp_path / "pictures" / "00.png")
    assert "\n" not in str(error.value)
    assert "elete" not in str(error.value)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "a/../../b.png", "\\u002e\\u002e/b.png"])
def test_no_name_leads_out_of_the_folder(cheap: Painters, enrolled: Path, tmp_path: Path, name: str) -> None:
    names = pa.array([name, *(f"{n}.png" for n in range(11))])
    rewritten(enrolled / "pictures.parquet", table=lambda table: table.set_column(0, "file", names))
    with pytest.raises(MorelliError, match="is no file of its folder"):
        cheap.search(enrolled, tmp_path / "pictures" / "00.png")


def test_the_enrolled_stay_where_the_pictures_are_damaged(cheap: Painters, enrolled: Path, tmp_path: Path) -> None:
    pictures = enrolled / "pictures.parquet"
    pictures.write_bytes(pictures.read_bytes()[:-40])
    for use in (lambda: cheap.index(tmp_path / "pictures", enrolled), lambda: cheap.enrolled(enrolled)):
        with pytest.raises(MorelliError, match=r"pictures.parquet is damaged .*Move the damaged file away and run"):
            use()
    pictures.rename(tmp_path / "away.parquet")
    assert cheap.index(tmp_path / "pictures", enrolled).embedded == 12
    assert [one.artist for one in cheap.enrolled(enrolled)] == ["First"]


@pytest.mark.parametrize("name", ["pictures", "artists"])
def test_an_index_of_the_former_format_is_read_and_written_anew(
    cheap: Painters, enrolled: Path, tmp_path: Path, name: str
) -> None:
    wanted = files_and_contents(tmp_path)
    for one in {name, "artists"}:
        in_former_format(enrolled / f"{one}.parquet")
    if name == "pictures":
        with pytest.warns(MorelliWarning, match=f"earlier format.*morelli index {tmp_path / 'pictures'} --out"):
            assert len(cheap.search(enrolled, tmp_path / "pictures" / "00.png").copies) == 1
        with pytest.warns(MorelliWarning, match="earlier format"):
            assert cheap.index(tmp_path / "pictures", enrolled).unchanged == 12
    else:
        (enrolled / "pictures.parquet").unlink()
        cheap.index(tmp_path / "pictures", enrolled)
    assert files_and_contents(tmp_path) == wanted


def test_what_a_first_write_of_the_former_format_left_is_no_obstacle(cheap: Painters, tmp_path: Path) -> None:
    paint(tmp_path / "pictures", range(3))
    (tmp_path / "an.index").mkdir()
    for name in ("pictures-0123456789ab.safetensors", ".0123456789ab.partial.parquet"):
        (tmp_path / "an.index" / name).touch()
    assert cheap.index(tmp_path / "pictures", tmp_path / "an.index").pictures == 3
    assert {path.name for path in (tmp_path / "an.index").iterdir()} - {".lock"} == {"pictures.parquet"}


def test_enrolments_at_once_all_stay(enrolled: Path, tmp_path: Path) -> None:
    every, together = [cheap_painters() for _ in range(3)], threading.Barrier(3)

    def enroll(number: int) -> None:
        together.wait()
        every[number].enroll(enrolled, f"More {number}", tmp_path / f"more-{number}")

    for number in range(3):
        paint(tmp_path / f"more-{number}", range(60 + 10 * number, 63 + 10 * number))
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", MorelliWarning)  # that one waits for another
        assert list(pool.map(enroll, range(3))) == [None] * 3
    assert set(PictureIndex.load(enrolled).artists.pictures["artist"]) == {"First", "More 0", "More 1", "More 2"}


def test_a_reader_beside_a_writer_meets_one_moment(
    cheap: Painters, enrolled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_KEPT_EVERY", 8)
    over, counts = threading.Event(), []

    def read() -> None:
        while not over.is_set():
            counts.append(len(PictureIndex.load(enrolled).pictures.pictures))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for more in range(12):
            paint(tmp_path / "pictures", range(100 + 16 * more, 116 + 16 * more))
            cheap.index(tmp_path / "pictures", enrolled)
    finally:
        over.set()
        reader.join()
    assert len(counts) > 5
    assert counts == sorted(counts)
    assert len(PictureIndex.load(enrolled).pictures.pictures) == 12 + 12 * 16


def test_a_second_index_run_waits_and_then_says_who_writes(
    cheap: Painters, enrolled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_locks, "WAIT", 0.1)
    with PictureIndex.load(enrolled).only_writer():
        for use in (
            lambda: cheap.index(tmp_path / "pictures", enrolled),
            lambda: cheap.remove(enrolled, "First"),
            lambda: cheap.rename(enrolled, "First", "Second"),
        ):
            with (
                pytest.warns(MorelliWarning, match="waiting"),
                pytest.raises(MorelliError, match=f"Process {os.getpid()} writes into {enrolled}"),
            ):
                use()
    assert cheap.remove(enrolled, "First").paintings == 2


@pytest.fixture
def unfinished(cheap: Painters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of 20 pictures that was interrupted after two parts of 8."""
    monkeypatch.setattr(index_module, "_KEPT_EVERY", 8)
    paint(tmp_path / "pictures", range(20))
    batches = []

    def killed(*call: object) -> None:
        batches.append(call)
        if len(batches) > 2:
            raise KeyboardInterrupt

    hook = cheap.network.head.register_forward_hook(killed)
    with pytest.raises(KeyboardInterrupt):
        cheap.index(tmp_path / "pictures")
    hook.remove()
    return tmp_path / "pictures.index"


def test_a_reader_that_finds_the_parts_gone_reads_again(
    cheap: Painters, unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = store.part_paths

    def just_compacted(path: Path) -> list[Path]:
        monkeypatch.setattr(store, "part_paths", listed)
        cheap.index(tmp_path / "pictures")
        return listed(path)

    monkeypatch.setattr(store, "part_paths", just_compacted)
    assert len(PictureIndex.load(unfinished).pictures.pictures) == 20


def test_parts_that_outlive_the_whole_table_count_no_more(
    cheap: Painters, unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures" / "01.png").unlink()
    unlink = Path.unlink

    def killed(path: Path, **options: bool) -> None:
        if path.name.startswith("pictures-"):
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            cheap.index(tmp_path / "pictures")
    assert len(list(unfinished.glob("pictures-*.parquet"))) == 2
    assert "01.png" not in set(PictureIndex.load(unfinished).pictures.pictures["file"])
    assert cheap.index(tmp_path / "pictures").unchanged == 19
    assert not list(unfinished.glob("pictures-*.parquet"))


def test_an_unfinished_index_is_searched_and_its_parts_are_plain_tables(
    cheap: Painters, unfinished: Path, tmp_path: Path
) -> None:
    index = unfinished
    assert sorted(path.name for path in index.glob("*.parquet")) == ["pictures-00001.parquet", "pictures-00002.parquet"]
    assert len(cheap.search(index, tmp_path / "pictures" / "01.png", k=99).matches) == 15
    assert cheap.index(tmp_path / "pictures").unchanged == 16
    table = pd.read_parquet(index / "pictures.parquet")
    assert len(table) == 20
    expected = cheap.embed([tmp_path / "pictures" / file for file in table["file"]])
    assert np.array_equal(np.stack(table["vector"]), expected.numpy())
    assert pq.read_schema(index / "pictures.parquet").field("vector").type.list_size == 48


def test_an_index_is_for_all_whom_the_umask_lets(enrolled: Path) -> None:
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in enrolled.glob("*.parquet")} == {0o644}


def test_a_network_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    painters = cheap_painters()
    paint(tmp_path / "pictures", range(3))
    painters.network.head.register_forward_hook(lambda *given: given[-1] * float("nan"))
    for use in (
        lambda: painters.index(tmp_path / "pictures"),
        lambda: painters.embed(tmp_path / "pictures" / "00.png"),
    ):
        with pytest.raises(MorelliError, match="not finite"):
            use()
    assert not (tmp_path / "pictures.index").exists()


def test_an_index_that_did_nothing_writes_nothing(cheap: Painters, enrolled: Path, tmp_path: Path) -> None:
    before = (enrolled / "pictures.parquet").stat()
    cheap.index(tmp_path / "pictures", enrolled)
    assert (enrolled / "pictures.parquet").stat() == before
    shutil.move(tmp_path / "pictures", tmp_path / "moved")
    cheap.index(tmp_path / "moved", enrolled)
    assert Store.read(enrolled / "pictures.parquet").metadata.folder == str(tmp_path / "moved")
