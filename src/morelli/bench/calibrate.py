"""Calibration of a finished network anew: threshold, ratios and identification, learned on a prepared folder's artists.

For a network of an earlier version, and for one that is to be used on pictures of another kind than it validated on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from morelli.bench.measure import decisions, is_one_of, measure_subset
from morelli.data.copies import paintings_and_copies, without_copies
from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.evaluation.calibration import Method
from morelli.evaluation.evaluate import too_few
from morelli.evaluation.learning import (
    TooFewPairsError,
    Validation,
    calibration_of,
    in_other_ways,
    tippett_of,
    unexplained_limit,
)
from morelli.models.network import Network, aligned_features, short_digests, without_gradient


@dataclass(frozen=True)
class Calibrated:
    """What :func:`calibrate_network` did: where the network is, on how many artists it learned, what it is worth."""

    model: Path
    artists: int
    paintings: int
    measured: dict[str, Any] | None

    def text(self) -> str:
        """What the command prints."""
        said = f"Learned on {self.artists} artists, {self.paintings:,} paintings. Model: {self.model}"
        if self.measured is None:
            return f"{said}\nNo other artists are there to measure it on: its error rates are not known."
        far = self.measured["realised_far_balanced"]
        return (
            f"{said}\nOn {self.measured['artists']} other artists its threshold called {100 * far:.1f} % of pairs by "
            "different hands the same hand."
        )


def calibrate_network(model: str | Path, data: Path, out: Path, *, method: Method = "platt") -> Calibrated:
    """Learn anew what a network makes of its scores, and save it; its embeddings stay, and so do indexes made with it.

    It learns on the network's own validation artists where the folder has them, and measures on the artists that it
    has never met; else it learns on all those, and nothing is measured.

    Args:
        model: what :meth:`Network.load` takes.
        data: a prepared folder.
        out: the folder for the network; not the one it comes from.
        method: as in :func:`~morelli.evaluation.calibration.fit_calibration`.

    Raises:
        MorelliError: no model, no prepared folder, too few artists, or a folder that is there already.
    """
    if out.exists():
        raise MorelliError(f"{out} is there already. Choose another --out.")
    network = Network.load(model)
    found = without_copies(paintings_and_copies(data))
    is_known = pd.Series(short_digests(found), found.index).isin(network.card.training_paintings)
    is_new = ~is_known & ~is_one_of(found, network.card.training_artists)
    is_own = is_new & is_one_of(found, network.card.validation_artists)
    learns = is_own if is_own.any() else is_new
    if reason := too_few("validation", found[learns]):
        raise MorelliError(f"{data} cannot calibrate this network. {reason}")
    dataset = PaintersByNumbers(data, transform=network.backbone.transform()).only(list(found["id"][is_new]))
    paintings, features = dataset.paintings, aligned_features(network, dataset, Accelerator().device)
    embeddings = without_gradient(network.head.cpu(), features)
    places = paintings["id"].isin(set(found["id"][learns])).to_numpy(copy=True)
    rows, of_rows = _part(paintings, embeddings, places)
    validation = Validation(of_rows, rows, network.scorer, network.cohort)
    try:
        facts = validation.facts(method)
    except TooFewPairsError as few:
        raise MorelliError(f"{data} cannot calibrate this network: {few} are too few.") from None
    if network.backbone.is_frozen:
        facts["unexplained"] = unexplained_limit(network.head, features[torch.tensor(places)])
    network = network.with_facts(
        **facts, validation_artists=tuple(sorted(rows["artist"].unique())), measured=None, tippett=None
    )
    rest, of_rest = _part(paintings, embeddings, ~places)
    measured = None
    if too_few("unseen", rest) is None:
        facts = _measured(network, rest, of_rest, found)
        measured, network = facts["measured"], network.with_facts(**facts)
    network.save(out)
    return Calibrated(out, rows["artist"].nunique(), len(rows), measured)


def _part(paintings: pd.DataFrame, embeddings: Tensor, places: Any) -> tuple[pd.DataFrame, Tensor]:
    return paintings[places].reset_index(drop=True), embeddings[torch.tensor(places)]


def _measured(network: Network, rows: pd.DataFrame, embeddings: Tensor, found: pd.DataFrame) -> dict[str, Any]:
    """What a card keeps of other artists."""
    calibration = calibration_of(network.card)
    how = {"threshold": network.card.threshold, "calibration": calibration} | in_other_ways(network, embeddings)
    metrics, _, all_of_it = measure_subset("unseen", embeddings, rows, network.scorer, found, None, **how)
    assert calibration is not None
    return {"measured": decisions(metrics), "tippett": tippett_of(all_of_it.score_histogram, calibration)}
