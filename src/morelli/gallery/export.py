"""ONNX export: a network as one file, with all that must be known to use it without Python."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import default_collate

from morelli._files import check_output, written_whole
from morelli._json import write_json
from morelli.errors import MorelliError
from morelli.gallery.reader import Reader
from morelli.models.backbones import JointBackbone, SingleBackbone
from morelli.models.heads import CosineScorer, DistanceScorer, Scorer
from morelli.models.network import Network
from morelli.models.onnx import onnx_program

TOLERANCE: Final = 1e-4
_MOST_BYTES: Final = 2_000_000_000  # a file of protobuf holds no more


@dataclass(frozen=True)
class Exported:
    """What :func:`export` wrote.

    Attributes:
        path: the network; what to know of it stands beside it, in ``<path>.json``.
        scorer: the pair head, for a network that has one: two times (N, D) → (N,).
        megabytes: of the network's file.
        difference: the largest between an embedding by PyTorch and by onnxruntime, against the longest embedding.
    """

    path: Path
    scorer: Path | None
    megabytes: float
    difference: float

    def text(self) -> str:
        """What the command prints."""
        scorer = f" Score two embeddings with {self.scorer}." if self.scorer else ""
        return (
            f"{self.path}: {self.megabytes:.1f} MB; onnxruntime gives PyTorch's embeddings within "
            f"{self.difference:.0e}.{scorer} What to feed it: {_about_path(self.path)}"
        )


def export(reader: Reader, path: Path) -> Exported:
    """Write a network as ONNX: pictures in batches of any size → embeddings, in float32; see ``Painters.export``.

    Embeddings are of length 1 where the network compares by the cosine, so that a product of two is their score. The
    file is tried in onnxruntime before it is put in place.
    """
    check_output(path, ".onnx")
    if missing := [name for name in ("onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise MorelliError(f"ONNX files need {' and '.join(missing)}. Install: pip install 'morelli[export]'")
    network = copy.deepcopy(reader.network).cpu()
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise MorelliError(f"A .onnx file holds at most 2 GB, and this network has {size / 1e9:.1f} GB of weights.")
    scorer = None
    if not isinstance(network.scorer, CosineScorer | DistanceScorer):
        scorer = path.with_suffix(".scorer.onnx")
        pairs = (torch.randn(3, network.head.width), torch.randn(3, network.head.width))
        _write(_PairScores(network.scorer).eval(), pairs, ["a", "b"], "score", scorer)
    batches = _noise(reader)
    inputs = _inputs(network, batches)
    difference = _write(_Embeddings(network).eval(), batches, list(inputs), "embedding", path)
    about = {**_about(network, reader.size, scorer), "inputs": inputs}
    write_json(_about_path(path), about)
    return Exported(path, scorer, path.stat().st_size / 1e6, difference)


class _PairScores(nn.Module):
    """Embeddings (N, D), (N, D) in, scores (N,) out."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.scorer.pairwise_distance(a, b)


class _Embeddings(nn.Module):
    """One tensor for each backbone in, embeddings out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.is_single = not isinstance(network.backbone, JointBackbone)
        self.by_cosine = isinstance(network.scorer, CosineScorer)

    def forward(self, *images: Tensor) -> Tensor:
        embeddings: Tensor = self.network(images[0] if self.is_single else images)
        return functional.normalize(embeddings, dim=1) if self.by_cosine else embeddings


def _noise(reader: Reader) -> tuple[Tensor, ...]:
    """Three pictures of noise as the network takes them, (3, …) for each backbone."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 80, 3), dtype=np.uint8)
    batch = default_collate([reader.transform(Image.fromarray(picture)) for picture in pixels])
    return (batch,) if isinstance(batch, Tensor) else tuple(batch)


def _about(network: Network, size: int, scorer: Path | None) -> dict[str, Any]:
    card = network.card
    score = scorer.name if scorer else "dot product"
    if isinstance(network.scorer, DistanceScorer):
        score = "minus the Euclidean distance"
    calibration = card.calibration and {key: value for key, value in card.calibration.items() if key != "artists"}
    return {
        "made_by": f"morelli {version('morelli')}",
        "objective": card.objective,
        "width": network.head.width,
        "score": score,
        "threshold": card.threshold,
        "calibration": calibration,
        "measured_on_unseen_artists": card.measured,
        "before": f"upright as EXIF says, RGB on white, shorter side shrunk to {size} px (Lanczos) if it is longer",
    }


def _inputs(network: Network, batches: Sequence[Tensor]) -> dict[str, Any]:
    """By the name of each input: its shape for one picture, and how a picture becomes that."""
    parts: Sequence[SingleBackbone] = network.backbone.parts
    names = ["images"] if len(parts) == 1 else [f"images_{number}" for number in range(1, len(parts) + 1)]
    return {
        name: {**part.input_metadata, "shape": list(batch.shape[1:])}
        for name, part, batch in zip(names, parts, batches, strict=True)
    }


def _write(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], output: str, path: Path) -> float:
    """Export a module, try it on another number of rows, and put it in place; → the largest difference."""
    program = onnx_program(module, inputs, names=names, output=output, variadic=isinstance(module, _Embeddings))
    with written_whole(path) as temporary:
        program.save(temporary)
        difference = _difference(module, inputs, names, temporary)
        if not difference <= TOLERANCE:
            raise MorelliError(f"The ONNX network is off by {difference:.1e} of an embedding's length; not written.")
    return difference


def _difference(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], path: Path) -> float:
    from onnxruntime import InferenceSession

    with torch.no_grad():
        ours = module(*inputs)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = dict(zip(names, (batch.numpy() for batch in inputs), strict=True))
    theirs = torch.from_numpy(session.run(None, feed)[0])
    longest = torch.linalg.vector_norm(ours.view(len(ours), -1), dim=1).max().clamp_min(1)
    return float((ours - theirs).abs().max() / longest)


def _about_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
