"""Augmentation of kept features: noise, mixing within an artist, and embedding mixup (Metrix).

    python -m examples.ablations.mix_heads prepared/painters-mini

As distil_heads.py: the features and artists of configs/ablation/ahead.yaml, each row beside the plain head. Metrix is
after Venkataramanan et al. 2022, https://arxiv.org/abs/2106.04990: a pair of an embedding and a mixture of two others
is as positive as the share of its own artist in the mixture.
"""

import torch
from examples.ablations.distil_heads import TEMPERATURE, M, embedded, kept_features, learn, table
from torch import Tensor
from torch.nn import functional

NOISE, WEIGHT = 0.3, 0.4
"""Deviations of the features; and the share of Metrix in the loss."""


def mixed_loss(embeddings: Tensor, artists: Tensor, m: int = M) -> Tensor:
    """SupCon on mixtures of two embeddings (B, D), one by the same artist, one by any; artists come ``m`` rows each."""
    count = len(embeddings)
    same, other = torch.arange(count).view(-1, m).roll(1, 1).flatten(), torch.randperm(count)
    share = torch.rand(count, 1)
    mixtures = functional.normalize(share * embeddings[same] + (1 - share) * embeddings[other], dim=1)
    logs = (embeddings @ mixtures.T / TEMPERATURE).log_softmax(1)
    of_same = (artists[:, None] == artists[same][None]).float()
    of_other = (artists[:, None] == artists[other][None]).float()
    positive = of_same * share.T + of_other * (1 - share.T)
    return -((logs * positive).sum(1) / positive.sum(1).clamp_min(1e-6)).mean()


def rows(train: Tensor, labels: list[int], unseen: Tensor, m: int = M, **sizes: int) -> dict[str, Tensor]:
    """What was tried → embeddings of the unseen artists' paintings."""
    spread, artists = train.flatten(0, 1).std(0), torch.tensor(labels)

    def noisy(features: Tensor) -> Tensor:
        return features + NOISE * spread * torch.randn_like(features)

    def within(features: Tensor) -> Tensor:
        share = torch.distributions.Beta(2.0, 2.0).sample((len(features), 1))
        return share * features + (1 - share) * features.view(-1, m, features.shape[1]).roll(1, 1).flatten(0, 1)

    def metrix(embeddings: Tensor, places: Tensor) -> Tensor:
        return WEIGHT * mixed_loss(embeddings, artists[places], m)

    heads = {
        "one head": learn(train, labels, m=m, **sizes),
        f"noise of {NOISE} deviations": learn(train, labels, m=m, change=noisy, **sizes),
        "mixed within the artist": learn(train, labels, m=m, change=within, **sizes),
        f"embedding mixup (Metrix), weight {WEIGHT}": learn(train, labels, m=m, extra=metrix, **sizes),
    }
    return {name: embedded(head, unseen) for name, head in heads.items()}


def main() -> None:
    """Run the command line."""
    train, labels, unseen, paintings = kept_features(__doc__)
    table(rows(train, labels, unseen), paintings)


if __name__ == "__main__":
    main()
