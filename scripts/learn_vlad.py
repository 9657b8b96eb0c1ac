"""Learn the centres of a tuned backbone's residual codes, and put them beside its weights in the package.

    python scripts/learn_vlad.py prepared/painters-mini

From paintings of artists whom the weights know already, so that nobody else becomes known by it.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from morelli import Backbone, BackboneConfig, PaintersByNumbers
from morelli._files import write_text_whole
from morelli.data.known_artists import WEIGHTS, is_known_to
from morelli.models.packaged import DIGESTS, FOLDER
from morelli.models.vlad import learn_vlad

NAME, PICTURES = "tf_efficientnet_lite0", 2000


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="prepared paintings")
    config = BackboneConfig(name=NAME, weights=WEIGHTS, pool="stages", image_size=224, fit="squash")
    backbone = Backbone(config)
    dataset = PaintersByNumbers(parser.parse_args().folder, transform=backbone.transform())
    table = dataset.paintings
    known = table["id"][table["artist"].map(lambda name: is_known_to(WEIGHTS, name)) & table["copy_of"].isna()]
    drawn = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:PICTURES]
    shown = dataset.only(list(known.iloc[drawn.numpy()]))
    with torch.inference_mode():
        learned = learn_vlad(backbone.stages(images) for images, _ in DataLoader(shown, batch_size=16))
    path = FOLDER / "backbones" / f"{NAME}.vlad.safetensors"
    save_file({name: tensor.half() for name, tensor in learned.items()}, path)
    digests = json.loads((FOLDER / DIGESTS).read_text(encoding="utf-8"))
    digests["backbones"]["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_text_whole(FOLDER / DIGESTS, json.dumps(digests, indent=1) + "\n")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, from {len(shown)} paintings")


if __name__ == "__main__":
    main()
