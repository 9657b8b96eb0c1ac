"""Networks and backbones' weights that come with the package, checked against their digests before they are used."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final, NotRequired

from typing_extensions import TypedDict

from morelli._json import read_json
from morelli.errors import MorelliError

DEFAULT: Final = "painters"
DIGESTS: Final = "digests.json"
FOLDER = Path(__file__).parent


_BACKBONES: Final = "backbones"
_VLAD: Final = ".vlad.safetensors"


class Packaged(TypedDict):
    """A folder of the package: the version of the network in it, and the SHA-256 of each of its files."""

    version: NotRequired[str]
    files: dict[str, str]


@cache
def index() -> dict[str, Packaged]:
    """What is packaged, by folder."""
    return read_json(FOLDER / DIGESTS, dict[str, Packaged])


def packaged_names() -> list[str]:
    """The names of the packaged networks."""
    return sorted(set(index()) - {_BACKBONES})


def packaged_version(name: str | Path) -> str | None:
    """The version of a packaged network; None for any other name, and for every path."""
    return index()[name]["version"] if isinstance(name, str) and name in packaged_names() else None


def packaged_folder(name: str | Path) -> Path | None:
    """The model folder of a packaged network; None for any other name, and for every path.

    Raises:
        MorelliError: a file of it is missing or was changed.
    """
    if not isinstance(name, str) or name not in packaged_names():
        return None
    for file in index()[name]["files"]:
        _as_published(name, file)
    return FOLDER / name


def tuned_backbones() -> list[str]:
    """The timm names of the backbones whose weights, tuned on paintings, come with the package."""
    return sorted(Path(file).stem for file in index()[_BACKBONES]["files"] if not file.endswith(_VLAD))


def tuned_weights(name: str) -> Path | None:
    """The file of a backbone's tuned weights, in float16; None where none come with the package.

    Raises:
        MorelliError: it is missing or was changed.
    """
    return _tuned(name, ".safetensors")


def tuned_vlad(name: str) -> Path | None:
    """The file of the centres of a tuned backbone's residual codes; None where it has none. Errors as above."""
    return _tuned(name, _VLAD)


def _tuned(name: str, suffix: str) -> Path | None:
    file = f"{name.split('.')[0]}{suffix}"
    return _as_published(_BACKBONES, file) if file in index()[_BACKBONES]["files"] else None


def _as_published(folder: str, file: str) -> Path:
    path = FOLDER / folder / file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != index()[folder]["files"][file]:
        raise MorelliError(
            f"{path} {'was changed' if path.is_file() else 'is missing'}: it is not as it was published. "
            "Install morelli anew: pip install --force-reinstall --no-deps morelli"
        )
    return path
