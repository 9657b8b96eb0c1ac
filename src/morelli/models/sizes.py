"""Image sizes that an architecture refuses, and those near them that it takes."""

from contextlib import suppress
from itertools import islice
from typing import Any, Final

import torch

from morelli.errors import MorelliError, first_line
from morelli.models.config import BackboneConfig
from morelli.models.weights import create_net

REFUSALS: Final = (AssertionError, RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError)
"""What networks raise for pictures of a size that they were not made for."""
_DEVICES: Final = ("meta", "cpu")
"""Where models are tried: on the first it takes no time, but not all can be made there."""
_STEPS: Final = (8, 14, 16, 28, 32, 64)
"""Patches, and patches in a window, of known architectures; sizes that they take are multiples of such."""
_NAMED: Final = 2
"""Sizes named on each side of the one that was asked for."""


def check_size(config: BackboneConfig) -> None:
    """Refuse, without weights, a size that a timm model does not take though it takes its own."""
    wanted = config.image_size
    if wanted is not None and (refusal := _refusal(config, wanted)) and (own := _own_size(config)):
        raise refused_size(config, own, refusal)


def refused_size(config: BackboneConfig, own: int, error: Exception) -> MorelliError:
    """The error for a size that an architecture does not take; ``own`` is that which its weights were made for."""
    wanted = config.image_size or own
    near = {step * (wanted // step + more) for step in _STEPS for more in (0, 1)} - {wanted, own}
    nearest = [
        sorted((size for size in near if 32 <= size < wanted), reverse=True),
        sorted(size for size in near if size > wanted),
    ]
    taken = {
        size for side in nearest for size in islice((one for one in side if _refusal(config, one) is None), _NAMED)
    }
    fitting = ", ".join(str(size) for size in sorted(taken | {own} - {wanted}))
    would_do = f"These sizes would do: {fitting}. " if fitting else ""
    return MorelliError(
        f"{config.name} cannot take pictures of {wanted} pixels a side ({first_line(error)}). {would_do}"
        "Set image_size to one of them, or to none for the size its weights were made for."
    )


def _own_size(config: BackboneConfig) -> int | None:
    """The size that a model's weights were made for; None if it cannot be made at all."""
    for device in _DEVICES:
        with suppress(OSError, *REFUSALS), torch.device(device), torch.random.fork_rng(devices=[]):
            net: Any = create_net(config.model_copy(update={"image_size": None}))
            return int(net.pretrained_cfg["input_size"][-1])
    return None


def _refusal(config: BackboneConfig, size: int) -> Exception | None:
    """Why a size is refused, by the model's making or by its forward pass."""
    for device in _DEVICES:
        try:
            with torch.device(device), torch.random.fork_rng(devices=[]), torch.no_grad():
                net: Any = create_net(config.model_copy(update={"image_size": size})).eval()
                net(torch.zeros(1, int(config.in_chans or net.pretrained_cfg["input_size"][0]), size, size))
        except OSError:
            return None  # what the hub describes cannot be asked
        except REFUSALS as error:
            last = error
        else:
            return None
    return last
