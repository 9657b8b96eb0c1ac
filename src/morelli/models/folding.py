"""Batch-norm folding: batch norms of a frozen network become part of the convolutions before them.

In evaluation a batch norm is a fixed scale and shift of each channel, so the convolution whose output it takes can do
the same itself (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2): one pass over memory less for each.
"""

import copy
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS, _NORMS = (nn.Conv2d, Conv2dSame), (nn.BatchNorm2d, BatchNormAct2d)
"""Exactly these classes: others may do more with their weights than they say."""


@torch.no_grad()
def folded(net: nn.Module, images: Tensor) -> nn.Module:
    """Return ``net`` with every batch norm folded that alone takes a convolution's output.

    Args:
        net: in evaluation mode. It is returned as it is where nothing can be folded.
        images: (B, 3, H, W), passed through to see which batch norm follows which convolution, and to check that the
            outputs stay the same.
    """
    if not any(type(module) in _NORMS for module in net.modules()) or not (followers := _followers(net, images)):
        return net
    copies: dict[int, Any] = {}  # by the id of what each is a copy of
    new = copy.deepcopy(net, copies)
    for convolution, norm in followers:
        own, own_norm = copies[id(convolution)], copies[id(norm)]
        fused = fuse_conv_bn_eval(own, own_norm)
        own.weight, own.bias = fused.weight, fused.bias
        # timm's batch norms hold the activation that follows them.
        rest = nn.Sequential(*(part for name, part in own_norm.named_children() if name in ("drop", "act")))
        _replace(new, own_norm, rest)
    before, after = net(images), new(images)
    is_same = torch.allclose(before, after, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
    return new if is_same else net


def _followers(net: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions and the batch norms that take their outputs as they are, as one pass shows."""
    outputs: dict[int, tuple[Any, Tensor]] = {}
    pairs: list[tuple[Any, Any]] = []

    def note_output(module: nn.Module, _: Any, output: Tensor) -> None:
        outputs[id(output)] = (module, output)  # the tensor is kept, so that no other can have its id

    def note_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if found := outputs.get(id(inputs[0])):
            pairs.append((found[0], module))

    hooks = [m.register_forward_hook(note_output) for m in net.modules() if type(m) in _CONVOLUTIONS]
    hooks += [m.register_forward_pre_hook(note_input) for m in net.modules() if type(m) in _NORMS]
    net(images)
    for hook in hooks:
        hook.remove()
    uses = [id(module) for pair in pairs for module in pair]
    return [
        (convolution, norm) for convolution, norm in pairs if uses.count(id(convolution)) == uses.count(id(norm)) == 1
    ]


def _replace(net: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in net.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
