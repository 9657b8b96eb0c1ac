"""How fast pictures of a prepared folder pass frozen backbones: from files, bare in memory, and in torch.

Run it with:  python benchmarks/embed.py [PREPARED] [--pictures 256] [--rounds 3] [--former SRC] [--only …] [--save]

Without a prepared folder, synthetic paintings of 224 px are painted first.

Ways, in turns, each in a process of its own; times exclude starting and converting, which are done once before:
  torch    from files, every core in one batch (MORELLI_ENGINE=torch)
  bare     the chosen engine on the same inputs, which are in memory already
  morelli  from files, as every command does it
  former   from files with the package in SRC, the src folder of another checkout
A picture's road is read apart, in processor time of one thread: decode, views, and everything after them.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "lite": {"name": "tf_efficientnet_lite0", "beside": ["tf_efficientnet_lite1"], "pool": "stages", "views": 4}
    | {"image_size": 224, "fit": "squash"},
    "lite0": {"name": "tf_efficientnet_lite0", "pool": "stages", "image_size": 224, "fit": "squash", "views": 4},
    "resnet18": {"name": "resnet18", "weights": "none", "image_size": 200},
    "vit": {"name": "vit_small_patch16_224", "weights": "none"},
}


def part(way: str, recipe: str, folder: str, pictures: int, features_path: str) -> dict[str, float]:
    """One way once, in this process."""
    import torch

    from _rates import peak_megabytes
    from morelli import PaintersByNumbers
    from morelli.models.backbones import BackboneConfig, create_backbone
    from morelli.models.features import features_of

    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig.model_validate(RECIPES[recipe]))
    dataset = PaintersByNumbers(folder, split="train+test")
    dataset = dataset.only(list(dataset.paintings["id"].sample(pictures, random_state=0)))
    device = torch.device("cpu")
    if way != "former":
        from morelli.models.embedder import in_batches
        from morelli.models.engines import InferenceBackbone, engines_for

        os.environ["MORELLI_ENGINE"] = "torch" if way == "torch" else ""
        engines = engines_for(backbone, device, pictures=1_000_000)
        inference = InferenceBackbone(engines)
        inference.start()
    if way == "bare":
        dataset.transform = inference.transform
        inputs = [dataset[place] for place in range(pictures)]
    started = time.perf_counter()
    if way == "bare":
        features = torch.cat([found for found, _ in in_batches(inference, inputs, device)])
    else:
        features = features_of(backbone, dataset, device)
    seconds = time.perf_counter() - started
    torch.save(features, features_path)
    return {"rate": pictures / seconds, "peak": peak_megabytes()}


def road(recipe: str, folder: str, pictures: int) -> dict[str, float]:
    """Milliseconds of one core that a picture takes before the network."""
    import torch
    from PIL import Image

    from morelli import PaintersByNumbers
    from morelli.models.backbones import BackboneConfig, create_backbone
    from morelli.models.engines import InferenceBackbone, engines_for

    torch.set_num_threads(1)
    backbone = create_backbone(BackboneConfig.model_validate(RECIPES[recipe]))
    paths = PaintersByNumbers(folder, split="train+test").paths[:pictures]
    transform = InferenceBackbone(engines_for(backbone, torch.device("cpu"), pictures=0)).transform
    found = {}
    started = time.process_time()
    opened = [Image.open(path).convert("RGB") for path in paths]
    found["decode"] = time.process_time() - started
    started = time.process_time()
    shown = [transform(picture) for picture in opened]
    found["views, resize, normalise"] = time.process_time() - started
    started = time.process_time()
    for start in range(0, pictures, 8):
        torch.utils.data.default_collate(shown[start : start + 8])
    found["batch"] = time.process_time() - started
    return {name: 1000 * seconds / len(paths) for name, seconds in found.items()}


def in_child(
    options: argparse.Namespace, way: str, recipe: str, features: Path, source: str | None
) -> dict[str, float]:
    """Run one part in a process of its own, with an empty cache of features but the engines made before."""
    import shutil
    import subprocess

    cache = Path(options.cache) / ("former" if way == "former" else "now")
    shutil.rmtree(cache / "features", ignore_errors=True)
    environment = os.environ | {"MORELLI_CACHE": str(cache)} | ({"PYTHONPATH": source} if source else {})
    arguments = ["--part", way, "--only", recipe, "--pictures", str(options.pictures), "--features", str(features)]
    done = subprocess.run(
        [sys.executable, __file__, options.folder, *arguments], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(options: argparse.Namespace, recipe: str) -> dict[str, float]:
    import torch
    from rich.console import Console
    from rich.table import Table

    from _rates import median

    ways = {"torch": None, "bare": None, "morelli": None} | ({"former": options.former} if options.former else {})
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    files = {way: Path(options.cache) / f"{way}.pt" for way in ways}
    in_child(options, "morelli", recipe, files["morelli"], None)  # converts
    for _ in range(options.rounds):
        for way, source in ways.items():
            rounds[way].append(in_child(options, way, recipe, files[way], source))
    expected = torch.load(files["torch"])
    table = Table(title=f"{recipe}: {options.pictures} pictures, median of {options.rounds} rounds in turns")
    for column in ("way", "pictures/s", "against torch", "peak MB", "largest difference of a feature"):
        table.add_column(column, justify="left" if column == "way" else "right")
    rates = {way: median([one["rate"] for one in runs]) for way, runs in rounds.items()}
    for way, runs in rounds.items():
        off = float((torch.load(files[way]) - expected).abs().max() / expected.abs().max())
        peak = f"{median([one['peak'] for one in runs]):.0f}"
        table.add_row(way, f"{rates[way]:.1f}", f"{rates[way] / rates['torch']:.2f} ×", peak, f"{off:.0e}")
    Console(width=110).print(table)
    for step, milliseconds in road(recipe, options.folder, min(100, options.pictures)).items():
        share = milliseconds * rates["bare"] / 1000 / (os.cpu_count() or 1)
        print(f"  {step}: {milliseconds:.1f} ms of one core a picture, {share:.1%} of the bare engine's")
    found = {"embed_against_torch_ratio": rates["morelli"] / rates["torch"]}
    found["embed_against_bare_ratio"] = rates["morelli"] / rates["bare"]
    if options.former:
        print(f"  against the former checkout: {rates['morelli'] / rates['former']:.2f} ×")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--former")
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=["lite", "resnet18", "vit"])
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--features", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(options.part, options.only[0], options.folder, options.pictures, options.features)))
        return
    from _rates import machine, save_rates

    print(machine())
    with tempfile.TemporaryDirectory() as options.cache:
        if options.folder is None:
            from morelli import SyntheticPainters

            options.folder = str(Path(options.cache) / "paintings")
            SyntheticPainters(artists=-(-options.pictures // 16), paintings_per_artist=16, size=224).write(
                options.folder
            )
        for recipe in options.only:
            found = measure(options, recipe)
            if options.save and recipe == options.only[0]:
                save_rates(found)


if __name__ == "__main__":
    main()
