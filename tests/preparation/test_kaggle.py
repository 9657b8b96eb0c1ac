"""The download, with the real client at one end and a local server that speaks Kaggle's wire at the other."""

import importlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kaggle_server import SIGNATURE, TOKEN, KaggleServer

from morelli import _locks
from morelli._locks import only_writer
from morelli.errors import MorelliError, MorelliWarning
from morelli.preparation.kaggle import download

pytestmark = pytest.mark.usefixtures("server", "no_waiting")
FILES = {
    "all_data_info.csv.zip": b"table" * 100,
    "replacements_for_corrupted_files.zip": b"whole" * 50,
    "sample_submission.csv.zip": b"sample",
    "submission_info.csv.zip": b"pairs" * 200,
    "test.zip": os.urandom(300_000),
    "train.zip": os.urandom(3_000_000),
    "train_1.zip": b"a part of train",
    "train_info.csv.zip": b"hashes" * 30,
}
USED = [name for name in FILES if name not in ("sample_submission.csv.zip", "train_1.zip")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KaggleServer]:
    with KaggleServer(FILES) as server:
        (tmp_path / "home").mkdir()
        server.use(monkeypatch, tmp_path / "home")
        yield server


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits some seconds before it tries again."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_fetches_what_morelli_uses(out: Path) -> None:
    assert download(out) == [out / name for name in USED]
    assert contents(out) == {name: FILES[name] for name in USED}


def test_fetches_the_parts_where_the_whole_is_not_offered(server: KaggleServer, out: Path) -> None:
    del server.files["train.zip"]
    server.files["train_2.zip"] = b"another part"
    names = [path.name for path in download(out)]
    assert "train_1.zip" in names
    assert "train_2.zip" in names


def test_fetches_only_what_is_named(out: Path) -> None:
    assert download(out, only=["train_1.zip", "all_data_info.csv.zip"]) == [
        out / "all_data_info.csv.zip",
        out / "train_1.zip",
    ]
    assert sorted(contents(out)) == ["all_data_info.csv.zip", "train_1.zip"]


def test_a_misspelt_name_is_refused_before_anything_is_fetched(server: KaggleServer, out: Path) -> None:
    with pytest.raises(MorelliError, match=r'no file "trian\.zip"\. Did you mean "train\.zip"\? It has: all_data'):
        download(out, only=["test.zip", "trian.zip"])
    assert not server.asked("DownloadDataFile")


def test_a_competition_without_the_files_is_refused(server: KaggleServer, out: Path) -> None:
    server.files = {"other.csv": b"x"}
    with pytest.raises(MorelliError, match=r"lists none of the files that morelli uses\. It has: other\.csv"):
        download(out)


def test_says_what_it_does_on_stderr_only(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download(out, only=["test.zip", "train.zip"])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "test.zip" in printed.err
    assert "300.0 kB  to download" in printed.err
    assert "not asked for" in printed.err
    assert "3.0/3.0 MB" in printed.err


@pytest.mark.parametrize("verbose", ["", "1"])
def test_prints_no_credentials(
    server: KaggleServer,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verbose: str,
) -> None:
    from kaggle.api.kaggle_api_extended import KaggleApi

    monkeypatch.setattr(KaggleApi, "args", ["--verbose"] if verbose else [])
    server.cut, server.down_after_cut = {"train.zip": 1000}, True
    with pytest.raises(MorelliError) as failure:
        download(out)
    server.up()
    server.refuse = {"GET": 403}
    with pytest.raises(MorelliError) as refusal:
        download(out)
    printed = capsys.readouterr()
    for text in (printed.out, printed.err, str(failure.value), str(refusal.value)):
        assert TOKEN not in text
        assert SIGNATURE not in text
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_finished_files_are_not_fetched_again(server: KaggleServer, out: Path) -> None:
    download(out)
    server.requests.clear()
    assert download(out) == [out / name for name in USED]
    assert not server.asked("DownloadDataFile")


def test_a_file_of_another_size_is_fetched_again(out: Path) -> None:
    out.mkdir()
    (out / "test.zip").write_bytes(b"from a browser that was closed")
    download(out, only=["test.zip"])
    assert contents(out) == {"test.zip": FILES["test.zip"]}


def test_a_cut_connection_is_resumed_within_a_run(server: KaggleServer, out: Path) -> None:
    server.cut = {"train.zip": 2_000_000}
    download(out, only=["train.zip"])
    assert contents(out) == {"train.zip": FILES["train.zip"]}
    assert [request.range for request in server.asked("GET")] == [
        None,
        "bytes=1048576-",
    ]  # the client writes whole chunks of 1 MiB


def test_a_cut_run_is_resumed_by_the_next(server: KaggleServer, out: Path) -> None:
    server.cut, server.down_after_cut = {"train.zip": 2_000_000}, True
    with pytest.raises(MorelliError, match=r"cannot be reached .* run the same command again and it goes on"):
        download(out, only=["test.zip", "train.zip"])
    assert sorted(contents_of_files(out)) == ["test.zip"]  # nothing unfinished looks finished
    server.up()
    server.requests.clear()
    download(out, only=["test.zip", "train.zip"])
    assert contents(out) == {name: FILES[name] for name in ("test.zip", "train.zip")}
    assert [request.range for request in server.asked("GET")] == [
        None,
        "bytes=1048576-",
    ]  # the client writes whole chunks of 1 MiB


def contents_of_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and path.name != ".lock"]


def test_a_file_that_changed_meanwhile_starts_anew(server: KaggleServer, out: Path) -> None:
    server.cut, server.down_after_cut = {"train.zip": 2_000_000}, True
    with pytest.raises(MorelliError):
        download(out, only=["train.zip"])
    marker = out / ".downloading" / "train.zip.kaggle-partial"
    marker.write_text(marker.read_text().replace('validator": "', 'validator": "an older '))
    server.up()
    download(out, only=["train.zip"])
    assert contents(out) == {"train.zip": FILES["train.zip"]}


@pytest.mark.parametrize("listed", [299_999, 300_001])
def test_a_wrong_length_is_refused_and_not_kept(server: KaggleServer, out: Path, listed: int) -> None:
    server.listed_sizes = {"test.zip": listed}
    with pytest.raises(MorelliError, match=f"300,000 bytes arrived, the competition lists {listed:,}"):
        download(out, only=["test.zip"])
    assert not list(out.rglob("test.zip*"))
    server.listed_sizes = {}
    download(out, only=["test.zip"])
    assert contents(out) == {"test.zip": FILES["test.zip"]}


def test_a_table_that_is_sent_zipped_is_taken_as_it_comes(server: KaggleServer, out: Path) -> None:
    server.files = {"all_data_info.csv": b"zipped bytes"}
    server.listed_sizes = {"all_data_info.csv": 999}
    server.sent_as = {"all_data_info.csv": "all_data_info.csv.zip"}
    assert download(out) == [out / "all_data_info.csv.zip"]
    assert contents(out) == {"all_data_info.csv.zip": b"zipped bytes"}
    server.requests.clear()
    assert download(out) == [out / "all_data_info.csv.zip"]
    assert not server.asked("DownloadDataFile")


def test_a_file_sent_under_another_name_is_refused(server: KaggleServer, out: Path) -> None:
    server.sent_as = {"test.zip": "other.bin"}
    with pytest.raises(MorelliError, match=r"sent test\.zip under another name"):
        download(out, only=["test.zip"])


def test_no_credentials(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.use(monkeypatch, tmp_path, token=None)
    with pytest.raises(MorelliError, match=r"No Kaggle credentials .*settings/api and set KAGGLE_API_TOKEN"):
        download(out)
    assert capsys.readouterr() == ("", "")
    assert not out.exists()


def test_a_refused_token(server: KaggleServer, out: Path) -> None:
    server.token = "another"
    with pytest.raises(MorelliError, match=r"does not accept the token in KAGGLE_API_TOKEN"):
        download(out)


def test_an_older_key_works(server: KaggleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, out: Path) -> None:
    server.use(monkeypatch, tmp_path, token=None)
    monkeypatch.setenv("KAGGLE_USERNAME", "tester")
    monkeypatch.setenv("KAGGLE_KEY", "0123")
    download(out, only=["test.zip"])
    assert contents(out) == {"test.zip": FILES["test.zip"]}
    server.refuse = {"ListDataFiles": 401}
    with pytest.raises(MorelliError, match=r"does not accept the credentials \(401\)"):
        download(out)


@pytest.mark.parametrize("where", ["ListDataFiles", "DownloadDataFile"])
def test_rules_not_accepted(server: KaggleServer, out: Path, where: str) -> None:
    server.refuse = {where: 403}
    with pytest.raises(
        MorelliError, match=r"accept the competition's rules at https://www\.kaggle\.com/c/painter-by-numbers/rules"
    ):
        download(out)


@pytest.mark.parametrize(("status", "words"), [(404, "does not know"), (429, "pause"), (503, "status 503")])
def test_other_refusals(server: KaggleServer, out: Path, status: int, words: str) -> None:
    server.refuse = {"ListDataFiles": status}
    with pytest.raises(MorelliError, match=words):
        download(out)


def test_no_network(server: KaggleServer, out: Path) -> None:
    server.__exit__()
    with pytest.raises(MorelliError, match=r"cannot be reached \(ConnectionError\)\. Check the network"):
        download(out)
    server.__enter__()


def test_a_disk_too_small_is_found_before_the_first_byte(
    server: KaggleServer, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, free = sum(len(FILES[name]) for name in USED), 2_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - free, free))  # type: ignore[attr-defined]
    with pytest.raises(MorelliError, match=r"3\.3 MB are still to download, 2\.0 MB are free.*--only"):
        download(out)
    assert total > free
    assert not server.asked("DownloadDataFile")


def test_what_is_there_already_counts_against_the_disk(
    server: KaggleServer, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cut, server.down_after_cut = {"train.zip": 2_000_000}, True
    with pytest.raises(MorelliError, match="cannot be reached"):
        download(out, only=["train.zip"])
    server.up()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1_960_000))  # type: ignore[attr-defined]
    download(out, only=["train.zip"])
    assert contents(out) == {"train.zip": FILES["train.zip"]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: str, *how: Any, **options: Any) -> Any:
        return Path("/dev/full" if path.endswith("test.zip") else path).open(*how, **options)

    # The client refuses links that lead out of its folder, so the full disk takes the place of its own file.
    client = importlib.import_module("kaggle.api.kaggle_api_extended")
    monkeypatch.setattr(client, "open", opened, raising=False)
    with pytest.raises(MorelliError, match=r"The disk of .* is full\. Make room\."):
        download(out, only=["test.zip"])
    assert not (out / "test.zip").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MorelliError, match=r"cannot be written .*Choose another place"):
        download(tmp_path / "file" / "downloads")


def test_two_runs_at_once_are_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_locks, "WAIT", 0.1)
    with (
        only_writer(out),
        pytest.warns(MorelliWarning, match="waiting for it"),
        pytest.raises(MorelliError, match=f"Process {os.getpid()} writes into {out}"),
    ):
        download(out)
