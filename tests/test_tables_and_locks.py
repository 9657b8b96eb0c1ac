"""Tables notice a flipped bit anywhere, and a folder has one writer at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morelli import MorelliError, _locks
from morelli._locks import only_writer
from morelli._tables import DamagedTableError, read_table, write_table
from morelli.errors import MorelliWarning

SCHEMA = pa.schema([("name", pa.string()), ("length", pa.int64())])
TABLE = pa.table([["Éduard", "Berthe", "NA"] * 9, list(range(27))], schema=SCHEMA)
HOLDER = """
import sys, time
from pathlib import Path
from morelli._locks import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, TABLE, {b"about": b"paintings"})
    whole, refused = path.read_bytes(), 0
    for place in range(0, 8 * len(whole), 3):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            table = read_table(path)
        except DamagedTableError:
            refused += 1
        else:
            assert table.equals(TABLE)
            assert table.schema.metadata[b"about"] == b"paintings"
    assert refused > 0.9 * 8 * len(whole) / 3


def test_tables_of_other_programs_are_read(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "other.parquet")
    assert read_table(tmp_path / "other.parquet", schema=SCHEMA).equals(TABLE)


def test_what_is_no_such_table_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(FileNotFoundError):
        read_table(path)
    for content in (b"", b"PAR1", b"not a table at all", b"PAR1" + bytes(40) + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(DamagedTableError, match=r"a\.parquet is damaged \("):
            read_table(path)
    pq.write_table(TABLE.drop(["length"]), path)
    with pytest.raises(DamagedTableError, match="it lacks length"):
        read_table(path, schema=SCHEMA)
    pq.write_table(TABLE.set_column(1, "length", pa.array(["x"] * 27)), path)
    with pytest.raises(DamagedTableError, match="its columns have other types"):
        read_table(path, schema=SCHEMA)
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xe9")]
    )
    pq.write_table(pa.table([text], names=["name"]), path)
    with pytest.raises(DamagedTableError, match="UTF"):
        read_table(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(MorelliError, match="cannot be read"):
        read_table(path)


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_writer_waits_and_says_for_whom(tmp_path: Path) -> None:
    with (
        holder(tmp_path, 0.5) as process,
        pytest.warns(MorelliWarning, match=f"Process {process.pid} writes into"),
        only_writer(tmp_path),
    ):
        assert process.wait(5) == 0


def test_it_gives_up_and_names_the_first_and_a_dead_one_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_locks, "WAIT", 0.2)
    with holder(tmp_path, 60) as process:
        started = time.monotonic()
        with (
            pytest.warns(MorelliWarning, match="waiting for it"),
            pytest.raises(MorelliError, match=f"Process {process.pid} writes into {tmp_path}. Run this again"),
            only_writer(tmp_path),
        ):
            pytest.fail("two writers")
        assert time.monotonic() - started < 10
        process.send_signal(signal.SIGKILL)
    with only_writer(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
