"""Output encoding: UTF-8 in files and pipes, and ASCII for the letters that a terminal lacks."""

import codecs
import io
import os
import sys
import unicodedata

_PLAIN = {"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+-", "→": "->", "‘": "'", "’": "'"}


def prepare_output() -> None:
    """Print UTF-8 to files and pipes; on a terminal of another encoding, print what it lacks in ASCII.

    Redirected output has the system's encoding, which on Windows lacks most names' letters and every frame.
    """
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns) == 0:
        del os.environ["COLUMNS"]  # some programs set it so where there is no terminal; rich would print nothing
    codecs.register_error("morelli.in-ascii", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):  # closed, or a test's or an editor's own
            continue
        if stream.isatty():
            stream.reconfigure(errors="morelli.in-ascii")
        else:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # names of files may be no text at all


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter: str) -> str:
    name = unicodedata.name(letter, "")
    if name.startswith("BOX DRAWINGS"):
        horizontal = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
        vertical = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
        return "-" if horizontal and not vertical else "|" if vertical and not horizontal else "+"
    return _PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode("ascii")
