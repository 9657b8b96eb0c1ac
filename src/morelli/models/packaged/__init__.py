"""Networks that come with the package: found by name, and checked against their digests before they are used."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from typing_extensions import TypedDict

from morelli._json import read_json
from morelli.errors import MorelliError

DEFAULT: Final = "painters"
DIGESTS: Final = "digests.json"
FOLDER = Path(__file__).parent


class Packaged(TypedDict):
    """A packaged network: its version, and the SHA-256 of each of its files."""

    version: str
    files: dict[str, str]


@cache
def index() -> dict[str, Packaged]:
    """The packaged networks by name."""
    return read_json(FOLDER / DIGESTS, dict[str, Packaged])


def packaged_names() -> list[str]:
    """The names of the packaged networks."""
    return sorted(index())


def packaged_version(name: str | Path) -> str | None:
    """The version of a packaged network; None for any other name, and for every path."""
    return index()[name]["version"] if isinstance(name, str) and name in index() else None


def packaged_folder(name: str | Path) -> Path | None:
    """The model folder of a packaged network; None for any other name, and for every path.

    Raises:
        MorelliError: a file of it is missing or was changed.
    """
    if not isinstance(name, str) or name not in index():
        return None
    folder = FOLDER / name
    for file, expected in index()[name]["files"].items():
        path = folder / file
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise MorelliError(
                f'The packaged network "{name}" is not as it was published: {path} '
                f"{'was changed' if path.is_file() else 'is missing'}. "
                "Install morelli anew: pip install --force-reinstall --no-deps morelli"
            )
    return folder
