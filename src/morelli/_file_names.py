"""File names as text: bytes that are no UTF-8 are shown as ``\\xe9``, and can be turned back into the name."""

import re

# How Python holds a byte that is no UTF-8 in a name (PEP 383), and what else of the kind Windows allows in names.
_UNDECODABLE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


def escaped(name: str) -> str:
    r"""Write a relative path, with forward slashes, so that every file, terminal and table takes it.

    >>> escaped("mus\udce9e.jpg")
    'mus\\xe9e.jpg'
    """
    return printable(name.replace("\\", "\\\\"))


def unescaped(text: str) -> str:
    """Give back the name that :func:`escaped` wrote, to open the file by it."""
    return _ESCAPED.sub(_character, text)


def printable(text: str) -> str:
    """Escape what no encoding takes and leave all else, for text that is only shown."""
    return _UNDECODABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _character(found: re.Match[str]) -> str:
    what = found[1]
    return "\\" if what == "\\" else chr(int(what[1:], 16) + (0xDC00 if what[0] == "x" else 0))
