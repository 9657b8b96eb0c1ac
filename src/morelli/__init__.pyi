"""The public names, each with the module that has it. :mod:`morelli` loads a name on first use from this list."""

from .bench.measure import evaluate_network as evaluate_network
from .bench.recipe import load_recipe as load_recipe
from .bench.runner import train as train
from .bench.tables import render as render, table as table
from .data.dataset import PaintersByNumbers as PaintersByNumbers
from .data.prepared import read_paintings as read_paintings
from .data.sampling import ArtistBalancedSampler as ArtistBalancedSampler, RandomTupleSampler as RandomTupleSampler
from .data.splitters import SplitConfig as SplitConfig
from .data.splits import (
    FittedSplit as FittedSplit,
    Split as Split,
    fit_split as fit_split,
    split_paintings as split_paintings,
)
from .errors import InputError as InputError, MorelliError as MorelliError, UnmeasurableError as UnmeasurableError
from .evaluation.calculator import PaintingAccuracyCalculator as PaintingAccuracyCalculator, PerArtist as PerArtist
from .evaluation.calibration import Calibration as Calibration, calibrate as calibrate
from .evaluation.evaluate import Evaluation as Evaluation, choose_threshold as choose_threshold, evaluate as evaluate
from .evaluation.neighbours import knn as knn
from .evaluation.plane_map import plane_map as plane_map
from .gallery.batch_inference import EmbedPictures as EmbedPictures
from .gallery.painters import Painters as Painters
from .models.backbones import Backbone as Backbone
from .models.config import BackboneConfig as BackboneConfig, HeadConfig as HeadConfig
from .models.embedder import embed as embed
from .models.heads import (
    ConcatHead as ConcatHead,
    CosineScorer as CosineScorer,
    DistanceScorer as DistanceScorer,
    EmbeddingHead as EmbeddingHead,
    PairHead as PairHead,
)
from .models.network import Network as Network
from .models.custom_modules import ModuleBackbone as ModuleBackbone
from .preparation.merge import merge as merge
from .preparation.prepare import prepare as prepare
from .synthetic.painters import SyntheticPainters as SyntheticPainters
from .training.one_hot_loss import OneHotLoss as OneHotLoss
from .training.pair_loss import (
    EmbeddingsAlreadyPackagedAsPairs as EmbeddingsAlreadyPackagedAsPairs,
    PairLoss as PairLoss,
)
