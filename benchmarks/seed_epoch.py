"""An epoch of the seed project's protocol as the seed ran it, against ours: time, memory, and what was learnt.

Run it with:  python benchmarks/seed_epoch.py [--data PREPARED] [--rounds 5] [--batches 6] [--save]

The reference does what the seed did. For every training image it decodes three pictures (or two, for pairs) in the
main process and passes each through a frozen ResNet-18, 200 x 200, batches of 32, Adam: 48,000 passes an epoch of
16,000 images. Ours (configs/seed.yaml) passes every picture once, keeps the features, and trains on them.

- Both see the same pictures and draw the same tuples. ResNet-18 has random weights here: time does not depend on them.
- The reference is measured on a few batches of every round and multiplied by 500 batches. Ours runs whole epochs of
  500 batches on 16,000 rows, which are the measured features repeated. Its features are measured on 256 pictures and
  multiplied up to 16,000, and 2,000 of validation artists. Both may use the same number of threads (--threads).
- The protocol is 500 epochs of triplets and 800 of pairs. To ours it adds the features, and a look at the validation
  artists every 10 epochs, which the reference does without.
- Reference and ours take turns, each in a process of its own; medians count, and every ratio comes from one run.
- The proof: both train the same heads from the same first weights on the same tuples, without dropout (its random
  numbers would differ); then losses, weights and accuracy on other artists are compared. Adam's first steps go by the
  sign of a gradient, however small, so rounding alone moves weights: how far is told by training the reference again
  on its own features changed by one part in a million.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import timm
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from _rates import in_own_process, machine, median, peak_megabytes, save_rates
from _seed_project import BATCH, Reference
from morelli.bench.grid import GridPoint, grid
from morelli.bench.recipe import load_recipe
from morelli.data.dataset import PaintersByNumbers
from morelli.data.sampling import RandomTupleSampler
from morelli.evaluation.evaluate import pair_scores
from morelli.evaluation.verification import exact_masses, pair_auc
from morelli.models.backbones import Backbone
from morelli.models.embedder import embed
from morelli.models.heads import ConcatHead, EmbeddingHead
from morelli.models.network import without_gradient
from morelli.synthetic.painters import SyntheticPainters
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import create_accelerator, fit
from morelli.training.objectives import Objective, create_objective

KINDS = {"triplets": "triplet", "pairs": "bce-concat"}  # sampling → objective of configs/seed.yaml
EPOCHS = {"triplets": 500, "pairs": 800}
ARTISTS, PER_ARTIST, VALIDATION = 800, 20, 100
BATCHES_AN_EPOCH = ARTISTS * PER_ARTIST // BATCH
EXTRACTED = 256
PROOF_ARTISTS, PROOF_EPOCHS = 8, 2


def seed_point(kind: str) -> GridPoint:
    return next(point for point in grid(load_recipe("seed")) if point.objective.name == KINDS[kind])


def backbone_of(kind: str, folder: Path) -> Backbone:
    config = seed_point(kind).backbone.model_copy(update={"weights": str(folder / "resnet18.safetensors")})
    return Backbone(config)


class Ours:
    """Head and objective of one of the two networks, as ``morelli bench configs/seed.yaml`` makes them."""

    def __init__(self, kind: str, artists: int) -> None:
        self.point = seed_point(kind)
        torch.manual_seed(0)
        self.head = EmbeddingHead(512, self.point.head)
        self.objective: Objective = create_objective(
            self.point.objective,
            width=self.head.width,
            artists=artists,
            normalised=self.head.normalise,
            sampling=self.point.training.sampling,
        )

    def train(self, features: Tensor, labels: list[int], validate: Any, **settings: Any) -> pd.DataFrame:
        config = self.point.training.model_copy(update=settings)
        with tempfile.TemporaryDirectory() as folder:
            return fit(
                self.head,
                self.objective,
                FeatureDataset(features, labels),
                labels,
                validate,
                config,
                Path(folder),
                accelerator=create_accelerator("no"),
            )

    def look(self, features: Tensor, rows: pd.DataFrame) -> float:
        masses = exact_masses(*pair_scores(without_gradient(self.head, features), rows, self.objective.scorer))
        return float(pair_auc(*masses))

    def plain(self) -> list[Tensor]:
        """The weights in the order and shape of the reference's head."""
        scorer = self.objective.scorer
        if not isinstance(scorer, ConcatHead):
            return list(self.head.parameters())
        first = [torch.cat([scorer.left.weight, scorer.right.weight], 1), scorer.left.bias]
        return [*first, *scorer.rest.parameters()]


def measure_reference(kind: str, folder: Path, data: Path, batches: int) -> dict[str, Any]:
    """Seconds of every batch after the first."""
    pictures = PaintersByNumbers(data, transform=backbone_of(kind, folder).transform())
    reference = Reference(kind, folder)
    rows = list(RandomTupleSampler(pictures.labels, kind=kind))  # type: ignore[arg-type]
    epoch, seconds = reference.train(pictures, rows), []
    for _ in range(batches + 1):
        started = time.perf_counter()
        next(epoch)
        seconds.append(time.perf_counter() - started)
    return {"batches": seconds[1:], "megabytes": peak_megabytes()}


def measure_ours(kind: str, folder: Path, data: Path, epochs: int) -> dict[str, Any]:
    """Seconds of every epoch after the first, of looks at validation artists, and of the features of a picture."""
    backbone = backbone_of(kind, folder)
    pictures = PaintersByNumbers(data, transform=backbone.transform())
    chosen = pictures.only(list(pictures.paintings["id"][:EXTRACTED]))
    embed(backbone, chosen.only(list(chosen.paintings["id"][:32])), torch.device("cpu"))
    started = time.perf_counter()
    features = embed(backbone, chosen, torch.device("cpu"))
    extraction = (time.perf_counter() - started) / len(chosen)
    rows = torch.arange(ARTISTS * PER_ARTIST)
    validation = pd.DataFrame({"artist": [f"artist {row // PER_ARTIST}" for row in range(VALIDATION * PER_ARTIST)]})
    ours, looks = Ours(kind, ARTISTS), []

    def validate() -> float:
        started = time.perf_counter()
        value = ours.look(features[rows[: len(validation)] % len(features)], validation)
        looks.append(time.perf_counter() - started)
        return value

    labels = (rows // PER_ARTIST).tolist()
    settings = {"epochs": epochs + 1, "validate_every": epochs + 1}
    history = ours.train(features[rows % len(features)], labels, validate, **settings)
    seconds = history["seconds"].tolist()
    seconds[-1] -= looks[-1]
    return {"epochs": seconds[1:], "looks": looks, "extraction": extraction, "megabytes": peak_megabytes()}


def prove(kind: str, folder: Path, data: Path) -> dict[str, Any]:
    """Train both from the same first weights on the same tuples and compare what came of it."""
    training, held_out = _two_halves(PaintersByNumbers(data, transform=backbone_of(kind, folder).transform()))
    labels = training.labels
    backbone, device = backbone_of(kind, folder), torch.device("cpu")
    features = embed(backbone, training, device)
    ours = Ours(kind, PROOF_ARTISTS)
    for part in (ours.head, ours.objective):
        for module in part.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    reference, disturbed = (Reference(kind, folder, weights=ours.plain()) for _ in range(2))
    first = [weight.detach().clone() for weight in ours.plain()]
    own = _pass(reference.backbone, training)
    disturbed.backbone = nn.Identity()
    noisy = list(zip(own * (1 + 1e-6 * torch.randn_like(own)), labels, strict=True))
    draws = _draws(kind, labels, PROOF_EPOCHS)
    batch = draws[0][: BATCH * (len(draws[0]) // len(labels))]
    first_loss = float(ours.objective(ours.head(features[batch]), torch.tensor(labels)[batch])[0])

    history = ours.train(features, labels, lambda: 0.0, epochs=PROOF_EPOCHS, validate_every=PROOF_EPOCHS)
    losses = [list(reference.train(training, rows)) for rows in draws]
    for rows in draws:
        list(disturbed.train(noisy, rows))
    own_weights = list(reference.head.parameters())
    return {
        "steps": sum(map(len, losses)),
        "loss of the first batch, reference and ours": [losses[0][0], first_loss],
        "mean loss of each epoch, reference": [sum(part) / len(part) for part in losses],
        "mean loss of each epoch, ours": history["loss"].tolist(),
        "mean change of a weight by training": _apart(own_weights, first),
        "mean difference of a weight, ours from the reference": _apart(own_weights, ours.plain()),
        "mean difference of a weight, reference from itself on features off by 1e-6": _apart(
            own_weights, list(disturbed.head.parameters())
        ),
        **_accuracies(kind, reference, ours, backbone, held_out),
    }


def _two_halves(pictures: PaintersByNumbers) -> tuple[PaintersByNumbers, PaintersByNumbers]:
    """The same number of paintings by some artists to train on, and by others to measure on."""
    table = pictures.paintings.groupby("artist").head(PER_ARTIST)
    table = table.groupby("artist").filter(lambda rows: len(rows) == PER_ARTIST).sort_values("artist", kind="stable")
    half = PROOF_ARTISTS * PER_ARTIST
    if len(table) < 2 * half:
        sys.exit(f"{pictures.root} has fewer than {2 * PROOF_ARTISTS} artists with {PER_ARTIST} paintings.")
    halves = [pictures.only(list(table["id"][start : start + half])) for start in (0, half)]
    return halves[0], halves[1]


def _draws(kind: str, labels: list[int], epochs: int) -> list[list[int]]:
    sampler, draws = RandomTupleSampler(labels, kind=kind), []  # type: ignore[arg-type]
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        draws.append(list(sampler))
    return draws


@torch.no_grad()
def _pass(backbone: nn.Module, pictures: PaintersByNumbers) -> Tensor:
    return torch.cat([backbone(images) for images, _ in DataLoader(pictures, BATCH)])


def _apart(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    differences = [(a - b).abs().flatten() for a, b in zip(first, second, strict=True)]
    return float(torch.cat(differences).mean())


@torch.no_grad()
def _accuracies(
    kind: str, reference: Reference, ours: Ours, backbone: Backbone, held_out: PaintersByNumbers
) -> dict[str, float]:
    """Each trained network through its own backbone on the same tuples of artists it was not trained on."""
    draws = _draws(kind, held_out.labels, 10)  # as many tuples a picture as the seed's test drew triplets
    tuples = torch.tensor(draws).view(-1, len(draws[0]) // len(held_out))
    labels = torch.tensor(held_out.labels)
    plain = _pass(reference.backbone, held_out)
    reference.head.eval()
    ours.objective.eval()
    ours_rows = without_gradient(ours.head, embed(backbone, held_out, torch.device("cpu")))
    if kind == "triplets":
        return {
            f"triplet accuracy, {name}": _triplet_accuracy(rows[tuples])
            for name, rows in (("reference", reference.head(plain)), ("ours", ours_rows))
        }
    same = labels[tuples[:, 0]] == labels[tuples[:, 1]]
    logits = {
        "reference": reference.head(plain[tuples].flatten(1)).squeeze(1),
        "ours": ours.objective.scorer.one_order(ours_rows[tuples[:, 0]], ours_rows[tuples[:, 1]]),
    }
    return {f"pair accuracy, {name}": float(((each > 0) == same).float().mean()) for name, each in logits.items()}


def _triplet_accuracy(rows: Tensor) -> float:
    anchor, positive, negative = rows.unbind(1)
    return float(((anchor - positive).norm(dim=1) < (anchor - negative).norm(dim=1)).float().mean())


def compare(kind: str, folder: Path, data: Path, options: argparse.Namespace, console: Console) -> dict[str, float]:
    """Measure both in turns, print the table; → the ratios and what they are made of."""
    places = ("--kind", kind, "--folder", str(folder), "--data", str(data))
    found: dict[str, list[dict[str, Any]]] = {"reference": [], "ours": []}
    for _ in range(options.rounds):
        for part, results in found.items():
            size = ("--batches", str(options.batches), "--epochs", str(options.epochs))
            results.append(in_own_process(__file__, "--part", part, *size, *places, threads=options.threads))
    plain, ours = found.values()
    batch = median([seconds for one in plain for seconds in one["batches"]])
    reference_epoch = batch * BATCHES_AN_EPOCH
    epoch = median([seconds for one in ours for seconds in one["epochs"]])
    look = median([seconds for one in ours for seconds in one["looks"]])
    features = median([one["extraction"] for one in ours]) * (ARTISTS + VALIDATION) * PER_ARTIST
    epochs = EPOCHS[kind]
    looks = epochs / seed_point(kind).training.validate_every
    protocol = features + epochs * epoch + looks * look
    memory = max(one["megabytes"] for one in plain), max(one["megabytes"] for one in ours)
    table = Table(title=f"{kind}: {options.rounds} rounds, {options.rounds * options.batches} batches of the reference")
    for column in ("", "reference", "ours", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    rows = {
        "an epoch, s": (reference_epoch, epoch),
        f"protocol, {epochs} epochs, h": (reference_epoch * epochs / 3600, protocol / 3600),
        "peak memory, MB": memory,
    }
    for name, (theirs, own) in rows.items():
        table.add_row(name, f"{theirs:,.2f}", f"{own:,.2f}", f"{theirs / own:,.1f}")
    console.print(table)
    console.print(f"reference: {batch:.2f} s a batch, {BATCHES_AN_EPOCH} batches an epoch")
    console.print(
        f"ours: features of {(ARTISTS + VALIDATION) * PER_ARTIST:,} pictures {features:.0f} s, "
        f"a look at the validation artists {look:.1f} s"
    )
    return {
        f"seed_{kind}_epoch_ratio": reference_epoch / epoch,
        f"seed_{kind}_protocol_ratio": reference_epoch * epochs / protocol,
        f"seed_{kind}_epoch_seconds": epoch,
        f"seed_{kind}_reference_epoch_seconds": reference_epoch,
        "embed_resnet18_images_per_second": (ARTISTS + VALIDATION) * PER_ARTIST / features,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a prepared folder; by default synthetic painters are painted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=6, help="of the reference, a round")
    parser.add_argument("--epochs", type=int, default=2, help="of ours, a round")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of both")
    parser.add_argument("--no-proof", action="store_true")
    parser.add_argument("--save", action="store_true", help="write the ratios into rates.json")
    parser.add_argument("--part", choices=("reference", "ours", "proof"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(_part(options)))
        return
    console = Console(width=110)
    console.print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        save_file(timm.create_model("resnet18", num_classes=0).state_dict(), folder / "resnet18.safetensors")
        data = options.data or folder / "painters"
        if options.data is None:
            SyntheticPainters(artists=2 * PROOF_ARTISTS, paintings_per_artist=PER_ARTIST, size=200).write(data)
        for kind in options.kinds:
            rates = compare(kind, folder, data, options, console) if options.rounds else {}
            if options.save:
                save_rates(rates)
            if not options.no_proof:
                part = ("--part", "proof", "--kind", kind, "--folder", name, "--data", str(data))
                for what, value in in_own_process(__file__, *part, threads=options.threads).items():
                    console.print(f"  {what}: {value}")
    console.print(machine())


def _part(options: argparse.Namespace) -> dict[str, Any]:
    if options.part == "proof":
        return prove(options.kind, options.folder, options.data)
    if options.part == "ours":
        return measure_ours(options.kind, options.folder, options.data, options.epochs)
    return measure_reference(options.kind, options.folder, options.data, options.batches)


if __name__ == "__main__":
    main()
