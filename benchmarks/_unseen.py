"""What the benchmarks of answers measure on: a prepared folder's paintings by artists that a network never met."""

import argparse
from pathlib import Path

from morelli import Network
from morelli.data.artists import artist_key
from morelli.data.copies import paintings_and_copies, without_copies
from morelli.data.dataset import PaintersByNumbers


def from_command_line(description: str | None, **numbers: int) -> tuple[Network, PaintersByNumbers, argparse.Namespace]:
    """The network and the paintings that ``--model`` and ``--data`` name; ``numbers`` are further options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="painters", help="a run folder, or a packaged network's name")
    parser.add_argument("--data", type=Path, required=True, help="a prepared folder")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    network = Network.load(arguments.model)
    known = {artist_key(name) for name in (*network.card.training_artists, *network.card.validation_artists)}
    found = without_copies(paintings_and_copies(arguments.data))
    found = found[~found["artist"].map(artist_key).isin(known)]
    dataset = PaintersByNumbers(arguments.data, transform=network.backbone.transform()).only(list(found["id"]))
    return network, dataset, arguments
