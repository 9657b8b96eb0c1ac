"""How many pictures of one's own does a cohort need? Realised false accepts and pair AUC at several sizes.

    python benchmarks/cohort_sizes.py --data prepared/painters

The network's unseen artists are measured with cohorts drawn at random from their own paintings, eight draws a size, and
with the network's own scores (0 pictures) and all of them.
"""

import numpy as np
import torch
from accelerate import Accelerator

from _unseen import from_command_line
from morelli.evaluation.evaluate import score_pairs
from morelli.evaluation.learning import calibration_of
from morelli.evaluation.normalisation import FolderScorer
from morelli.evaluation.pair_subsets import PairSubset
from morelli.evaluation.verification import exact_masses, pair_auc
from morelli.models.network import embed_with

SIZES, DRAWS, RATES = (20, 50, 100, 200, 500), 8, ("0.1", "0.01")


def main() -> None:
    """Run the command line."""
    network, dataset, _ = from_command_line(__doc__)
    embeddings = embed_with(network, dataset, Accelerator().device)
    scored = score_pairs(embeddings, dataset.paintings)
    random = np.random.default_rng(0)

    def measured(cohort: torch.Tensor | None) -> list[float]:
        scorer = network.scorer if cohort is None else FolderScorer(network.scorer, cohort)
        thresholds = calibration_of(network.card, "none" if cohort is None else "own").thresholds
        positives, negatives = scored.by(scorer).of(PairSubset())
        far = [float((negatives >= thresholds[rate]).mean()) for rate in RATES]
        return [float(pair_auc(*exact_masses(positives, negatives))), *far]

    rows = [("0", [measured(None)])]
    for size in SIZES:
        draws = [random.choice(len(embeddings), size, replace=False) for _ in range(DRAWS)]
        rows.append((f"{size}", [measured(embeddings[torch.from_numpy(draw)]) for draw in draws]))
    rows.append((f"all {len(embeddings):,}", [measured(embeddings)]))
    print("| pictures | pair AUC | false accepts at 0.1 | at 0.01 |\n|-:|-:|-:|-:|")
    for name, values in rows:
        mean, spread = np.mean(values, 0), np.std(values, 0)
        cells = [f"{m:.3f}" + (f" ± {s:.3f}" if len(values) > 1 else "") for m, s in zip(mean, spread, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
