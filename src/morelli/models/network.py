"""A network: backbone, head and scorer, with what is known about it; saved to and loaded from a model folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import Field, ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError
from torch import Tensor, nn

from morelli._config import CardMetrics, Section
from morelli._files import is_lfs_pointer, read_text, reading, write_text_whole
from morelli._json import first_fault
from morelli._tensors import read_tensors, write_tensors
from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.models.backbones import AnyBackbone, Backbone, JointBackbone, create_backbone
from morelli.models.compact import REFERENCE, with_backbone, without_backbone
from morelli.models.config import BackboneConfig, HeadConfig, is_own
from morelli.models.custom_modules import (
    EmbedderCard,
    ModuleBackbone,
    ModuleHead,
    Transform,
    TrunkCard,
    copied,
    loaded_head,
    loaded_trunk,
    must_be_given,
    timm_transform,
    unwrapped,
)
from morelli.models.embedder import Embedder
from morelli.models.features import features_of
from morelli.models.heads import SCORERS, CosineScorer, EmbeddingHead, Scorer, scorer_name
from morelli.models.learned import CalibrationCard, LearnedCard, RuleCard, TippettCard
from morelli.models.model_folder import CARD, WEIGHTS, model_folder
from morelli.models.sources import SourceStatistics
from morelli.models.transforms import Change, settings_of

FORMAT_VERSION = 3
"""3: batch norms are kept as they are; 2 held them folded into convolutions."""


class NetworkCard(Section):
    """What must be known, beside the weights, to use a network again."""

    format: int = FORMAT_VERSION
    version: str | None = None
    """Of a packaged network: which one of its name it is."""
    objective: str
    backbone: BackboneConfig
    descriptions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Of backbones that timm does not list, by name: what their ``config.json`` said, so that it is needed no more."""
    head: HeadConfig | None
    trunk: TrunkCard | None = None
    """Of a backbone that is somebody's own module."""
    embedder: EmbedderCard | None = None
    """Of a head that is."""
    scorer: str
    prepared_size: int | None = None
    """Shorter side of the largest picture it was trained on, pixels."""
    sources: tuple[str, ...] = ()
    """Sources whose features are brought to the reference's mean and deviation; see ``models/sources.py``."""
    training_artists: tuple[str, ...] = ()
    validation_artists: tuple[str, ...] = ()
    """Artists that the best weights and the threshold were chosen on."""
    training_paintings: tuple[str, ...] = ()
    """Short digests of the training paintings' files, so that none of them is ever measured as unseen in training."""
    threshold: float | None = None
    """Pairs that score above it are called the same hand; chosen on validation artists."""
    calibration: CalibrationCard | None = None
    cohort_artists: tuple[str, ...] = ()
    """Training artists whose paintings are the cohort that scores are normalised by; they are never measured so."""
    measured: CardMetrics | None = None
    """What the threshold and the calibration were worth on unseen artists, with intervals; as in ``metrics.json``."""
    unexplained: float | None = None
    """What share of their features one in a hundred validation paintings leaves unexplained; see the head."""
    tippett: TippettCard | None = None
    """The likelihood ratios of unseen artists' pairs."""
    identification: dict[str, RuleCard] | None = None
    """How sure to be of an artist among several, or of none; learned on validation artists."""
    sets: dict[str, CalibrationCard] = Field(default_factory=dict)
    """Calibrations of two sets of paintings, by their sizes."""
    with_cohort: dict[str, LearnedCard] = Field(default_factory=dict)
    """The same of scores that are normalised by the pictures of a folder of one's own, or by the cohort."""

    @classmethod
    def read(cls, folder: Path) -> "NetworkCard":
        """Read the card of a model folder.

        Raises:
            MorelliError: there is none, or it is damaged or of another format.
        """
        with reading(folder / CARD, "The model is damaged. Train it again, or fetch it again."):
            content = from_json(read_text(folder / CARD), allow_inf_nan=False)
            return cls._checked(folder, content)

    @classmethod
    def _checked(cls, folder: Path, content: Any) -> "NetworkCard":
        if not isinstance(content, dict):
            raise ValueError("it has no keys")
        if content.get("format") != FORMAT_VERSION:
            raise MorelliError(
                f"{folder / CARD} has model format {content.get('format')}, not {FORMAT_VERSION}: another version of "
                "morelli saved it. Train it again."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None


class Network(Embedder):
    """A batch of what the backbone's transform gives → embeddings (B, D); ``scorer`` says how alike two of them are."""

    cohort: Tensor | None
    """(C, D) embeddings of some training paintings, saved with the weights; see ``evaluation/normalisation.py``."""

    def __init__(
        self,
        backbone: AnyBackbone,
        head: EmbeddingHead | ModuleHead,
        scorer: Scorer,
        card: NetworkCard,
        cohort: Tensor | None = None,
        sources: SourceStatistics | None = None,
    ) -> None:
        super().__init__(backbone, head)
        self.scorer, self.card, self.sources = scorer, card, sources
        self.register_buffer("cohort", cohort)

    @classmethod
    def of(
        cls,
        trunk: nn.Module,
        embedder: nn.Module | None = None,
        *,
        transform: Transform | None = None,
        scorer: Scorer | None = None,
        name: str = "own",
        training_artists: Sequence[str] = (),
        validation_artists: Sequence[str] = (),
        threshold: float | None = None,
        prepared_size: int | None = None,
    ) -> "Network":
        """A network that was trained anywhere: copies of its modules, with what must be known to measure and use it.

        Args:
            trunk: images → features (B, F), such as a timm or torchvision model without its classifier, or a
                :class:`~morelli.models.backbones.Backbone`.
            embedder: features → embeddings (B, D); None if the trunk gives them.
            transform: an RGB picture → one image for the trunk, without anything random. By default that of a
                backbone, or of a timm model, letterboxed.
            scorer: how alike two embeddings are; the cosine by default.
            name: what tables call it.
            training_artists: whom it was trained on, as ``paintings["artist"]`` of the training paintings names them;
                they count as seen.
            validation_artists: whom its weights and threshold were chosen on.
            threshold: pairs that score above it are called the same hand.
            prepared_size: pixels of the shorter side of the pictures it was trained on.

        Raises:
            MorelliError: an output is no vector, the transform is missing, random or gives no tensor, or the scorer
                does not fit.
        """
        backbone = _backbone_of(trunk, transform)
        head = ModuleHead(embedder or nn.Identity(), backbone.width)
        scorer = scorer if scorer is not None else CosineScorer()
        _check_scorer(scorer, head.width)
        card = NetworkCard(
            objective=name,
            backbone=backbone.config,
            descriptions=dict(backbone.descriptions),
            head=None,
            trunk=backbone.card if isinstance(backbone, ModuleBackbone) else None,
            embedder=head.card,
            scorer=scorer_name(type(scorer)),
            training_artists=tuple(sorted(set(training_artists))),
            validation_artists=tuple(sorted(set(validation_artists))),
            threshold=threshold,
            prepared_size=prepared_size,
        )
        return cls(backbone, head, copied(scorer), card).eval()

    def with_facts(self, **facts: Any) -> "Network":
        """Return the same network with facts of its card replaced."""
        card = self.card.model_copy(update=facts)
        return Network(self.backbone, self.head, self.scorer, card, self.cohort, self.sources)

    def save(self, folder: str | Path, *, compact: bool = False) -> None:
        """Write ``model.safetensors`` and ``network.json``; the card comes last and marks the folder as whole.

        Args:
            folder: made if it is not there.
            compact: matrices in float16, and without the backbone, whose weights then come from where its config says.
        """
        folder = Path(folder)
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        if compact:
            tensors = without_backbone(tensors, self.backbone)
        write_tensors(folder / WEIGHTS, tensors)
        write_text_whole(folder / CARD, self.card.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        trunk: nn.Module | None = None,
        embedder: nn.Module | None = None,
        transform: Transform | None = None,
        scorer: Scorer | None = None,
    ) -> "Network":
        """Load a run folder, its ``model`` folder, a packaged network by its name, or the hub's ``owner/name``.

        A folder runs no code. A network of :meth:`of` is made again where timm or torchvision makes its trunk, its
        embedder is layers in a row, and its transform is torchvision's; what is none of these must be given, as it was
        given then: its weights come from the folder.

        Raises:
            MorelliError: there is no whole model of this format, or a part of it must be given.
        """
        folder = model_folder(folder)
        if not (folder / CARD).is_file():
            raise MorelliError(
                f"{folder} holds no trained model (no {CARD}, also not in model/). Train one with: morelli train"
            )
        try:
            card = NetworkCard.read(folder)
            if is_lfs_pointer(folder / WEIGHTS):
                raise MorelliError(f"{folder / WEIGHTS} is a Git LFS pointer. Fetch the weights with: git lfs pull")
            weights, _ = read_tensors(folder / WEIGHTS, "The model is damaged. Train it again, or fetch it again.")
            backbone = _loaded_backbone(folder, card, weights, trunk, transform)
            if REFERENCE in weights:
                weights = with_backbone(weights, backbone, folder)
            head = _loaded_head(folder, card, weights, backbone.width, embedder)
            scorer = _loaded_scorer(folder, card, weights, head.width, scorer)
            sources = SourceStatistics(card.sources, backbone.width) if card.sources else None
            network = cls(backbone, head, scorer, card, weights.get("cohort"), sources)
            network.load_state_dict(weights)
        except (OSError, ValueError, KeyError, ValidationError, SafetensorError, RuntimeError, AttributeError) as error:
            raise MorelliError(f"The model in {folder} is damaged: {error}. Train it again.") from error
        return network.eval()


def _backbone_of(trunk: nn.Module, transform: Transform | None) -> AnyBackbone:
    own = unwrapped(trunk)
    if isinstance(own, Backbone | JointBackbone) and (
        transform is None or settings_of(transform) == settings_of(own.transform()) is not None
    ):
        return copied(own)
    return ModuleBackbone(trunk, transform or timm_transform(trunk))


def _loaded_backbone(
    folder: Path, card: NetworkCard, weights: dict[str, Tensor], trunk: nn.Module | None, transform: Transform | None
) -> AnyBackbone:
    if card.trunk is not None:
        return loaded_trunk(folder, card.trunk, _below(weights, "backbone.net."), trunk, transform)
    if trunk is not None or transform is not None:
        raise MorelliError(f"{folder} holds its own backbone and transform; none can be given.")
    if is_own(card.backbone.name):  # it would be imported
        raise must_be_given(folder, "trunk", card.backbone.name)
    return create_backbone(card.backbone, load_weights=REFERENCE in weights, descriptions=card.descriptions)


def _loaded_head(
    folder: Path, card: NetworkCard, weights: dict[str, Tensor], features: int, embedder: nn.Module | None
) -> EmbeddingHead | ModuleHead:
    if card.embedder is not None:
        return loaded_head(folder, card.embedder, _below(weights, "head.layers."), features, embedder)
    if embedder is not None:
        raise MorelliError(f"{folder} holds its own head; no embedder can be given.")
    return EmbeddingHead(features, card.head)


def _loaded_scorer(
    folder: Path, card: NetworkCard, weights: dict[str, Tensor], width: int, given: Scorer | None
) -> Scorer:
    own = _below(weights, "scorer.")
    if given is not None:
        _check_scorer(given, width)
        made = copied(given)
    elif (scorer := _registered_scorer(card.scorer)) is not None:
        made = scorer.from_weights(width, own)
    else:
        raise must_be_given(folder, "scorer", card.scorer)
    if lacking := sorted(made.state_dict().keys() - own.keys()):
        raise MorelliError(
            f"{folder} is scored by a {card.scorer}, but lacks {len(lacking)} of its parameters, such as {lacking[0]}. "
            "Save the network again with its trained scorer."
        )
    return made


def _registered_scorer(name: str) -> type[Scorer] | None:
    """The scorer of that name; heads of the package's own that stand beside their objective are registered there."""
    if name not in SCORERS and name.startswith("morelli.training.objectives:"):
        import morelli.training.objectives  # noqa: F401
    return SCORERS.get(name)


def _check_scorer(scorer: Any, width: int) -> None:
    """Check that a scorer compares embeddings of this width."""
    if isinstance(scorer, type):
        raise MorelliError(f"scorer is the class {scorer.__name__}; give one that is made, with its parameters.")
    if not isinstance(scorer, Scorer):
        known = ", ".join(SCORERS)
        raise MorelliError(f"scorer is a {type(scorer).__name__}; give a Scorer, such as one of {known}.")
    rows = torch.randn(3, width, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            scores = copied(scorer).matrix(rows, rows[:2])
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise MorelliError(f"The scorer cannot compare embeddings of {width} numbers: {error}") from error
    if scores.shape != (3, 2) or not scores.isfinite().all():
        raise MorelliError(f"The scorer gives {tuple(scores.shape)} for 3 embeddings against 2, not finite (3, 2).")


def _below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def embed_with(
    network: Network, dataset: PaintersByNumbers, device: torch.device, change: Change | None = None
) -> Tensor:
    """Embeddings of a dataset's pictures, (N, D) on the CPU; ``change`` is as in :func:`features_of`."""
    return without_gradient(network.head.cpu(), aligned_features(network, dataset, device, change))


def aligned_features(
    network: Network, dataset: PaintersByNumbers, device: torch.device, change: Change | None = None
) -> Tensor:
    """What a network's head gets of a dataset's pictures: features, each source's brought to the reference's."""
    features = features_of(network.backbone, dataset, device, change)
    return features if network.sources is None else network.sources.cpu().align(features, dataset.paintings["source"])


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
