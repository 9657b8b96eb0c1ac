"""Output arrives whatever letters it has: UTF-8 in files and pipes, ASCII where a terminal lacks letters."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from morelli.cli._output import prepare_output

TEXT = "┏━┓ ┃ │ ─ ╇ Репин … Émile ± 0.1 × \udcff"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def printed(stream: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_output()
    print(TEXT, end="", flush=True)
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_files_and_pipes_get_utf8(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = printed(io.TextIOWrapper(io.BytesIO(), encoding=encoding), monkeypatch)

    assert content.decode("utf-8") == TEXT.replace("\udcff", "\\udcff")


def test_a_terminal_keeps_its_encoding_and_gets_what_it_lacks_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    latin = printed(Terminal(io.BytesIO(), encoding="latin-1"), monkeypatch)

    assert latin.decode("latin-1") == ("+-+ | | - + \\u0420\\u0435\\u043f\\u0438\\u043d ... Émile ± 0.1 × \\udcff")
    assert printed(Terminal(io.BytesIO(), encoding="ascii"), monkeypatch).endswith(b"... \\xc9mile +- 0.1 x \\udcff")


def test_streams_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stream)
        prepare_output()
        assert sys.stdout is stream


@pytest.mark.parametrize(
    "command", [["--help"], ["data", "info", "{prepared}"], ["data", "info", "{prepared}", "--json"]]
)
def test_commands_print_into_a_file_of_any_encoding(command: list[str], prepared: Path, tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("wb") as out:
        subprocess.run(
            [sys.executable, "-m", "morelli", *(part.format(prepared=prepared) for part in command)],
            stdout=out,
            check=True,
            env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        )

    assert (tmp_path / "out.txt").read_bytes().decode("utf-8")
