"""``pool: stages`` equals a naive pooling of the maps that timm names, in every family that gives its maps."""

import math
from inspect import signature
from typing import Any

import pytest
import torch
from timm import list_models, list_modules
from torch import Tensor, nn

from morelli.errors import MorelliError
from morelli.models.backbones import Backbone, BackboneConfig

SMALL = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
"""One of the smallest models of each family that timm 1.0.31 has."""
FEW = ("convnext", "efficientnet", "mambaout", "resnet", "swin_transformer", "vision_transformer")
MISNAMED = {"mvitv2": ("block.", "stages."), "twins": ("block.", "blocks.")}
"""Families whose ``feature_info`` calls its modules otherwise than they are called."""
NAMELESS = ("hrnet",)
"""Families that name maps which no one module gives; their pooling is compared with the maps themselves."""


def model_of(family: str) -> str:
    return SMALL.get(family) or list_models(module=family)[0]


def tensors_in(output: Any) -> list[Tensor]:
    if isinstance(output, tuple | list):
        return [one for part in output for one in tensors_in(part)]
    return [output] if isinstance(output, Tensor) else []


def pooled(output: Any, width: int) -> list[Tensor]:
    """Means over all places of a map, whichever of its dimensions the channels are, or over all tokens of places."""
    means = []
    for tensor in tensors_in(output):
        if tensor.ndim == 4:
            means += [tensor.double().mean((2, 3)), tensor.double().mean((1, 2))]
        elif tensor.ndim == 3:
            before = tensor.shape[1] - math.isqrt(tensor.shape[1]) ** 2  # class and register tokens
            means.append(tensor[:, before:].double().mean(1))
    return [mean for mean in means if mean.shape[1] == width]


@torch.no_grad()
def check(family: str) -> None:
    torch.manual_seed(0)
    try:
        backbone = Backbone(BackboneConfig(name=model_of(family), weights="none", pool="stages", stages=99)).eval()
    except MorelliError as error:
        pytest.skip(str(error))
    net = backbone.net
    if "extra_blocks" in signature(net.forward_intermediates).parameters and hasattr(net, "blocks"):
        stem = "bn1" if hasattr(net, "bn1") else "conv_stem"
        places = [stem, *(f"blocks.{number}" for number in range(len(net.blocks)))]
    else:
        places = [info["module"].replace(*MISNAMED.get(family, ("", ""))) for info in net.feature_info]
    seen: dict[str, Any] = {}
    for place in [] if family in NAMELESS else places:
        module = net.get_submodule(place)
        module = module[-1] if isinstance(module, nn.ModuleList) else module
        module.register_forward_hook(lambda *call, place=place: seen.update({place: call[2]}))
    images = torch.randn(2, backbone.channels, backbone.image_size, backbone.image_size)
    final = net.forward_features(images)
    if family in NAMELESS:
        seen = dict(zip(places, net.forward_intermediates(images)[1], strict=True))

    features = backbone(images).double()

    widths = [len(stage[0]) for stage in backbone.stages(images)]
    assert backbone.width == features.shape[1] == sum(widths)
    maps = [*(seen[place] for place in places), final]
    assert len(widths) in (len(maps), len(maps) - 1)
    for ours, output in zip(features.split(widths, dim=1), maps, strict=False):
        assert any(torch.allclose(ours, naive, rtol=1e-3, atol=1e-4) for naive in pooled(output, ours.shape[1]))


@pytest.mark.parametrize("family", FEW)
def test_stages_are_the_maps_that_timm_names(family: str) -> None:
    check(family)


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(set(list_modules()) - set(FEW)))
def test_stages_are_the_maps_that_timm_names_in_every_family(family: str) -> None:
    check(family)
