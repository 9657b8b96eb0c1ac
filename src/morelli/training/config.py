"""Objectives as a recipe writes them."""

from typing import Any, Literal

from pydantic import Field, model_validator

from morelli._config import Section
from morelli.data.artists import Kind

Sampling = Literal["balanced", "triplets", "pairs"]
"""``balanced``: ``m`` paintings of each artist. ``triplets`` and ``pairs``: the seed project's random tuples."""

LABEL = r"^\w[\w .,+=-]*$"
"""What may become part of a folder's name: no separator, nothing that leads out of the folder."""

_TRIPLET = {
    "loss": {"name": "TripletMarginLoss", "margin": 0.1},
    "miner": {"name": "TripletMarginMiner", "margin": 0.1, "type_of_triplets": "all"},
}


class ObjectiveConfig(Section):
    """One objective: a row of the table for every backbone.

    In a recipe, a plain name such as ``triplet`` stands for ``{kind: triplet}``.
    """

    kind: Literal["frozen", "triplet", "bce-pair", "bce-concat", "bce-onehot", "metric"]
    """``metric`` is any PML loss, with or without a miner."""
    name: str = Field(default="", pattern=LABEL)
    """The row's label, and part of its folder's name; by default the kind, or the loss's class name."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """A PML loss: its class name, alone or with its own arguments, such as ``{name: SupConLoss, temperature: 0.1}``.
    Arguments that are parts themselves (``distance``, ``reducer``, ``losses``, …) are written the same way."""
    miner: dict[str, Any] = Field(default_factory=dict)
    """A PML miner, likewise; empty for none."""
    auxiliary: dict[Kind, float] = Field(default_factory=dict)
    """Weights of softmax losses on the artists' usual style or genre, beside a PML loss: ``{style: 0.1}``."""
    classify_first: int = Field(default=0, ge=0)
    """Epochs that begin the training with a softmax loss on the artists, before a PML loss takes over."""
    head: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``head`` for this objective."""
    training: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``training`` for this objective."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        value = {"kind": value} if isinstance(value, str) else value
        if isinstance(value, dict):
            plain = {key: {"name": value[key]} for key in ("loss", "miner") if isinstance(value.get(key), str)}
            value = {**value, **plain}
        if isinstance(value, dict) and "kind" not in value and "loss" in value:
            value = {"kind": "metric", **value}
        if isinstance(value, dict) and value.get("kind") == "triplet":
            own = {key: {**part, **value[key]} for key, part in _TRIPLET.items() if value.get(key)}
            value = {**_TRIPLET, **value, **{key: part for key, part in own.items() if "name" not in value[key]}}
        if isinstance(value, dict) and not value.get("name"):
            loss_name = (value.get("loss") or {}).get("name", "metric")
            value = {**value, "name": loss_name if value.get("kind") == "metric" else value.get("kind", "")}
        return value

    @model_validator(mode="after")
    def _has_loss(self) -> "ObjectiveConfig":
        if self.kind == "metric" and not self.loss:
            raise ValueError("an objective of kind metric needs a loss, for example loss: {name: SupConLoss}")
        if (self.auxiliary or self.classify_first) and self.kind not in ("triplet", "metric"):
            raise ValueError(
                "auxiliary losses stand beside a PML loss, and classify_first before one, which an objective of kind "
                f"{self.kind} has not"
            )
        return self
