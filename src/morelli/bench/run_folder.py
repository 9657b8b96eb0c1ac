"""The run folder: the files that one run leaves behind, of which tables, reports and comparisons are made.

``config.yaml`` (fully resolved), ``split.json``, ``history.csv``, the files of each subset (:func:`write_subset`),
``environment.json``, ``metrics.json`` and ``model/``. ``metrics.json`` is written last and marks the run as finished.
"""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

import pandas as pd
from pydantic import ConfigDict, with_config
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from morelli._config import Section, SubsetMetrics
from morelli._csv import write_csv
from morelli._dotted import is_dotted
from morelli._files import UnreadableError, read_text, reading, write_text_whole
from morelli._json import checked, parsed_json, write_json
from morelli._yaml import read_yaml, write_yaml
from morelli.bench.recipe import EvaluationConfig
from morelli.data.prepared import OPTIONS, TABLE
from morelli.data.splitters import SplitConfig
from morelli.errors import MorelliError
from morelli.models.config import FORMER_NAMES, BackboneConfig, HeadConfig
from morelli.training.config import ObjectiveConfig, TrainingConfig, objective_class

if TYPE_CHECKING:
    from morelli.evaluation.evaluate import Evaluation

FORMAT_VERSION = 1
CONFIG, METRICS, ENVIRONMENT, FAILURE = "config.yaml", "metrics.json", "environment.json", "failure.txt"
SUBSETS = ("seen", "unseen")
"""What a network is measured on: other paintings by artists it was trained on, and artists it never saw."""
AGAIN = "Move that folder away and run it again."
"""What to do about a damaged run folder."""
PER_ARTIST: dict[str, type] = {"artist": str, "paintings": int}
"""The columns of ``per_artist_<subset>.csv`` beside the metrics."""
_SECTIONS: dict[str, type[Section]] = {
    "split": SplitConfig,
    "backbone": BackboneConfig,
    "objective": ObjectiveConfig,
    "head": HeadConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
}
_RETIRED = ("resamples",)
"""Options of earlier versions that make no difference any more."""


_open = with_config(ConfigDict(extra="allow"))


@_open
class _Backbone(TypedDict):
    name: str
    beside: list[str]
    pool: str
    stages: NotRequired[int]
    statistics: NotRequired[list[str]]
    train: str
    image_size: int | None
    fit: str
    views: int


@_open
class _Objective(TypedDict):
    name: str
    kind: str
    place: NotRequired[int]
    loss: NotRequired[dict[str, Any]]


@_open
class _Config(TypedDict, total=False):
    recipe: str
    caption: str | None
    data: str
    split: dict[str, Any]
    fold: int | str
    seed: int
    backbone_label: str
    backbone: _Backbone
    objective: _Objective
    head: dict[str, Any] | None
    training: dict[str, Any] | None
    evaluation: dict[str, Any]


@_open
class _Environment(TypedDict, total=False):
    training_seconds: float
    images_per_second: float
    versions: dict[str, str | None]


@_open
class _OwnMetric(TypedDict):
    name: str
    heading: str


@_open
class _Leakage(TypedDict):
    copies_across_sides: list[dict[str, str]]
    names_folded: dict[str, list[str]]
    unattributed: list[str]
    known_to_weights: NotRequired[list[str]]


@_open
class _Metrics(TypedDict, total=False):
    parameters: int
    image_size: int
    embedding_width: int
    copies: dict[str, int] | None
    leakage: _Leakage
    validation: SubsetMetrics
    seen: SubsetMetrics
    unseen: SubsetMetrics
    unmeasured: dict[str, str]
    own_metrics: list[_OwnMetric]
    notes: list[str]


_SCHEMAS: dict[str, Any] = {CONFIG: _Config, ENVIRONMENT: _Environment, METRICS: _Metrics}
"""The types of what the folder's files hold; what else stands in them is kept."""


class _Content(dict[str, Any]):
    """What one of the folder's files holds; a key that it lacks is one sentence with the file."""

    path: Path

    def __missing__(self, key: str) -> Any:
        raise UnreadableError(f"{self.path} cannot be read (it has no {key}). {AGAIN}")


@dataclass(frozen=True)
class RunFolder:
    """One run on disk."""

    path: Path

    @property
    def is_finished(self) -> bool:
        return (self.path / METRICS).is_file()

    @property
    def config(self) -> dict[str, Any]:
        return self._read(CONFIG)

    @property
    def metrics(self) -> dict[str, Any]:
        return self._read(METRICS)

    @property
    def environment(self) -> dict[str, Any]:
        return self._read(ENVIRONMENT)

    @property
    def failure(self) -> str | None:
        """Why the run failed, or None."""
        path = self.path / FAILURE
        if self.is_finished or not path.is_file():
            return None
        with reading(path, AGAIN):
            return read_text(path)

    def start(self, config: dict[str, Any]) -> None:
        """Write the config, or check that the folder was begun with the same.

        Raises:
            MorelliError: the folder holds a run of another config, or is a prepared folder.
        """
        refuse_prepared_folder(self.path)
        config = to_jsonable_python({"format": FORMAT_VERSION, **config})
        if (self.path / CONFIG).is_file():
            here, now = _completed(self.config), _completed(config)
            if different := sorted(key for key in {*here, *now} if here.get(key) != now.get(key)):
                raise MorelliError(
                    f"{self.path} holds a run made with another {', '.join(different)}. "
                    "Choose another --out, or move that folder away."
                )
        write_text_whole(self.path / CONFIG, write_yaml(config))
        (self.path / FAILURE).unlink(missing_ok=True)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write one of the folder's JSON files."""
        write_json(self.path / name, content)

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        with reading(path, AGAIN):
            status = path.stat()
            content = _Content(copy.deepcopy(_parsed(path, status.st_ino, status.st_mtime_ns)))
        content.path = path
        return content


@lru_cache(maxsize=256)
def _parsed(path: Path, *_version: int) -> dict[str, Any]:
    text = read_text(path)
    if path.name != CONFIG:
        return parsed_json(text, _SCHEMAS[path.name])
    content = checked(read_yaml(text), dict[str, Any])
    if content.get("format") != FORMAT_VERSION:
        raise MorelliError(
            f"{path} has run format {content.get('format')}; this morelli reads {FORMAT_VERSION}. Run it again."
        )
    return checked(content, _SCHEMAS[CONFIG])


def refuse_prepared_folder(folder: Path) -> None:
    """Refuse to write runs among paintings, before anything is written."""
    if (folder / TABLE).exists() or (folder / OPTIONS).exists():
        raise MorelliError(f"{folder} is a prepared folder; a run would be mixed into it. Choose another --out.")


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """The config with every option that its sections lack, because it came later, at the option's default."""
    completed = {key: value for key, value in config.items() if key != "caption"}  # it changes no network
    for name, section in _SECTIONS.items():
        if completed.get(name):
            options = section.model_fields.items()
            defaults = {key: field.get_default(call_default_factory=True) for key, field in options}
            stored = {
                FORMER_NAMES.get(key, key): value
                for key, value in completed[name].items()
                if key in defaults or (value and key not in _RETIRED)
            }
            completed[name] = to_jsonable_python(defaults, fallback=str) | stored
    if "objective" in completed:
        completed["objective"].pop("place", None)  # in tables; runs of before have none
        completed["objective"]["loss"] = _loss(completed["objective"])
    return completed


def _loss(objective: dict[str, Any]) -> dict[str, Any]:
    """An objective's loss in full; runs of before have only what differs from that of their kind."""
    kind = str(objective.get("kind"))
    with suppress(ValueError):
        return {**({} if is_dotted(kind) else objective_class(kind).parts.get("loss", {})), **objective["loss"]}
    return objective["loss"]  # type: ignore[no-any-return]


def data_digest(paintings: pd.DataFrame) -> str:
    """A digest of what the paintings are, not of where they lie."""
    columns = ["id", "artist", "artist_group", "in_train", "width", "height", "sha256"]
    return hashlib.sha256(paintings[columns].to_csv(index=False).encode()).hexdigest()[:16]


def leave_one_out_path(folder: Path, subset: str) -> Path:
    """Where a run keeps every metric without each of one subset's artists."""
    return folder / f"leave_one_out_{subset}.parquet"


def resamples_path(folder: Path, subset: str) -> Path:
    """Where earlier versions kept every metric on bootstrap resamples of the artists."""
    return folder / f"resamples_{subset}.parquet"


def per_artist_path(folder: Path, subset: str) -> Path:
    """Where a run keeps one row for each of one subset's artists."""
    return folder / f"per_artist_{subset}.csv"


def write_subset(folder: Path, subset: str, measured: "Evaluation") -> None:
    """Write what was measured of one subset, each file whole or not at all.

    - ``per_artist_<subset>.csv``: ``artist, paintings, pair_auc`` and the retrieval metrics, a row an artist.
    - ``score_histogram_<subset>.csv``: ``score, same, different``, a row a bin of score: its middle, and how many pairs
      by the same and by different hands fall into it.
    - ``reliability_<subset>.csv``: ``probability, share, mass``, a row a bin; only with a calibration.
    - ``leave_one_out_<subset>.parquet``: every metric without each artist.
    """
    write_csv(per_artist_path(folder, subset), measured.per_artist)
    write_csv(folder / f"score_histogram_{subset}.csv", measured.score_histogram)
    for path in (folder / f"reliability_{subset}.csv", resamples_path(folder, subset)):
        path.unlink(missing_ok=True)  # of an earlier measurement that had one
    if measured.reliability is not None:
        write_csv(folder / f"reliability_{subset}.csv", measured.reliability)
    measured.leave_one_out.write(leave_one_out_path(folder, subset))


def find_runs(places: Sequence[Path]) -> list[RunFolder]:
    """All finished or failed runs in the given folders, at any depth, in the order of their paths.

    Raises:
        MorelliError: a folder is missing, or there is no run at all.
    """
    for place in places:
        if not place.is_dir():
            raise MorelliError(f"There is no folder {place}. Runs are written by: morelli bench --out {place}")
    found = [run for place in places for run in _runs_below(place)]
    if not found:
        raise MorelliError(
            f"No finished run in {', '.join(map(str, places))}: no folder there holds {METRICS}. "
            "Make runs with: morelli bench"
        )
    return list(dict.fromkeys(found))


def _runs_below(place: Path) -> Iterator[RunFolder]:
    for config in sorted(place.rglob(CONFIG)):
        run = RunFolder(config.parent)
        if run.is_finished or run.failure:
            yield run
