"""Tell painters apart: are two paintings by the same hand, also when that hand was never seen in training?

The public names are loaded on first use, so that importing morelli is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morelli.bench.measure import evaluate_network as evaluate_network
    from morelli.bench.recipe import load_recipe as load_recipe
    from morelli.bench.runner import train as train
    from morelli.bench.tables import render as render
    from morelli.bench.tables import table as table
    from morelli.data.dataset import PaintersByNumbers as PaintersByNumbers
    from morelli.data.prepared import read_paintings as read_paintings
    from morelli.data.sampling import ArtistBalancedSampler as ArtistBalancedSampler
    from morelli.data.sampling import RandomTupleSampler as RandomTupleSampler
    from morelli.data.split_sizes import FittedSplit as FittedSplit
    from morelli.data.split_sizes import fit_split as fit_split
    from morelli.data.splits import Split as Split
    from morelli.data.splits import SplitConfig as SplitConfig
    from morelli.data.splits import split_paintings as split_paintings
    from morelli.errors import InputError as InputError
    from morelli.errors import MorelliError as MorelliError
    from morelli.errors import UnmeasurableError as UnmeasurableError
    from morelli.evaluation.calculator import PaintingAccuracyCalculator as PaintingAccuracyCalculator
    from morelli.evaluation.calculator import PerArtist as PerArtist
    from morelli.evaluation.calibration import Calibration as Calibration
    from morelli.evaluation.calibration import calibrate as calibrate
    from morelli.evaluation.evaluate import Evaluation as Evaluation
    from morelli.evaluation.evaluate import choose_threshold as choose_threshold
    from morelli.evaluation.evaluate import evaluate as evaluate
    from morelli.evaluation.neighbours import knn as knn
    from morelli.evaluation.plane_map import plane_map as plane_map
    from morelli.gallery.painters import Painters as Painters
    from morelli.models.backbones import Backbone as Backbone
    from morelli.models.config import BackboneConfig as BackboneConfig
    from morelli.models.config import HeadConfig as HeadConfig
    from morelli.models.embedder import embed as embed
    from morelli.models.heads import ConcatHead as ConcatHead
    from morelli.models.heads import CosineScorer as CosineScorer
    from morelli.models.heads import DistanceScorer as DistanceScorer
    from morelli.models.heads import EmbeddingHead as EmbeddingHead
    from morelli.models.heads import PairHead as PairHead
    from morelli.models.network import Network as Network
    from morelli.models.own_parts import ModuleBackbone as ModuleBackbone
    from morelli.preparation.merge import merge as merge
    from morelli.preparation.prepare import prepare as prepare
    from morelli.synthetic.painters import SyntheticPainters as SyntheticPainters
    from morelli.training.one_hot_loss import OneHotLoss as OneHotLoss
    from morelli.training.pair_loss import EmbeddingsAlreadyPackagedAsPairs as EmbeddingsAlreadyPackagedAsPairs
    from morelli.training.pair_loss import PairLoss as PairLoss

_HOMES = {
    "bench.recipe": ("load_recipe",),
    "bench.measure": ("evaluate_network",),
    "bench.runner": ("train",),
    "bench.tables": ("render", "table"),
    "data.dataset": ("PaintersByNumbers",),
    "preparation.merge": ("merge",),
    "preparation.prepare": ("prepare",),
    "data.prepared": ("read_paintings",),
    "data.sampling": ("ArtistBalancedSampler", "RandomTupleSampler"),
    "data.split_sizes": ("FittedSplit", "fit_split"),
    "data.splits": ("Split", "SplitConfig", "split_paintings"),
    "synthetic.painters": ("SyntheticPainters",),
    "errors": ("InputError", "MorelliError", "UnmeasurableError"),
    "evaluation.calculator": ("PaintingAccuracyCalculator", "PerArtist"),
    "evaluation.calibration": ("Calibration", "calibrate"),
    "evaluation.evaluate": ("Evaluation", "choose_threshold", "evaluate"),
    "evaluation.neighbours": ("knn",),
    "evaluation.plane_map": ("plane_map",),
    "gallery.painters": ("Painters",),
    "models.backbones": ("Backbone",),
    "models.config": ("BackboneConfig", "HeadConfig"),
    "models.embedder": ("embed",),
    "models.heads": ("ConcatHead", "CosineScorer", "DistanceScorer", "EmbeddingHead", "PairHead"),
    "models.network": ("Network",),
    "models.own_parts": ("ModuleBackbone",),
    "training.one_hot_loss": ("OneHotLoss",),
    "training.pair_loss": ("EmbeddingsAlreadyPackagedAsPairs", "PairLoss"),
}
_HOME_OF = {name: f"morelli.{home}" for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'morelli' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
