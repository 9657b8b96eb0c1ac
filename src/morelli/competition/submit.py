"""A finished network's submission to the competition."""

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from morelli._files import check_writable
from morelli.competition.submission import SubmissionSummary, write_submission
from morelli.data.dataset import PaintersByNumbers
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.evaluation.calibration import Calibration, check_prior
from morelli.models.network import Network, embed_with, largest_shorter_side


def submit(
    model: str | Path,
    data: Path,
    pairs: Path,
    out: Path,
    *,
    prior: float = 0.0131,
    say: Callable[[str], None] = lambda _: None,
) -> SubmissionSummary:
    """Score every pair of the competition's list with a finished network and write the submission.

    A picture passes the backbone once; its features are kept on disk. A calibrated network's scores are written as
    probabilities, except where its calibration gives all pairs the same.

    Args:
        model: what :meth:`Network.load` takes.
        data: the prepared folder with the test pictures.
        pairs: ``submission_info.csv``, plain, zipped or gzipped.
        out: ``.csv`` or ``.csv.gz``.
        prior: share of same-artist pairs that the probabilities are for; 1.31 % in the competition.
        say: told what a reader should know.

    Raises:
        MorelliError: no model, no prepared folder with test pictures, an impossible prior, or a list of pairs that
            does not fit.
    """
    check_writable(out)
    network = Network.load(model)
    probability = _probability(network, prior, say)
    paintings = read_paintings(data)
    # The competition's pairs are of its test pictures alone.
    tested = paintings[~paintings["in_train"].eq(True)]
    if tested.empty:
        raise MorelliError(
            f"{data} holds only the competition's training pictures, and its pairs are of test pictures. "
            "Put test.zip beside train.zip and prepare the folder again."
        )
    if not pairs.is_file():  # embedding can take hours
        raise MorelliError(
            f"There is no file {pairs}. Get it with: morelli data download --only submission_info.csv.zip"
        )
    size = largest_shorter_side(tested)
    if network.card.prepared_size not in (None, size):
        say(f"Note: the network was trained on pictures of {network.card.prepared_size} px, these have {size} px.")
    dataset = PaintersByNumbers(data, transform=network.backbone.transform()).only(list(tested["id"]))
    embeddings = embed_with(network, dataset, Accelerator().device)
    return write_submission(embeddings, list(tested["id"]), network.scorer, pairs, out, probability=probability)


def _probability(network: Network, prior: float, say: Callable[[str], None]) -> Callable[[Tensor], Tensor] | None:
    check_prior(prior, "same-artist pairs")
    if network.card.calibration is None:
        return None
    calibration = Calibration.from_dict(network.card.calibration)
    if calibration.slope == 0:  # one probability for all pairs would lose their order, which is all that AUC sees
        say(
            "Note: on validation artists the network was no better than chance; scores are written instead of "
            "probabilities."
        )
        return None
    return lambda scores: torch.from_numpy(calibration.probability(scores.numpy(), prior)).float()
