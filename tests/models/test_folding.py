"""Folded batch norms: gone, with the same outputs, and only where that is so."""

import pytest
import timm
import torch
from torch import Tensor, nn

from morelli.models.folding import folded


def trained_looking(net: nn.Module) -> nn.Module:
    """Batch norms of an untrained network change nothing; these have statistics as training leaves them."""
    torch.manual_seed(0)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.8, 1.2)
            nn.init.normal_(norm.bias, 0, 0.1)
    return net.eval()


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet18", 0), ("tf_efficientnet_lite0", 0), ("mobilenetv3_small_050", 0), ("resnetv2_50", 17), ("test_vit", 0)],
)
@torch.no_grad()
def test_outputs_and_feature_maps_stay_the_same(name: str, left: int) -> None:
    net = trained_looking(timm.create_model(name, num_classes=0))
    torch.manual_seed(1)
    size = 160 if name == "test_vit" else 64
    seen, images = torch.rand(1, 3, size, size), torch.rand(3, 3, size, size)
    before = net(images), *net.forward_intermediates(images)[1]

    new = folded(net, seen)

    assert norms(new) == left  # batch norms before their convolution cannot be folded into it
    for old, now in zip(before, (new(images), *new.forward_intermediates(images)[1]), strict=True):
        torch.testing.assert_close(now, old, rtol=1e-3, atol=1e-4 * float(old.abs().max()))


class Shared(nn.Module):
    """A convolution whose output is also used as it is: folding would change that other use."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        convolved = self.convolution(images)
        return convolved + self.norm(convolved)


def test_what_would_change_the_outputs_is_left_alone() -> None:
    net = trained_looking(Shared())

    assert folded(net, torch.rand(1, 3, 8, 8)) is net
