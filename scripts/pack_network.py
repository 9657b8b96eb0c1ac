"""Pack the network of a run into the package, as one that comes with morelli.

    python scripts/pack_network.py runs/painters/*supcon* --version 1

writes src/morelli/models/packaged/NAME/ (model.safetensors in float16, network.json, and docs/NAME.md as README.md),
notes the digest of each file in digests.json, writes the run's embeddings of examples/pictures beside the test that
compares them, and checks that the packed network gives them within 1e-3.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

from safetensors.torch import save_file

from morelli import Network, Painters
from morelli._files import write_text_whole
from morelli.models.model_folder import CARD, WEIGHTS
from morelli.models.packaged import DIGESTS, FOLDER

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-3


def pack(run: Path, name: str, version: str) -> float:
    """Pack a run's network; returns the largest difference of a number of the example pictures' embeddings."""
    folder = FOLDER / name
    Network.load(run).with_facts(version=version).save(folder, compact=True)
    shutil.copyfile(ROOT / "docs" / f"{name}.md", folder / "README.md")
    digests = json.loads((FOLDER / DIGESTS).read_text(encoding="utf-8"))
    files = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in (WEIGHTS, CARD)}
    digests[name] = {"version": version, "files": files}
    write_text_whole(FOLDER / DIGESTS, json.dumps(digests, indent=1) + "\n")
    pictures = sorted((ROOT / "examples" / "pictures").glob("*.jpg"))
    expected, found = (Painters.load(one).embed(pictures) for one in (run, folder))
    embeddings = {path.name: row.clone() for path, row in zip(pictures, expected, strict=True)}
    save_file(embeddings, ROOT / "tests" / "gallery" / f"{name}_embeddings.safetensors")
    difference = float((expected - found).abs().max())
    if difference > TOLERANCE:
        raise SystemExit(f"The packed network differs by {difference:.2g} from the run's, more than {TOLERANCE}.")
    return difference


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("--name", default="painters")
    parser.add_argument("--version", required=True)
    arguments = parser.parse_args()
    difference = pack(arguments.run, arguments.name, arguments.version)
    size = sum(path.stat().st_size for path in (FOLDER / arguments.name).iterdir())
    print(f"{FOLDER / arguments.name}: {size / 1e6:.1f} MB, embeddings within {difference:.1g} of the run's")


if __name__ == "__main__":
    main()
