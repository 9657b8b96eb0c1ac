"""Files from the model hub: from its cache on disk, else over a connection that is tried for seconds, not minutes."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Final

import requests
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

_SECONDS: Final = 3.0
"""What a hub that can be reached answers in; looking its name up has no time limit of its own."""
_REMEMBERED: Final = 300.0
_unreachable: dict[str, float] = {}
"""When a place could last not be reached, so that it is not tried for every network of a bench."""


def hub_file(repository: str, names: Sequence[str], revision: str | None = None) -> Path:
    """Return the first of some files that a repository on the hub has: as it was fetched before, else fetched now.

    Raises:
        OSError: it was not fetched before and the hub cannot be reached, or it has none of them.
    """
    for name in names:
        with suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(repository, name, revision=revision, local_files_only=True))
    if constants.HF_HUB_OFFLINE:
        raise FileNotFoundError(f"{names[0]} of {repository} was never fetched, and HF_HUB_OFFLINE is set")
    check_reachable(constants.ENDPOINT)
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, revision=revision))
        except LocalEntryNotFoundError:  # the connection was lost; this error counts as the other kind too
            raise
        except EntryNotFoundError:
            continue
        except RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"the hub has no {repository}, or not for you. Check the name, and log in with: hf auth login"
            ) from error
    raise FileNotFoundError(f"{repository} on the hub holds no {' or '.join(names)}")


def check_reachable(address: str) -> None:
    """Raise ``ConnectionError`` within seconds unless a place on the web answers, or if it did not minutes ago."""
    if time.monotonic() - _unreachable.get(address, -_REMEMBERED) >= _REMEMBERED:
        answers: Queue[None] = Queue()
        threading.Thread(target=_ask, args=(address, answers), daemon=True).start()
        with suppress(Empty):
            return answers.get(timeout=_SECONDS)
        _unreachable[address] = time.monotonic()
    raise ConnectionError(f"{address} cannot be reached")


def _ask(address: str, answers: "Queue[None]") -> None:
    with suppress(requests.RequestException):
        requests.head(address, timeout=_SECONDS)
        answers.put(None)
