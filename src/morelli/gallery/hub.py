"""Models on a model hub: put there with their card, and taken from there by name."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import logging as hub_logging

from morelli.bench.model_card import README, write_model_card
from morelli.bench.run_folder import RunFolder
from morelli.errors import MorelliError
from morelli.models.hub_files import check_reachable
from morelli.models.network import CARD, WEIGHTS, Network, within_run

_FILES: Final = [WEIGHTS, CARD, README]  # data and text, nothing that could run
_NAME: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_TROUBLE: Final[tuple[type[Exception], ...]] = (OSError, ValueError, RuntimeError, *HfHubHTTPError.__bases__)
"""What the hub's client raises; the last are those of the HTTP library that it stands on."""


def model_folder(model: str | Path) -> Path:
    """The folder of a model: the one of that name here, else the hub's model of that name, downloaded once.

    Raises:
        MorelliError: it looks like a name on the hub, and there is no such folder and no such model.
    """
    name = Path(model).as_posix()
    if Path(model).exists() or not _NAME.fullmatch(name):
        return Path(model)
    with _hub(f"There is no folder {name}, and no model of that name could be had from the hub"):
        return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=not _is_reachable()))


def push(model: str | Path, name: str, *, public: bool = False) -> str:
    """Put a model on the hub: its weights, what must be known to use it, and its card.

    Args:
        model: a run folder, or its ``model`` folder.
        name: ``owner/name``; made if it is not there yet.
        public: a new one is for all to see; else for its owner alone.

    Returns:
        The address of its page.

    Raises:
        MorelliError: no whole model, no card, an impossible name, or the hub refuses.
    """
    if not _NAME.fullmatch(name):
        raise MorelliError(f'A model on the hub is called OWNER/NAME, in letters, digits and _ . -; not "{name}".')
    network = Network.load(model)
    folder = within_run(Path(model))
    run = RunFolder(folder.parent)
    if not (folder / README).is_file():
        if not run.is_finished:
            raise MorelliError(f"{folder} has no {README}, and a model is not shared without its data and limits.")
        write_model_card(run, network.card, run.metrics)
    with _hub(f"{name} could not be put on the hub"):
        hub = HfApi()
        hub.create_repo(name, private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=_FILES, commit_message="Upload with morelli push"
        )
    return f"{constants.ENDPOINT}/{name}"


def _is_reachable() -> bool:
    """Asked first, because the client would try for more than a minute."""
    try:
        check_reachable(constants.ENDPOINT)
    except ConnectionError:
        return False
    return True


@contextmanager
def _hub(trouble: str) -> Iterator[None]:
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
