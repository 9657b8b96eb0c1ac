"""Recipes: a YAML file, read into checked sections, that says what a bench runs."""

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from morelli._config import Section
from morelli._files import UnreadableError, read_text, reading
from morelli._yaml import YAMLError, read_yaml
from morelli.data.known_artists import WEIGHTS
from morelli.data.splitters import SplitConfig
from morelli.errors import MorelliError, MorelliWarning, did_you_mean
from morelli.evaluation.calibration import Method
from morelli.evaluation.metrics import load_metrics
from morelli.models.config import BackboneConfig, HeadConfig
from morelli.training.config import LABEL, ObjectiveConfig, TrainingConfig


class SyntheticConfig(Section):
    """The synthetic painters used when a recipe names no data."""

    artists: int = 60
    paintings_per_artist: int = 20
    size: int = 160
    seed: int = 0


NO_RESAMPLES: Final = "resamples is not used: intervals leave one artist out at a time now."


class EvaluationConfig(Section):
    """How finished networks are measured."""

    metrics: tuple[str, ...] = ()
    """Metrics of your own beside the built-in ones, by dotted path: ``package.module:Name``."""
    cohort: int = Field(default=1000, ge=2)
    """Training paintings that unseen artists' scores are normalised by."""
    calibration: Method = "platt"
    """How scores become probabilities; ``temperature`` is for scores that are log-odds already, as a pair head's."""

    @model_validator(mode="before")
    @classmethod
    def _resamples_are_ignored(cls, values: Any) -> Any:
        if isinstance(values, dict) and "resamples" in values:
            warnings.warn(f"evaluation.{NO_RESAMPLES}", MorelliWarning, stacklevel=2)
            return {key: value for key, value in values.items() if key != "resamples"}
        return values

    @field_validator("metrics")
    @classmethod
    def _metrics_load(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        load_metrics(paths)
        return paths


class Recipe(Section):
    """A whole bench: data, split, and the grid of backbones × objectives × folds × seeds."""

    name: str = Field(default="bench", pattern=LABEL)
    caption: str = ""
    """Printed above the table: what to look at."""
    data: Path | None = None
    """A prepared folder; without one, synthetic painters are painted."""
    synthetic: SyntheticConfig = SyntheticConfig()
    split: SplitConfig = SplitConfig()
    backbones: tuple[BackboneConfig, ...] = Field(min_length=1)
    objectives: tuple[ObjectiveConfig, ...] = Field(min_length=1)
    head: HeadConfig = HeadConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)

    @model_validator(mode="after")
    def _those_whom_weights_know_do_not_validate(self) -> "Recipe":
        known = any(backbone.weights == WEIGHTS for backbone in self.backbones)
        if known and "unknown_to" not in self.split.model_fields_set:
            object.__setattr__(self, "split", self.split.model_copy(update={"unknown_to": WEIGHTS}))
        return self

    @field_validator("data")
    @classmethod
    def _may_be_at_home(cls, value: Path | None) -> Path | None:
        return value and value.expanduser()

    @field_validator("backbones", mode="before")
    @classmethod
    def _names_are_backbones(cls, value: Any) -> Any:
        return [{"name": item} if isinstance(item, str) else item for item in value] if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def built_in_recipes() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted(path.name.removesuffix(".yaml") for path in _recipes().iterdir() if path.name.endswith(".yaml"))


def _recipes() -> Path:
    packaged = Path(__file__).with_name("configs")
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "configs"  # an editable install


def load_recipe(path: str | Path | None = None, overrides: Iterable[str] = (), *, quick: bool = False) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file, or the name of a built-in recipe such as ``demo`` (the default).
        overrides: ``a.b=value`` each, the value in YAML; list items by number, as ``backbones.0.name``.
        quick: take the recipe's quick variant: the sections under its key ``quick`` replace its own.

    Raises:
        MorelliError: no such file, not YAML, no quick variant, an unknown key or a value that does not fit; the key is
            named.
    """
    where = str(path or "demo")
    content = _read(where)
    quick_sections = content.pop("quick", None)
    if quick:
        if not isinstance(quick_sections, dict):
            raise MorelliError(f"{where} has no quick variant: no key quick with the sections to replace.")
        content |= {"name": f"{content.get('name', 'bench')}-quick", **quick_sections}
    for override in overrides:
        _set(content, override)
    return section(Recipe, content, where)  # type: ignore[no-any-return]


def section(model: type[Section], values: dict[str, Any], where: str) -> Any:
    """Check one section's values, as :func:`load_recipe` does for a whole recipe."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise MorelliError(f"{where}: " + "; ".join(_explain(e, model) for e in error.errors())) from error


def _read(where: str) -> dict[str, Any]:
    file = Path(where)
    if not file.is_file():
        # configs/demo.yaml is also found where there is no checkout, by its name.
        name = file.name.removesuffix(".yaml")
        if name not in built_in_recipes() or (len(file.parts) > 1 and file.parts[:-1] != ("configs",)):
            known = ", ".join(built_in_recipes())
            raise MorelliError(
                f"There is no recipe {where}.{did_you_mean(name, built_in_recipes())} Built-in recipes: {known}."
            )
        file = _recipes() / f"{name}.yaml"
    try:
        with reading(file):
            content = read_yaml(read_text(file))
    except UnreadableError as error:
        if isinstance(error.__cause__, YAMLError | UnicodeError):
            raise MorelliError(f"{where} is not YAML: {error.__cause__}") from error
        raise
    if not isinstance(content, dict):
        raise MorelliError(f"{where} is not a recipe: it holds no keys such as backbones and objectives.")
    return content


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise MorelliError(f'--set takes key=value, for example --set training.epochs=10; it was given "{override}".')
    try:
        value = read_yaml(text)
    except YAMLError as error:
        raise MorelliError(f"--set {override}: the value is not YAML ({error}).") from error
    *parents, last = key.split(".")
    plain_name_is = {"backbones": "name", "objectives": "kind"}.get(key.split(".")[0])
    place: Any = content
    for parent in parents:
        at = _key(place, parent, override)
        inside = place[at] if isinstance(place, list) else place.setdefault(at, {})
        if isinstance(inside, str) and isinstance(place, list) and plain_name_is:
            inside = place[at] = {plain_name_is: inside}
        if not isinstance(inside, dict | list):
            raise MorelliError(f'--set {override}: "{parent}" is a single value, nothing can be set inside it.')
        place = inside
    place[_key(place, last, override)] = value


def _key(place: Any, key: str, override: str) -> Any:
    if not isinstance(place, list):
        return key
    if not (key.isascii() and key.isdigit() and len(key) < 10) or int(key) >= len(place):
        raise MorelliError(f'--set {override}: "{key}" is not one of the list\'s places 0 to {len(place) - 1}.')
    return int(key)


def _explain(error: Any, model: type[BaseModel]) -> str:
    location = list(error["loc"])
    place = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        known = _fields(model, location[:-1])
        return f'unknown key "{place}".{did_you_mean(str(location[-1]), known)} Known here: {", ".join(known)}'
    given = "" if error["type"] == "missing" else f" (given: {error['input']!r})"
    known = re.findall(r"'([^']*)'", error["ctx"]["expected"]) if error["type"] == "literal_error" else []
    hint = did_you_mean(error["input"], known) if isinstance(error["input"], str) else ""
    if error["type"] == "string_pattern_mismatch":
        return f"{place}: {error['input']!r} becomes a folder's name; use letters, digits, spaces and _ . , + = - only"
    return f"{place or 'recipe'}: {error['msg'].removeprefix('Value error, ')}{given}{hint}"


def _fields(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    for part in location:
        if isinstance(part, str):
            model = _section_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    if get_origin(annotation) in (tuple, Union, UnionType):
        return next(_section_of(part) for part in get_args(annotation) if part not in (type(None), Ellipsis))
    return annotation  # type: ignore[no-any-return]
