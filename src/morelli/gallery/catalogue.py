"""What is packaged: the networks that come with morelli, and what each is worth."""

from dataclasses import dataclass

from morelli.bench.text_tables import with_interval
from morelli.evaluation.metrics import metric_of
from morelli.models.network import NetworkCard
from morelli.models.packaged import packaged_folder, packaged_names

_SHOWN = ("pair_auc", "precision_at_1")


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
        lines += [f"  {metric_of(name).heading} {with_interval(measured, name)}" for name in _SHOWN]
        return "\n".join(lines)


def packaged_networks() -> list[PackagedNetwork]:
    """All packaged networks, in the order of their names."""
    folders = {name: packaged_folder(name) for name in packaged_names()}
    return [PackagedNetwork(name, NetworkCard.read(folder)) for name, folder in folders.items() if folder]
