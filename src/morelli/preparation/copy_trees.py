"""Folders of resized copies beside the originals, as many data sets come with."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from morelli.preparation.folder_names import is_size
from morelli.preparation.listing import File

_NEARLY_ALL = 0.9


def without_copy_trees(pictures: Sequence[File]) -> tuple[list[File], dict[str, tuple[str, int]]]:
    """Take out the pictures in folders named after a size whose files all have a namesake in a folder beside.

    Returns:
        The other pictures; and for each folder taken out, the one that it is a copy of and how many pictures it had.
    """
    start = _common_depth(pictures)
    branches: dict[str, list[File]] = defaultdict(list)
    for picture in pictures:
        parts = picture.name.split("/")
        if len(parts) > start + 1:
            branches["/".join(parts[: start + 1])].append(picture)
    if not any(_is_size(branch) for branch in branches):
        return list(pictures), {}
    stems = {branch: {_stem(file.name, branch) for file in files} for branch, files in branches.items()}
    copies: dict[str, tuple[str, int]] = {}
    by_size = sorted(branches, key=lambda branch: (sum(file.bytes for file in branches[branch]), branch))
    for branch in by_size:
        if _is_size(branch):
            others = [other for other in reversed(by_size) if other != branch and other not in copies]
            original = next((other for other in others if _is_copy(stems[branch], stems[other])), None)
            if original:
                copies[branch] = (original, len(branches[branch]))
    gone = tuple(f"{branch}/" for branch in copies)
    return [picture for picture in pictures if not picture.name.startswith(gone)], copies


def _is_size(branch: str) -> bool:
    return is_size(branch.rpartition("/")[2])


def _common_depth(pictures: Sequence[File]) -> int:
    """How many folders all pictures lie in one after the other."""
    folders = [picture.name.split("/")[:-1] for picture in pictures]
    depth = 0
    while folders and len({tuple(folder[: depth + 1]) for folder in folders}) == 1 and len(folders[0]) > depth:
        depth += 1
    return depth


def _stem(name: str, branch: str) -> str:
    return str(PurePosixPath(name[len(branch) + 1 :]).with_suffix(""))


def _is_copy(stems: set[str], originals: set[str]) -> bool:
    if any("/" in stem for stem in stems) and len(stems & originals) >= _NEARLY_ALL * len(stems):
        return True
    names = {stem.rpartition("/")[2] for stem in stems}
    same = names & {stem.rpartition("/")[2] for stem in originals}
    telling = [name for name in same if not name.isdigit()]  # every artist's folder may have a 1.jpg
    return len(same) >= _NEARLY_ALL * len(names) and 2 * len(telling) >= len(same)
