"""Configuration of backbones and heads, as a recipe writes them."""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from morelli._config import Section
from morelli.data.known_artists import WEIGHTS

Fit = Literal["letterbox", "squash", "crop", "landscape"]
MOST_VIEWS: Final = 7
"""Views that there are of a picture: itself, mirrored, and five crops."""
KINDS: Final = ("auto", "packaged", WEIGHTS, "timm", "none")
"""What ``weights`` may be, beside the path of a file."""
LOCAL: Final = "local-dir:"
HUB: Final = ("hf_hub:", "hf-hub:")

FORMER_NAMES = {"keep": "untrained_weight", "keep_width": "untrained_width"}


def is_own(name: str) -> bool:
    """Whether a backbone's name is ``package.module:function`` and not one of timm's."""
    return ":" in name and not name.startswith((LOCAL, *HUB))


class BackboneConfig(Section):
    """Which network, with which weights, and how its feature maps become one vector."""

    name: str
    """Any timm model name (``morelli backbones`` lists them); ``hf_hub:OWNER/NAME`` for a timm model on the hub, or
    ``local-dir:FOLDER`` for one in a folder that timm wrote. ``package.module:function`` for a module of one's own: the
    function gives it and its transform; it stays as it is, and the other settings do not concern it."""
    weights: str = "auto"
    """``auto`` (packaged where there are such, else timm's own), ``packaged``, ``painters`` (tuned on 577 painters, of
    EfficientNet-Lite 0 to 2, see docs/painters.md), ``timm``, ``none`` (untrained), or the path of a local
    ``.safetensors`` or ``.pth`` state dict."""
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
    statistics: tuple[Literal["mean", "std"], ...] = ("mean",)
    """Of each channel."""
    vlad: bool = False
    """Behind them residual codes of two stages' maps, where centres come with the weights: ``painters``, and of these
    EfficientNet-Lite 0 alone."""
    views: int = Field(default=1, ge=1, le=MOST_VIEWS)
    """Views of each picture: itself, mirrored, then crops of two thirds a side. Training draws one of them for each
    painting; the embedding of a picture is the mean over all."""
    beside: tuple[str, ...] = ()
    """Further timm models with the same settings, whose features are put beside this one's; frozen only."""
    precision: Literal["no", "bf16"] = "no"
    """``bf16``: forward passes of a frozen backbone in bfloat16, on a GPU, and in OpenVINO on a CPU that has it (AMX or
    AVX-512 BF16). Others compute in float32: on a CPU without bfloat16, torch was 36 times slower in it."""
    train: Literal["frozen", "all"] = "frozen"

    @field_validator("statistics", mode="before")
    @classmethod
    def _has_moved(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and "covariance" in value:
            raise ValueError("covariances are a backbone of their own now: examples.ablations.covariance")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "BackboneConfig":
        if self.beside and self.train != "frozen":
            raise ValueError("several backbones beside each other must be frozen")
        if self.vlad and (self.pool, self.train, self.weights) != ("stages", "frozen", WEIGHTS):
            raise ValueError(f"residual codes are of frozen stages: vlad needs pool: stages and weights: {WEIGHTS}")
        if self.beside and self.weights not in KINDS:
            raise ValueError(f"one file of weights cannot serve several backbones; use one of {', '.join(KINDS)}")
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
        vlad = "+vlad" if self.vlad else ""
        size = f"+{self.image_size}px" if self.image_size else ""
        fit = f"+{self.fit}" if self.fit != "letterbox" else ""
        views = f"+{self.views}views" if self.views > 1 else ""
        weights = f"+{WEIGHTS}" if self.weights == WEIGHTS else ""
        finetuned = "+finetuned" if self.train == "all" else ""
        return names + weights + grey + stages + vlad + size + fit + views + finetuned


class HeadConfig(Section):
    """The trained layers between features and embedding."""

    hidden: tuple[PositiveInt, ...] = (1024,)
    width: int | None = Field(default=128, ge=1)
    """Numbers in an embedding; null, with no hidden layers, takes the features as they are."""
    dropout: float | tuple[float, ...] = 0.0
    """Before every layer: one share for all, or one for each."""
    standardise: bool = True
    """Give every feature mean 0 and deviation 1 over the training paintings."""
    normalise: bool = True
    """Scale embeddings to length 1."""
    untrained_weight: float = Field(default=0.0, ge=0)
    """Weight w of the untrained features set behind the trained embedding: a pair's cosine is then
    (trained + w² · untrained) / (1 + w²). They keep apart single works that training lets fall together."""
    untrained_width: int = Field(default=256, ge=1)
    """Numbers that the untrained features are brought to: their principal axes over the training paintings, half
    whitened (each divided by the square root of its deviation)."""

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, value: Any) -> Any:
        """Recipes and model folders may still say ``keep``; in a recipe it stands over what is more general."""
        if not isinstance(value, dict):
            return value
        former = {new: value[old] for old, new in FORMER_NAMES.items() if old in value}
        return {key: one for key, one in value.items() if key not in FORMER_NAMES} | former

    @model_validator(mode="after")
    def _fits(self) -> "HeadConfig":
        shares = (self.dropout,) if isinstance(self.dropout, float) else self.dropout
        if isinstance(self.dropout, tuple) and len(shares) != len(self.hidden) + 1:
            raise ValueError(f"dropout names {len(shares)} layers, but there are {len(self.hidden) + 1}")
        if not all(0 <= share < 1 for share in shares):
            raise ValueError("dropout is a share of at least 0 and below 1")
        if self.width is None and self.hidden:
            raise ValueError("width null takes the features as they are, so it goes with hidden: []")
        if self.untrained_weight and not (self.width and self.normalise):
            raise ValueError(
                "untrained_weight sets features behind a trained embedding of length 1: it needs width and normalise"
            )
        return self
