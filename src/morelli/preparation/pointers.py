"""Small texts that stand in place of a file which a tool has not fetched, or which a server did not give."""

from typing import Final

from morelli._files import LFS_HEAD

LFS_POINTER: Final = "a Git LFS pointer, not the file itself; run: git lfs pull"
HEAD_BYTES: Final = 128
"""So many of a file's first bytes tell what it is."""


def stand_in(head: bytes) -> str | None:
    """Say what stands in place of a picture or a table, by its first bytes; None if nothing that is known."""
    if head.startswith(LFS_HEAD):
        return LFS_POINTER
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, not the file itself"
    return None
