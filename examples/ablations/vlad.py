"""VLAD codes of the stages of ImageNet's network, each place given to its nearest centre (Jégou et al. 2010).

    python examples/ablations/vlad.py prepared/painters-mini vlad.safetensors
    morelli bench configs/ablation/coding.yaml --data prepared/painters-mini

The first line learns the centres, on paintings of the recipe's training artists, into a file that the recipe's
backbones read in the folder where they run. Of each stage's local features 64 principal axes are kept; a picture's
residuals to 32 centres are each brought to length 1 (Arandjelović and Zisserman 2013), and of all their roots 256 axes
are kept.
https://inria.hal.science/inria-00548637
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.utils.data import DataLoader

from morelli import PaintersByNumbers
from morelli.bench.recipe import load_recipe
from morelli.data.splits import split_paintings
from morelli.models.backbones import Backbone
from morelli.models.config import BackboneConfig
from morelli.models.vlad import residuals

RECIPE = Path(__file__).parents[2] / "configs" / "ablation" / "coding.yaml"
CODES = Path("vlad.safetensors")
CONFIG = BackboneConfig(name="tf_efficientnet_lite0", pool="stages", image_size=224, fit="squash")
HARD = 1e4
"""So sharp that each place is given to its nearest centre alone."""
STAGES = (1, 2)
"""Those whose maps are coded: of 80 and 112 channels, 14 × 14 places."""


class VladStages(nn.Module):
    """Images (B, 3, H, W) → the codes of some stages, (B, 256), the channels' means of all in front if asked for."""

    def __init__(self, backbone: Backbone, codes: dict[str, Tensor], *, with_means: bool) -> None:
        super().__init__()
        self.backbone, self.with_means = backbone, with_means
        for name, tensor in codes.items():
            self.register_buffer(name, tensor)

    def forward(self, images: Tensor) -> Tensor:
        stages = self.backbone.stages(images)
        coded = torch.cat([self._residuals(stages[stage], stage) for stage in STAGES], dim=1)
        codes = (coded - self.get_buffer("middle")) @ self.get_buffer("axes")
        means = [stage.flatten(2).mean(2) for stage in stages] if self.with_means else []
        return torch.cat([*means, codes], dim=1)

    def _residuals(self, maps: Tensor, stage: int) -> Tensor:
        places = (maps.flatten(2).mT.float() - self.get_buffer(f"middle{stage}")) @ self.get_buffer(f"axes{stage}")
        return residuals(places, self.get_buffer(f"centres{stage}"), HARD)


def learned_codes(
    backbone: Backbone, pictures: DataLoader[tuple[Tensor, int]], *, axes: int = 64, centres: int = 32, kept: int = 256
) -> dict[str, Tensor]:
    """Axes and centres of each stage, and axes of the residuals, learned on pictures."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        maps = [[backbone.stages(images)[stage].flatten(2).mT for stage in STAGES] for images, _ in pictures]
    codes: dict[str, Tensor] = {}
    coded = []
    for stage, own in zip(STAGES, (torch.cat(column) for column in zip(*maps, strict=True)), strict=True):
        places = own.flatten(0, 1)
        drawn = places[torch.randperm(len(places), generator=generator)[:100_000]]
        of_places = PCA(min(axes, drawn.shape[1]), random_state=0).fit(drawn.numpy())
        middle, turned = torch.tensor(of_places.mean_), torch.tensor(of_places.components_).T.contiguous()
        found = MiniBatchKMeans(centres, random_state=0, n_init=1).fit(((drawn - middle) @ turned).numpy())
        codes |= {f"middle{stage}": middle, f"axes{stage}": turned}
        codes[f"centres{stage}"] = torch.tensor(found.cluster_centers_, dtype=torch.float32)
        coded.append(residuals((own - middle) @ turned, codes[f"centres{stage}"], HARD))
    rows = torch.cat(coded, dim=1)
    of_rows = PCA(min(kept, len(rows)), random_state=0).fit(rows.numpy())
    return codes | {"middle": torch.tensor(of_rows.mean_), "axes": torch.tensor(of_rows.components_).T.contiguous()}


def lite0_vlad() -> tuple[nn.Module, object]:
    """The codes alone."""
    return _coded(with_means=False)


def lite0_means_and_vlad() -> tuple[nn.Module, object]:
    """The means of six stages, and the codes of two behind them."""
    return _coded(with_means=True)


def _coded(*, with_means: bool) -> tuple[nn.Module, object]:
    backbone = Backbone(CONFIG)
    return VladStages(backbone, load_file(CODES), with_means=with_means), backbone.transform()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="prepared paintings")
    parser.add_argument("out", type=Path, help="a file for the centres")
    parser.add_argument("--pictures", type=int, default=2000, help="how many to learn from")
    options = parser.parse_args()
    backbone = Backbone(CONFIG).eval()
    dataset = PaintersByNumbers(options.folder, transform=backbone.transform())
    train = split_paintings(dataset.paintings, load_recipe(RECIPE).split).train
    drawn = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: options.pictures]
    shown = dataset.only([train[place] for place in drawn.tolist()])
    save_file(learned_codes(backbone, DataLoader(shown, batch_size=16)), options.out)
    print(f"{options.out}: centres of {len(shown)} training paintings")


if __name__ == "__main__":
    main()
