"""Which backbone a recipe asks for."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from morelli._config import Section
from morelli.models.transforms import MOST_VIEWS, Fit
from morelli.models.weights import KINDS, is_own


class BackboneConfig(Section):
    """Which network, with which weights, and how its feature maps become one vector."""

    name: str
    """Any timm model name (``morelli backbones`` lists them); ``hf_hub:OWNER/NAME`` for a timm model on the hub, or
    ``local-dir:FOLDER`` for one in a folder that timm wrote. ``package.module:function`` for a module of one's own: the
    function gives it and its transform; it stays as it is, and the other settings do not concern it."""
    weights: str = "auto"
    """``auto`` (packaged where there are such, else timm's own), ``packaged``, ``timm``, ``none`` (untrained), or the
    path of a local ``.safetensors`` or ``.pth`` state dict."""
    image_size: int | None = Field(default=None, ge=32)
    """Pixels a side; by default the size the weights were made for."""
    in_chans: Literal[1, 3] | None = None
    """Channels of the input: 1 for pictures in grey, to which timm adapts weights for colour. By default what the
    weights were made for."""
    fit: Fit = "letterbox"
    """How a picture meets the square: bars around it, both sides scaled, timm's own centre crop, or the seed
    project's way (turned to landscape, bar below)."""
    pool: Literal["global", "stages"] = "global"
    """The model's own pooled output, or channel statistics of its last ``stages`` feature maps."""
    stages: int = Field(default=6, ge=1)
    statistics: tuple[Literal["mean", "std", "covariance"], ...] = ("mean",)
    """Of each channel; ``covariance`` is that of 16 fixed random mixtures of the channels, each entry's root with its
    sign kept: what is left of Gatys' Gram matrices (https://arxiv.org/abs/1505.07376) at a small width."""
    views: int = Field(default=1, ge=1, le=MOST_VIEWS)
    """Views of each picture: itself, mirrored, then crops of two thirds a side. Training draws one of them for each
    painting; the embedding of a picture is the mean over all."""
    beside: tuple[str, ...] = ()
    """Further timm models with the same settings, whose features are put beside this one's; frozen only."""
    precision: Literal["no", "bf16"] = "no"
    """``bf16``: forward passes in bfloat16 on a GPU. A processor always computes in float32: few have bfloat16, and one
    that has not was 36 times as slow."""
    train: Literal["frozen", "all"] = "frozen"

    @model_validator(mode="after")
    def _fits(self) -> "BackboneConfig":
        if self.beside and self.train != "frozen":
            raise ValueError("several backbones beside each other must be frozen")
        if self.beside and self.weights not in KINDS:
            raise ValueError("one file of weights cannot serve several backbones; use auto, packaged, timm or none")
        if is_own(self.name) and (own := self.model_dump(exclude={"name"}, exclude_defaults=True)):
            raise ValueError(f"{self.name} brings its own settings, so {', '.join(own)} cannot be set for it")
        if any(is_own(name) for name in self.beside):
            raise ValueError("only timm models stand beside each other")
        return self

    @property
    def label(self) -> str:
        """How tables and run folders call it: the name, and what differs from the plain frozen backbone."""
        names = "+".join(Path(name.partition(":")[2] or name).name for name in (self.name, *self.beside))
        grey = "+grey" if self.in_chans == 1 else ""
        stages = f"+{self.stages}stages-{'-'.join(self.statistics)}" if self.pool == "stages" else ""
        size = f"+{self.image_size}px" if self.image_size else ""
        fit = f"+{self.fit}" if self.fit != "letterbox" else ""
        views = f"+{self.views}views" if self.views > 1 else ""
        return names + grey + stages + size + fit + views + ("+finetuned" if self.train == "all" else "")
