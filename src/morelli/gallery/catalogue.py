"""What is packaged: the networks that come with morelli, and what each is worth."""

import json
from dataclasses import dataclass

from morelli.models.model_folder import CARD
from morelli.models.network import NetworkCard
from morelli.models.packaged import packaged_folder, packaged_names


@dataclass(frozen=True)
class PackagedNetwork:
    """A network that comes with the package: its ``name``, and its card with the figures on unseen artists."""

    name: str
    card: NetworkCard

    def text(self) -> str:
        """What the command prints."""
        backbone = " and ".join((self.card.backbone.name, *self.card.backbone.beside))
        measured = self.card.measured or {}
        lines = [
            f"{self.name} {self.card.version}: {backbone}, {len(self.card.training_artists)} training artists",
            f"  on {measured['artists']} artists never seen in training, {measured['paintings']:,} paintings:",
        ]
        for metric, heading in (("pair_auc", "pair AUC"), ("precision_at_1", "P@1")):
            low, high = measured["interval"][metric]
            lines.append(f"  {heading} {measured[metric]:.3f} ({low:.3f} to {high:.3f})")
        return "\n".join(lines)


def packaged_networks() -> list[PackagedNetwork]:
    """All packaged networks, in the order of their names."""
    found = []
    for name in packaged_names():
        folder = packaged_folder(name)
        assert folder is not None  # it was listed
        content = json.loads((folder / CARD).read_text(encoding="utf-8"))
        found.append(PackagedNetwork(name, NetworkCard.model_validate(content)))
    return found
