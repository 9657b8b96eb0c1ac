"""How well are two sets of paintings told apart, by how many paintings each has? On artists never seen.

python benchmarks/sets.py --data prepared/painters
"""

import numpy as np
from accelerate import Accelerator

from _unseen import from_command_line
from morelli.data.artists import artist_keys
from morelli.evaluation.learning import sets_of
from morelli.evaluation.likelihood_ratios import cllr_costs, cllr_min
from morelli.evaluation.normalisation import FolderScorer
from morelli.evaluation.sets import simulate
from morelli.evaluation.verification import exact_masses, pair_auc
from morelli.models.network import embed_with

DRAWS = 30


def main() -> None:
    """Run the command line."""
    network, dataset, _ = from_command_line(__doc__)
    embeddings = embed_with(network, dataset, Accelerator().device)
    artists = artist_keys(dataset.paintings["artist"]).tolist()
    print("| paintings | artists | pair AUC | Cllr | lost by calibration | own cohort: pair AUC | Cllr | lost |")
    print("|:-|-:|-:|-:|-:|-:|-:|-:|")
    for sizes in sets_of(network.card):
        cells = []
        for cohort in ("none", "own"):
            scorer = network.scorer if cohort == "none" else FolderScorer(network.scorer, embeddings)
            drawn = list(simulate(embeddings, artists, scorer, *map(int, sizes.split("-")), DRAWS))
            same = np.concatenate([np.diag(scores) for _, scores in drawn])
            different = np.concatenate([scores[~np.eye(len(scores), dtype=bool)] for _, scores in drawn])
            ratios = sets_of(network.card, cohort)[sizes].log_likelihood_ratio
            cost = (cllr_costs(ratios(same), same=True).mean() + cllr_costs(ratios(different), same=False).mean()) / 2
            masses = exact_masses(same, different)
            cells += [float(pair_auc(*masses)), cost, cost - float(cllr_min(*masses))]
        print(f"| {sizes.replace('-', ' and ')} | {len(drawn[0][0])} | {' | '.join(f'{one:.3f}' for one in cells)} |")


if __name__ == "__main__":
    main()
