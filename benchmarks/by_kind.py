"""How well a network tells unseen painters apart within one style or genre at a time.

    python benchmarks/by_kind.py --data prepared/painters-mini [--model painters] [--column style]

Every row is measured as if its paintings were all there is: pairs within the style or genre, artists never seen in
training, with 95 % intervals over artists. The weakest come first. Kinds of fewer than five artists with two paintings
are left out.
"""

import argparse
from pathlib import Path

import torch

from morelli import Network, PaintersByNumbers, evaluate
from morelli.data.artists import artist_key
from morelli.data.copies import without_copies
from morelli.models.network import embed_with

FEWEST_ARTISTS = 5


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="painters")
    parser.add_argument("--column", choices=["style", "genre"], default="style")
    options = parser.parse_args()
    network = Network.load(options.model)
    dataset = PaintersByNumbers(options.data)
    known = set(map(artist_key, (*network.card.training_artists, *network.card.validation_artists)))
    paintings = without_copies(dataset.paintings)
    paintings = paintings[~paintings["artist"].map(artist_key).isin(known)]
    unseen = dataset.only(list(paintings["id"]))
    embeddings = embed_with(network, unseen, torch.device("cpu"))
    rows = []
    for kind, of_kind in unseen.paintings.reset_index(drop=True).groupby(options.column):
        counts = of_kind["artist"].value_counts()
        if (counts >= 2).sum() < FEWEST_ARTISTS:
            continue
        places = torch.tensor(of_kind.index.to_numpy())
        measured = evaluate(embeddings[places], of_kind.reset_index(drop=True), network.scorer)
        low, high = measured.intervals["pair_auc"]
        auc, first = measured.metrics["pair_auc"], measured.metrics["precision_at_1"]
        text = f"| {kind} | {len(counts)} | {len(of_kind)} | {auc:.3f} ({low:.3f} to {high:.3f}) | {first:.3f} |"
        rows.append((auc, text))
    print(f"| {options.column} | artists | paintings | pair AUC | P@1 |\n|:-|-:|-:|:-|-:|")
    print("\n".join(text for _, text in sorted(rows)))


if __name__ == "__main__":
    main()
