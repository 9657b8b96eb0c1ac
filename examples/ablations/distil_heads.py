"""Distillation of similarities (S2SD), several heads side by side, and one wide head distilled from them.

    python examples/ablations/distil_heads.py prepared/painters-mini

Trains on the training side of configs/ablation/ahead.yaml, with the features of its two backbones and seven views, and
measures on its unseen artists, each row beside the plain head. S2SD (Roth et al. 2021, https://arxiv.org/abs/2009.08348)
adds to the loss how far a batch's similarities are from those of other features: here the untrained ones, or those of
three heads.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn
from torch.nn import functional

from morelli import PaintersByNumbers
from morelli.bench.recipe import load_recipe
from morelli.data.sampling import ArtistBalancedSampler
from morelli.data.splits import split_paintings
from morelli.errors import UnmeasurableError
from morelli.evaluation.evaluate import Evaluation, evaluate
from morelli.evaluation.intervals import paired_difference
from morelli.models.backbones import create_backbone
from morelli.models.features import features_of
from morelli.models.heads import CosineScorer, EmbeddingHead, HeadConfig

RECIPE = Path(__file__).parents[2] / "configs" / "ablation" / "ahead.yaml"
EPOCHS, BATCH, M, RATE, TEMPERATURE = 48, 512, 8, 6e-4, 0.04
HEAD = HeadConfig(hidden=(512,), width=256, dropout=(0.5, 0.3), untrained_weight=0.7)


def similarity_distance(student: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """How far the similarities (cosines) of a batch's embeddings (B, D) are from those of a teacher's (B, E): KL."""
    itself = torch.eye(len(student), dtype=torch.bool)
    learned, right = ((rows @ rows.T / temperature).masked_fill(itself, -1e9) for rows in (student, teacher))
    return functional.kl_div(learned.log_softmax(1), right.softmax(1), reduction="batchmean")


def learn(
    features: Tensor,
    labels: list[int],
    config: HeadConfig = HEAD,
    *,
    change: Callable[[Tensor], Tensor] | None = None,
    extra: Callable[[Tensor, Tensor], Tensor] | None = None,
    seed: int = 0,
    epochs: int = EPOCHS,
    batch: int = BATCH,
    m: int = M,
) -> EmbeddingHead:
    """Train a head on features (N, V, F), a drawn view of each picture at a time.

    ``change`` is done to a batch's features (B, F), whose artists come ``m`` rows each; ``extra``, of the embeddings
    and their places among the features, is added to the loss.
    """
    torch.manual_seed(seed)
    head = EmbeddingHead(features.shape[-1], config)
    head.standardise(features)
    sampler = ArtistBalancedSampler(labels, m=m, batch_size=batch, seed=seed)
    artists, loss = torch.tensor(labels), SupConLoss(temperature=TEMPERATURE)
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=1e-4)
    steps = epochs * (len(sampler) // batch)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / steps)))
    )
    head.train()
    for _ in range(epochs):
        for rows in torch.tensor(list(sampler)).split(batch):
            drawn = features[rows, torch.randint(features.shape[1], (len(rows),))]
            embeddings = head(drawn if change is None else change(drawn))
            value = loss(embeddings, artists[rows])
            if extra is not None:
                value = value + extra(embeddings, rows)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 5.0)
            optimiser.step()
            schedule.step()
    return head.eval()


@torch.no_grad()
def embedded(head: EmbeddingHead, features: Tensor) -> Tensor:
    """Embeddings of features (N, V, F): (N, D), of length 1, the untrained features behind the trained ones."""
    return torch.cat([head(part) for part in features.split(512)])


def parts(embeddings: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The trained and the untrained part of embeddings, each of length 1."""
    trained, untrained = embeddings[:, :width], embeddings[:, width:]
    return functional.normalize(trained, dim=1), functional.normalize(untrained, dim=1)


def side_by_side(embeddings: list[Tensor], width: int) -> Tensor:
    """The trained parts of several heads beside each other, the untrained features behind them as behind one."""
    trained = torch.cat([parts(one, width)[0] for one in embeddings], dim=1)
    return with_untrained(functional.normalize(trained, dim=1), parts(embeddings[0], width)[1])


def with_untrained(trained: Tensor, untrained: Tensor) -> Tensor:
    """The untrained features behind trained embeddings, both of length 1, as a head sets them."""
    return functional.normalize(torch.cat([trained, HEAD.untrained_weight * untrained], dim=1), dim=1)


def rows(train: Tensor, labels: list[int], unseen: Tensor, **sizes: int) -> dict[str, Tensor]:
    """What was tried → embeddings of the unseen artists' paintings."""
    assert HEAD.width
    heads = [learn(train, labels, seed=seed, **sizes) for seed in range(3)]
    trained = [embedded(head, train) for head in heads]
    shown = [embedded(head, unseen) for head in heads]
    own = parts(trained[0], HEAD.width)[1]
    three = functional.normalize(torch.cat([parts(one, HEAD.width)[0] for one in trained], dim=1), dim=1)
    wide = HEAD.model_copy(update={"width": 3 * HEAD.width})

    def distilled(teacher: Tensor, weight: float, config: HeadConfig = HEAD) -> Tensor:
        def apart(embeddings: Tensor, rows: Tensor) -> Tensor:
            return weight * similarity_distance(embeddings, teacher[rows])

        return embedded(learn(train, labels, config, extra=apart, **sizes), unseen)

    return {
        "one head": shown[0],
        "S2SD of the untrained features, weight 0.5": distilled(own, 0.5),
        "S2SD of the untrained features, weight 2": distilled(own, 2.0),
        "three heads side by side": side_by_side(shown, HEAD.width),
        "one wide head (768)": embedded(learn(train, labels, wide, **sizes), unseen),
        "one wide head distilled from three, weight 1": distilled(three, 1.0, wide),
    }


def line(name: str, found: Evaluation, plain: Evaluation) -> str:
    """A line of the table: metric ± interval, and the paired difference from the plain head."""

    def cell(metric: str) -> str:
        low, high = found.intervals[metric]
        measured = f"{found.metrics[metric]:.3f} ± {(high - low) / 2:.3f}"
        try:
            apart = paired_difference(metric, found.leave_one_out, plain.leave_one_out)
        except UnmeasurableError:  # the same, as the plain head is to itself
            return f"{measured} |"
        return f"{measured} | {apart.value:+.3f} ({apart.low:+.3f} to {apart.high:+.3f})"

    return f"| {name} | {cell('pair_auc')} | {cell('precision_at_1')} |"


def table(found: dict[str, Tensor], paintings: pd.DataFrame, said: Callable[[str], object] = print) -> None:
    """Print a table in Markdown, a row for each embedding of the paintings, beside the first."""
    evaluations = {name: evaluate(rows, paintings, CosineScorer()) for name, rows in found.items()}
    plain = next(iter(evaluations.values()))
    said("| | pair AUC | difference | P@1 | difference |\n|:-|:-|:-|:-|:-|")
    for name, one in evaluations.items():
        said(line(name, one, plain))


def kept_features(about: str | None) -> tuple[Tensor, list[int], Tensor, pd.DataFrame]:
    """From the command line's folder: training features and artists, the unseen artists' features and paintings."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="prepared paintings")
    recipe, dataset = load_recipe(RECIPE), PaintersByNumbers(parser.parse_args().folder)
    backbone = next(one for one in recipe.backbones if len(one.beside) == 1 and one.views == 7)
    split = split_paintings(dataset.paintings, recipe.split)
    train, unseen = (dataset.only(list(getattr(split, side))) for side in ("train", "unseen"))
    net = create_backbone(backbone)
    features = [features_of(net, one, torch.device("cpu")) for one in (train, unseen)]
    return features[0], list(train.labels), features[1], unseen.paintings


def main() -> None:
    """Run the command line."""
    train, labels, unseen, paintings = kept_features(__doc__)
    table(rows(train, labels, unseen), paintings)


if __name__ == "__main__":
    main()
