"""VLAD: residual codes of feature maps, what local features add around learned centres (Jégou et al. 2010).

Each place of a map is given to the centres near it (softly, as in NetVLAD: Arandjelović et al. 2016); its residuals to
them are summed, brought to length 1 centre by centre (Arandjelović and Zisserman 2013), rooted with their sign
(Perronnin et al. 2010), and reduced to principal axes.
https://inria.hal.science/inria-00548637, https://arxiv.org/abs/1511.07247
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional

STAGES: Final = (1, 2)
"""Of a backbone's last six: those with maps of a sixteenth of the picture's side in EfficientNet."""
_SHARPNESS: Final = 30.0
"""How far nearness decides, in squared deviations of the local features from their centre."""
_SAMPLE: Final = 100_000


def residuals(places: Tensor, centres: Tensor, sharpness: float) -> Tensor:
    """Local features (B, P, D), centres (C, D) → sums of residuals to the centres near them, (B, C·D), of length 1."""
    nearness = 2 * places @ centres.transpose(0, 1) - centres.square().sum(1)
    chosen = (sharpness * nearness).softmax(2)
    sums = chosen.transpose(1, 2) @ places - chosen.sum(1).unsqueeze(2) * centres
    flat = functional.normalize(sums, dim=2).flatten(1)
    return functional.normalize(flat.sign() * (flat.abs() + 1e-12).sqrt(), dim=1)


class Vlad(nn.Module):
    """A picture's stages, (B, C, H, W) each → codes (B, width).

    Args:
        tensors: as :func:`learn_vlad` gives them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.float())
        self.width = int(tensors["axes"].shape[1])

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        coded = torch.cat([self._residuals(stages[stage], stage) for stage in STAGES], dim=1)
        return (coded - self.get_buffer("middle")) @ self.get_buffer("axes")

    def _residuals(self, maps: Tensor, stage: int) -> Tensor:
        middle, axes = (self.get_buffer(f"{name}{stage}") for name in ("middle", "axes"))
        places = (maps.flatten(2).transpose(1, 2).float() - middle) @ axes
        return residuals(places, self.get_buffer(f"centres{stage}"), _SHARPNESS)


def learn_vlad(
    pictures: Iterable[Sequence[Tensor]], *, axes: int = 64, centres: int = 32, width: int = 256
) -> dict[str, Tensor]:
    """Learn axes and centres of each stage, and axes of the residuals.

    Args:
        pictures: batches of what a backbone's ``stages`` gives, of some thousand pictures.
        axes: of each stage's local features.
        centres: of each stage.
        width: numbers in a code.
    """
    batches = [[stages[stage].flatten(2).transpose(1, 2).float() for stage in STAGES] for stages in pictures]
    generator, learned, coded = torch.Generator().manual_seed(0), dict[str, Tensor](), list[Tensor]()
    for stage, maps in zip(STAGES, map(torch.cat, zip(*batches, strict=True)), strict=True):
        places = maps.flatten(0, 1)
        drawn = places[torch.randperm(len(places), generator=generator)[:_SAMPLE]]
        middle, turned = _principal(drawn, axes)
        # Local features of a usual length of 1, so that one sharpness serves every stage.
        turned = turned / ((drawn - middle) @ turned).square().sum(1).mean().sqrt()
        own = (maps - middle) @ turned
        found = MiniBatchKMeans(centres, random_state=0, n_init=1).fit(((drawn - middle) @ turned).numpy())
        learned |= {f"middle{stage}": middle, f"axes{stage}": turned}
        learned[f"centres{stage}"] = torch.tensor(found.cluster_centers_, dtype=torch.float32)
        coded.append(residuals(own, learned[f"centres{stage}"], _SHARPNESS))
    middle, turned = _principal(torch.cat(coded, dim=1), width)
    return learned | {"middle": middle, "axes": turned}


def _principal(rows: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    found = PCA(min(axes, *rows.shape), random_state=0).fit(rows.numpy())
    return torch.tensor(found.mean_), torch.tensor(found.components_).T.contiguous()
