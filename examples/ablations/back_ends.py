"""Back ends of speaker verification behind the trained embedding: within-class whitening (WCCN) and PLDA.

    python -m examples.ablations.back_ends prepared/painters-mini

As distil_heads.py: the features and artists of configs/ablation/ahead.yaml. A fifth of the training artists are kept
from the head, and the back end is learned on them: learned on artists that the head was trained on, it does harm.
WCCN: Hatch et al. 2006. Two-covariance PLDA: Brümmer and de Villiers 2010, https://www.isca-archive.org/odyssey_2010/.
"""

import torch
from examples.ablations.distil_heads import HEAD, embedded, kept_features, learn, parts, table, with_untrained
from torch import Tensor
from torch.nn import functional

KEPT, SHRUNK = 5, 0.5


def covariances(embeddings: Tensor, artists: Tensor, shrunk: float = SHRUNK) -> tuple[Tensor, Tensor, Tensor]:
    """Within and between artists, (D, D) each, shrunk towards even ones, and the mean of the artists' means, (D,)."""
    names = artists.unique()
    means = torch.stack([embeddings[artists == name].mean(0) for name in names])
    own = means[torch.searchsorted(names, artists)]
    within = (embeddings - own).T @ (embeddings - own) / len(embeddings)
    between = (means - means.mean(0)).T @ (means - means.mean(0)) / len(means)
    width = len(within)
    even = [(1 - shrunk) * one + shrunk * one.trace() / width * torch.eye(width) for one in (within, between)]
    return even[0], even[1], means.mean(0)


def whitened(embeddings: Tensor, within: Tensor) -> Tensor:
    """Embeddings (N, D) in which artists vary evenly within themselves, of length 1."""
    return functional.normalize(embeddings @ torch.linalg.cholesky(torch.linalg.inv(within)), dim=1)


def plda_embeddings(embeddings: Tensor, within: Tensor, between: Tensor, middle: Tensor) -> Tensor:
    """Embeddings (N, D) whose products are what PLDA's log-likelihood ratio says of two paintings together.

    In the axes in which both covariances are diagonal, within 1 and between b, the ratio of x and y is
    Σ b / (1 + 2 b) · x y and terms of each painting alone. These are left out: embeddings have length 1 here.
    """
    root = torch.linalg.cholesky(torch.linalg.inv(within))
    values, turned = torch.linalg.eigh(root.T @ between @ root)
    weights = (values.clamp_min(0) / (1 + 2 * values.clamp_min(0))).sqrt()
    return functional.normalize((embeddings - middle) @ root @ turned * weights, dim=1)


def rows(train: Tensor, labels: list[int], unseen: Tensor, **sizes: int) -> dict[str, Tensor]:
    """What was tried → embeddings of the unseen artists' paintings."""
    assert HEAD.width
    artists = torch.tensor(labels)
    is_kept = artists % KEPT == 0
    numbers = torch.unique(artists[~is_kept], return_inverse=True)[1].tolist()
    head = learn(train[~is_kept], numbers, **sizes)
    shown, untrained = parts(embedded(head, unseen), HEAD.width)
    kept, _ = parts(embedded(head, train[is_kept]), HEAD.width)
    within, between, middle = covariances(kept, artists[is_kept])

    return {
        "one head, four fifths of the artists": with_untrained(shown, untrained),
        "within-class whitening": with_untrained(whitened(shown, within), untrained),
        "PLDA": with_untrained(plda_embeddings(shown, within, between, middle), untrained),
    }


def main() -> None:
    """Run the command line."""
    train, labels, unseen, paintings = kept_features(__doc__)
    table(rows(train, labels, unseen), paintings)


if __name__ == "__main__":
    main()
