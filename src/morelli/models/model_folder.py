"""Where a model lies: among the packaged networks, in a folder, or on a model hub, fetched once."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import logging as hub_logging

from morelli.errors import MorelliError
from morelli.models.hub_files import check_reachable
from morelli.models.packaged import packaged_folder

WEIGHTS, CARD, README = "model.safetensors", "network.json", "README.md"
FILES: Final = [WEIGHTS, CARD, README]  # data and text, nothing that could run
EVAL_RESULTS: Final = ".eval_results/unseen_artists.yaml"
NAME: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
"""A model on the hub: owner and name."""
_TROUBLE: Final[tuple[type[Exception], ...]] = (OSError, ValueError, RuntimeError, *HfHubHTTPError.__bases__)
"""What the hub's client raises; the last are those of the HTTP library that it stands on."""


def model_folder(model: str | Path) -> Path:
    """The folder of a model: a packaged network's, the one of that path, else the hub's of that name, fetched once.

    A run folder gives the ``model`` folder in it. A folder that is called as a packaged network is written
    ``./painters``.

    Raises:
        MorelliError: a packaged network was changed, or it looks like a name on the hub, and there is no such folder
            and no such model.
    """
    if packaged := packaged_folder(model):
        return packaged
    place, name = Path(model), Path(model).as_posix()
    if not place.exists() and NAME.fullmatch(name):
        with hub_trouble(f"There is no folder {name}, and no model of that name could be had from the hub"):
            place = Path(snapshot_download(name, allow_patterns=FILES, local_files_only=not _is_reachable()))
    return place / "model" if (place / "model" / CARD).is_file() else place


def _is_reachable() -> bool:
    """Asked first, because the client would try for more than a minute."""
    try:
        check_reachable(constants.ENDPOINT)
    except ConnectionError:
        return False
    return True


@contextmanager
def hub_trouble(trouble: str) -> Iterator[None]:
    """Say the client's errors in our words, and keep its warnings quiet: they tell signed addresses."""
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    except _TROUBLE as error:
        raise MorelliError(f"{trouble}: {_reason(error)}.") from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _reason(error: Exception) -> str:
    """In a few words, without the addresses in the client's own message: those of uploads are signed."""
    error = error.__cause__ if type(error) is RuntimeError and isinstance(error.__cause__, Exception) else error
    if isinstance(error, OSError) and error.filename is not None:  # of the client's own cache
        return f"{error.filename}: {error.strerror}. HF_HOME names a folder for the client's files"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return "it is not there, or not for you. Check the name, and log in with: hf auth login"
    if status is not None:
        return f"{constants.ENDPOINT} answered with status {status}. Try again later"
    return f"{constants.ENDPOINT} cannot be reached ({type(error).__name__}). Check the connection and HF_HUB_OFFLINE"
