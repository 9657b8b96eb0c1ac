"""What an index is made of: pictures listed and embedded by this process or others, and what was done with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from morelli._file_names import printable
from morelli.gallery.reader import ReadBatch


@dataclass
class IndexSummary:
    """What :func:`morelli.gallery.index.index_folder` did.

    Attributes:
        path: the index.
        pictures: how many it holds.
        embedded, unchanged, dropped: pictures that are new or changed, that were there before, and that are gone.
        copies: groups of files that show one picture.
        left_out: (file, reason) of pictures that cannot be used, and of folders that cannot be read.
        other_files: files that are no pictures.
        passed_over: how many files or folders of what kind were not looked at, such as thumbnails.
        seconds: taken in all.
    """

    path: Path
    pictures: int = 0
    embedded: int = 0
    unchanged: int = 0
    dropped: int = 0
    copies: list[list[str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    other_files: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def text(self) -> str:
        """What the command prints."""
        here = Path.cwd()
        path = self.path.relative_to(here) if self.path.is_relative_to(here) else self.path  # as it was typed
        lines = [
            f"{printable(str(path))}: {self.pictures:,} pictures ({self.embedded:,} embedded now, "
            f"{self.unchanged:,} unchanged, {self.dropped:,} dropped) in {self.seconds:.1f} s."
        ]
        if self.copies:
            lines.append(f"Copies of one picture, {len(self.copies):,} groups:")
            lines += [f"  {' = '.join(group)}" for group in self.copies]
        if self.left_out:
            lines.append(f"Left out, {len(self.left_out):,}:")
            lines += [f"  {file}: {reason}" for file, reason in self.left_out]
        return "\n".join([*lines, *(f"Passed over: {count:,} {what}." for what, count in self.passed_over.items())])


class Listing(Protocol):
    """Pictures of a folder, to be listed and embedded; names are relative to it and escaped."""

    def listed(self, folder: Path, out: Path) -> tuple[list[str], IndexSummary]: ...
    def version(self, folder: Path, file: str) -> list[int]:
        """A file's bytes and time of change: what has the same is not read again."""

    def read(self, folder: Path, files: Sequence[str], what: str) -> Iterator[ReadBatch]: ...
