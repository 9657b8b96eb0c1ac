"""Models put on a model hub, with their card."""

from pathlib import Path

from huggingface_hub import HfApi, constants

from morelli.bench.model_card import write_model_card
from morelli.bench.run_folder import RunFolder
from morelli.errors import MorelliError
from morelli.models.model_folder import EVAL_RESULTS, FILES, NAME, README, hub_trouble, model_folder
from morelli.models.network import Network


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
    if not NAME.fullmatch(name):
        raise MorelliError(f'A model on the hub is called OWNER/NAME, in letters, digits and _ . -; not "{name}".')
    folder = model_folder(model)
    network = Network.load(folder)
    run = RunFolder(folder.parent)
    if not (folder / README).is_file():
        if not run.is_finished:
            raise MorelliError(f"{folder} has no {README}, and a model is not shared without its data and limits.")
        write_model_card(run, network.card, run.metrics)
    with hub_trouble(f"{name} could not be put on the hub"):
        hub = HfApi()
        hub.create_repo(name, private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[*FILES, EVAL_RESULTS],
            commit_message="Upload with morelli push",
        )
    return f"{constants.ENDPOINT}/{name}"
