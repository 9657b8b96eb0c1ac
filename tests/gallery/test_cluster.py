"""A Ray cluster makes the index that this process makes, whatever happens to its workers; silence is told."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from morelli import MorelliError, Painters
from morelli.gallery.cluster import address_of, picture_column
from morelli.gallery.index import PictureIndex

SCRIPT = """
import os, signal, subprocess, sys, threading, time
import ray
from morelli import Painters

model, source, out, killed = sys.argv[1:]
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)


def kill_one():
    while True:
        listed = subprocess.check_output(["ps", "-eo", "pid,ppid,args"], text=True).splitlines()
        rows = [line.split(None, 2) for line in listed]
        started = {str(os.getpid())}
        started |= {pid for pid, parent, _ in rows if parent in started}
        for pid, parent, name in rows:
            if parent in started and name.startswith("ray::MapWorker(MapBatches(_EmbedFiles)).submit"):
                os.kill(int(pid), signal.SIGKILL)
                print("killed", flush=True)
                return
        time.sleep(0.05)


if killed == "yes":
    threading.Thread(target=kill_one, daemon=True).start()
print(Painters.load(model).index(source, out, ray="local").text())
"""


def on_ray(model: Path, source: Path | str, out: Path, kill: str = "no") -> str:
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, model, str(source), out, kill],
        capture_output=True,
        text=True,
        timeout=800,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "MORELLI_ENGINE": "torch"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_folder_gives_what_plain_index_gives(model: Path, painters: Painters, pictures: Path, tmp_path: Path) -> None:
    (pictures / "letter.jpg").write_text("a letter")
    plain = PictureIndex.load(painters.index(pictures, tmp_path / "plain").path).pictures
    said = on_ray(model, pictures, tmp_path / "folder")
    assert "9 pictures (9 embedded now, 0 unchanged" in said
    assert "letter.jpg: not a picture that can be read" in said
    found = PictureIndex.load(tmp_path / "folder").pictures
    assert found.pictures.equals(plain.pictures)
    torch.testing.assert_close(found.embeddings, plain.embeddings, atol=1e-6, rtol=0)
    assert painters.search(tmp_path / "folder", pictures / "artist-0" / "0.png", 3).matches


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bucket_gives_what_a_folder_gives(model: Path, painters: Painters, pictures: Path, tmp_path: Path) -> None:
    plain = PictureIndex.load(painters.index(pictures, tmp_path / "plain").path).pictures
    on_ray(model, pictures.as_uri(), tmp_path / "bucket")
    found = PictureIndex.load(tmp_path / "bucket").pictures
    assert found.pictures.drop(columns="mtime_ns").equals(plain.pictures.drop(columns="mtime_ns"))
    torch.testing.assert_close(found.embeddings, plain.embeddings, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_that_is_killed_costs_nothing(model: Path, painters: Painters, pictures: Path, tmp_path: Path) -> None:
    plain = PictureIndex.load(painters.index(pictures, tmp_path / "plain").path).pictures
    contents = [(pictures / file).read_bytes() for file in plain.pictures["file"]]
    shards = tmp_path / "shards"
    shards.mkdir()
    rows = [{"bytes": one, "path": None} for one in [*contents, b"a letter"] * 40]
    pq.write_table(pa.table({"image": rows, "label": list(range(len(rows)))}), shards / "a.parquet", row_group_size=7)
    said = on_ray(model, shards, tmp_path / "rows", kill="yes")
    assert "killed" in said
    assert "a.parquet#9: not a picture" in said
    found = PictureIndex.load(tmp_path / "rows").pictures
    assert len(found.pictures) == 360
    vectors = dict(zip(found.pictures["file"], found.embeddings, strict=True))
    for place in range(9):
        for again in (0, 390):
            torch.testing.assert_close(
                vectors[f"a.parquet#{place + again}"], plain.embeddings[place], atol=1e-6, rtol=0
            )


@pytest.fixture
def silent() -> str:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere.invalid:6379", "6379", "silent"])
def test_an_address_that_does_not_answer_is_told(painters: Painters, pictures: Path, address: str, silent: str) -> None:
    pytest.importorskip("ray")
    asked = silent if address == "silent" else address
    started = time.monotonic()
    with pytest.raises(MorelliError, match=f"No Ray cluster answers at {asked}"):
        painters.index(pictures, ray=asked)
    assert time.monotonic() - started < 10
    assert not pictures.with_name("pictures.index").exists()


def test_addresses_of_buckets_keep_their_slashes() -> None:
    for address in ("s3://bucket/paintings", "gs://b/c/d", "file:///tmp/x"):
        assert address_of(Path(address)) == address
    assert address_of(Path("/tmp/x")) == "/tmp/x"


def test_the_column_of_pictures_is_found() -> None:
    inside = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert picture_column(pa.schema([("id", pa.int64()), ("image", inside), ("thumbnail", pa.binary())])) == "image"
    assert picture_column(pa.schema([("scan", pa.binary()), ("path", pa.string())])) == "scan"
    assert picture_column(pa.schema([("title", pa.string()), ("path", pa.string())])) == "path"
    with pytest.raises(MorelliError, match="there are: title"):
        picture_column(pa.schema([("title", pa.string())]))
