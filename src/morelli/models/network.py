"""A network: backbone, head and scorer, with what is known about it; saved to and loaded from a model folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from morelli._config import Section
from morelli._files import write_text_whole, written_whole
from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.models.backbones import AnyBackbone, BackboneConfig, create_backbone
from morelli.models.embedder import Embedder
from morelli.models.features import features_of
from morelli.models.heads import ConcatHead, CosineScorer, DistanceScorer, EmbeddingHead, HeadConfig, PairHead, Scorer

FORMAT_VERSION = 2
WEIGHTS, CARD = "model.safetensors", "network.json"
_SCORERS: dict[str, Callable[[int], Scorer]] = {
    "CosineScorer": lambda _: CosineScorer(),
    "DistanceScorer": lambda _: DistanceScorer(),
    "PairHead": PairHead,
    "ConcatHead": ConcatHead,
}


class NetworkCard(Section):
    """What must be known, beside the weights, to use a network again."""

    format: int = FORMAT_VERSION
    objective: str
    backbone: BackboneConfig
    head: HeadConfig | None
    scorer: str
    prepared_size: int | None = None
    """Shorter side of the largest picture it was trained on, pixels."""
    training_artists: tuple[str, ...] = ()
    validation_artists: tuple[str, ...] = ()
    """Artists that the best weights and the threshold were chosen on."""
    training_paintings: tuple[str, ...] = ()
    """Short digests of the training paintings' files, so that none of them is ever measured as unseen in training."""
    threshold: float | None = None
    """Pairs that score above it are called the same hand; chosen on validation artists."""
    calibration: dict[str, Any] | None = None
    cohort_artists: tuple[str, ...] = ()
    """Training artists whose paintings are the cohort that scores are normalised by; they are never measured so."""
    measured: dict[str, Any] | None = None
    """What the threshold and the calibration were worth on unseen artists, with intervals; as in ``metrics.json``."""
    identification: dict[str, Any] | None = None
    """How sure to be of an artist among several, or of none; learned on validation artists."""


class Network(Embedder):
    """A batch of what the backbone's transform gives → embeddings (B, D); ``scorer`` says how alike two of them are."""

    cohort: Tensor | None
    """(C, D) embeddings of some training paintings, saved with the weights; see ``evaluation/normalisation.py``."""

    def __init__(
        self,
        backbone: AnyBackbone,
        head: EmbeddingHead,
        scorer: Scorer,
        card: NetworkCard,
        cohort: Tensor | None = None,
    ) -> None:
        super().__init__(backbone, head)
        self.scorer, self.card = scorer, card
        self.register_buffer("cohort", cohort)

    def with_facts(self, **facts: Any) -> "Network":
        """Return the same network with facts of its card replaced."""
        return Network(self.backbone, self.head, self.scorer, self.card.model_copy(update=facts), self.cohort)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``network.json``; the card comes last and marks the folder as whole."""
        with written_whole(folder / WEIGHTS) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, temporary)
        write_text_whole(folder / CARD, self.card.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> "Network":
        """Load a model folder, or the ``model`` folder inside a run folder.

        Raises:
            MorelliError: there is no whole model of this format.
        """
        folder = within_run(Path(folder))
        if not (folder / CARD).is_file():
            raise MorelliError(
                f"{folder} holds no trained model (no {CARD}, also not in model/). Train one with: morelli train"
            )
        try:
            content = json.loads((folder / CARD).read_text(encoding="utf-8"))
            if content.get("format") != FORMAT_VERSION:
                raise MorelliError(f"{folder} has model format {content.get('format')}, not {FORMAT_VERSION}.")
            card = NetworkCard.model_validate(content)
            weights = load_file(folder / WEIGHTS)
            backbone = create_backbone(card.backbone, load_weights=False)
            head = EmbeddingHead(backbone.width, card.head)
            network = cls(backbone, head, _SCORERS[card.scorer](head.width), card, weights.get("cohort"))
            network.load_state_dict(weights)
        except (OSError, ValueError, KeyError, ValidationError, SafetensorError, RuntimeError, AttributeError) as error:
            raise MorelliError(f"The model in {folder} is damaged: {error}. Train it again.") from error
        return network.eval()


def within_run(folder: Path) -> Path:
    """The ``model`` folder inside a run folder; any other folder as it is."""
    return folder / "model" if (folder / "model" / CARD).is_file() else folder


def embed_with(network: Network, dataset: PaintersByNumbers, device: torch.device) -> Tensor:
    """Embeddings of a dataset's pictures, (N, D) on the CPU; a picture passes the backbone once and is then on disk."""
    return without_gradient(network.head.cpu(), features_of(network.backbone, dataset, device))


def largest_shorter_side(paintings: pd.DataFrame) -> int:
    """The shorter side, in pixels, of the largest prepared picture: the size a folder was prepared at."""
    return int(paintings[["width", "height"]].min(axis=1).max())


def short_digests(paintings: pd.DataFrame) -> list[str]:
    """The first 16 digits of each painting's SHA-256, as a card keeps them."""
    return list(paintings["sha256"].str[:16])


@torch.inference_mode()
def without_gradient(module: nn.Module, inputs: Tensor, batch_size: int = 4096) -> Tensor:
    """Pass rows (N, …) through a module in evaluation mode, in batches; → (N, …) on the CPU."""
    was_training = module.training
    module.eval()
    parts = [module(inputs[start : start + batch_size]).cpu() for start in range(0, len(inputs), batch_size)]
    module.train(was_training)
    return torch.cat(parts)
