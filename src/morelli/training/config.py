"""Configuration of training and of objectives, as a recipe writes them."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from morelli._config import Section
from morelli.errors import did_you_mean

if TYPE_CHECKING:
    from morelli.training.objectives import Objective

Sampling = Literal["balanced", "triplets", "pairs"]
"""``balanced``: ``m`` paintings of each artist. ``triplets`` and ``pairs``: the seed project's random tuples."""

_PARTS = ("loss", "miner")
LABEL = r"^\w[\w .,+=-]*$"
"""What may become part of a folder's name: no separator, nothing that leads out of the folder."""


class ObjectiveConfig(Section):
    """One objective: a row of the table for every backbone.

    In a recipe, a plain name such as ``triplet`` stands for ``{kind: triplet}``.
    """

    kind: str
    """A name of the table in ``training/objectives.py``, or ``package.module:Name`` for a class of one's own."""
    name: str = Field(default="", pattern=LABEL)
    """The row's label, and part of its folder's name; by default the kind, or the loss's class name."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """A PML loss: its class name, alone or with its own arguments, such as ``{name: SupConLoss, temperature: 0.1}``.
    Arguments that are parts themselves (``distance``, ``reducer``, ``losses``, …) are written the same way."""
    miner: dict[str, Any] = Field(default_factory=dict)
    """A PML miner, likewise; empty for none."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What a class of one's own asks for."""
    head: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``head`` for this objective."""
    training: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``training`` for this objective."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        value = {"kind": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            return value
        value = {
            key: {"name": part} if key in _PARTS and isinstance(part, str) else part for key, part in value.items()
        }
        if value.get("loss"):
            value = {"kind": "metric", **value}
        kind = value.get("kind")
        if not isinstance(kind, str) or not all(isinstance(value.get(key, {}), dict) for key in _PARTS):
            return value  # and is refused by its types
        with suppress(ValueError):  # a kind that there is not is refused below
            for key, default in objective_class(kind).parts.items():
                part = value.setdefault(key, default)
                if part and "name" not in part:
                    value[key] = {**default, **part}
        label = value.get("loss", {}).get("name", kind) if kind == "metric" else kind
        return value if value.get("name") else {**value, "name": str(label).rpartition(":")[2]}

    @field_validator("kind")
    @classmethod
    def _is_kind(cls, kind: str) -> str:
        objective_class(kind)
        return kind

    @model_validator(mode="after")
    def _fits(self) -> "ObjectiveConfig":
        objective_class(self.kind).check(self)
        return self

    @property
    def trains(self) -> bool:
        """Whether it trains anything."""
        return objective_class(self.kind).trains


def objective_class(kind: str) -> "type[Objective]":
    """As :func:`morelli.training.objectives.objective_class`, which loads torch."""
    from morelli.training import objectives

    return objectives.objective_class(kind)


class TrainingConfig(Section):
    """How a network is trained."""

    epochs: int = Field(default=60, ge=1)
    sampling: Sampling = "balanced"
    """``balanced``: ``m`` paintings of each artist. ``triplets`` and ``pairs``: the seed project's random tuples."""
    batch_size: int = Field(default=256, ge=2)
    """Paintings in a balanced batch, a multiple of ``m``; or tuples in a batch of tuples."""
    m: int = 4
    optimiser: str = "adamw"
    """Any of timm's, by its name."""
    learning_rate: float = Field(default=1e-3, gt=0)
    backbone_learning_rate: float = Field(default=1e-4, gt=0)
    """For a backbone that is not frozen."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """What the backbone's learning rate is multiplied by from layer to layer, from the last one down: 1 trains all
    alike, a small number trains little but the last blocks."""
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from zero."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs between two validations; the best model by validation pair AUC is kept."""
    patience: int = Field(default=6, ge=1)
    """Validations without improvement after which training stops."""
    clip_gradient: float = Field(default=5.0, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    chunk: int | None = Field(default=None, ge=1)
    """Pictures that pass a trained backbone at a time, in each process; null for all at once. It saves memory and costs
    a second pass; the gradients stay those of the whole batch."""
    compile: bool = False
    """Train a backbone through ``torch.compile``, which takes a minute or more before the first step."""

    @field_validator("optimiser")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name in ("adam", "adamw"):
            return name
        from timm.optim import list_optimizers

        if name not in (known := list_optimizers()):
            hint = did_you_mean(name, known) or " Names are listed by: timm.optim.list_optimizers()"
            raise ValueError(f'timm has no optimiser "{name}".{hint}')
        return name
