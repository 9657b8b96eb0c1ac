"""Pack the network of a run into the package, as one that comes with morelli.

    python scripts/pack_network.py runs/painters/*supcon* --name painters --version 1

writes src/morelli/models/packaged/NAME/ (model.safetensors in float16, network.json, README.md), notes the digest of
each file in digests.json, and checks that the packed network gives the run's embeddings within 1e-3.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch

from morelli._files import write_text_whole
from morelli.models.network import CARD, WEIGHTS, Network, without_gradient
from morelli.models.packaged import DIGESTS

README = "README.md"
PACKAGED = Path(__file__).parents[1] / "src" / "morelli" / "models" / "packaged"
TOLERANCE = 1e-3


def pack(run: Path, name: str, version: str, into: Path = PACKAGED) -> float:
    """Pack a run's network; returns the largest difference of an embedding's number on random features."""
    network = Network.load(run).with_facts(version=version)
    folder = into / name
    network.save(folder, compact=True)
    shutil.copyfile(run / "model" / README, folder / README)
    difference = _difference(network, Network.load(folder))
    if difference > TOLERANCE:
        raise SystemExit(f"The packed network differs by {difference:.2g} from the run's, more than {TOLERANCE}.")
    digests = json.loads((into / DIGESTS).read_text(encoding="utf-8"))
    files = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in (WEIGHTS, CARD)}
    digests[name] = {"version": version, "files": files}
    write_text_whole(into / DIGESTS, json.dumps(digests, indent=1) + "\n")
    return difference


def _difference(network: Network, packed: Network) -> float:
    """On features spread as those of paintings are."""
    noise = torch.randn(64, len(network.head.centre), generator=torch.Generator().manual_seed(0))
    features = network.head.centre + noise * network.head.spread
    first, second = (without_gradient(one.head, features) for one in (network, packed))
    return float((first - second).abs().max())


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("--name", default="painters")
    parser.add_argument("--version", required=True)
    arguments = parser.parse_args()
    difference = pack(arguments.run, arguments.name, arguments.version)
    size = sum(path.stat().st_size for path in (PACKAGED / arguments.name).iterdir())
    print(f"{PACKAGED / arguments.name}: {size / 1e6:.1f} MB, embeddings within {difference:.1g} of the run's")


if __name__ == "__main__":
    main()
