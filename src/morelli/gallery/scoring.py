"""Ways of scoring: the network's own scores, or scores normalised by a cohort, each with what was learned of them.

A cohort is the pictures of a folder or an index of one's own (s-norm, own cohort), or the training paintings that are
saved with the network; see :class:`morelli.evaluation.normalisation.FolderScorer`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from morelli._file_names import printable
from morelli.data.hashes import DHashes
from morelli.errors import MorelliError
from morelli.evaluation import learning
from morelli.evaluation.calibration import Calibration
from morelli.evaluation.identification import Identification
from morelli.evaluation.normalisation import SMALLEST_FOLDER, FolderScorer
from morelli.evaluation.sets import SizedCalibrations
from morelli.gallery.index import PICTURES, PictureIndex, list_pictures, unusable
from morelli.gallery.pictures import PictureInfo
from morelli.gallery.reader import Reader
from morelli.models.heads import Scorer
from morelli.models.network import Network, NetworkCard

_ENOUGH: Final = 200
"""Pictures of a cohort, of which fewer let thresholds drift; measured in docs/evidence.md."""
_WORDS: Final = (
    (2, "no support for either"),
    (10, "weak support"),
    (100, "moderate support"),
    (1_000, "moderately strong support"),
    (10_000, "strong support"),
    (1_000_000, "very strong support"),
    (float("inf"), "extremely strong support"),
)
"""The verbal scale of ENFSI's guideline for evaluative reporting (2015), by the ratio up to which a word is used."""


@dataclass(frozen=True)
class ErrorRates:
    """How the threshold fared on artists that were neither trained on nor used to choose it.

    Attributes:
        artists, paintings: whose pairs were decided.
        wrongly_same: share of pairs by different hands that were called the same hand.
        wrongly_different: share of pairs by one hand that were called different hands.
        wrongly_same_interval, wrongly_different_interval: 95 % intervals over artists; None where none was measured.
    """

    artists: int
    paintings: int
    wrongly_same: float
    wrongly_different: float
    wrongly_same_interval: tuple[float, float] | None
    wrongly_different_interval: tuple[float, float] | None

    @classmethod
    def of(cls, card: NetworkCard, suffix: str = "") -> "ErrorRates | None":
        """The rates that a network's card keeps of one way of scoring, or None."""
        measured: Mapping[str, Any] = card.measured or {}
        names = [f"realised_{name}_balanced{suffix}" for name in ("far", "recall")]
        if names[0] not in measured:
            return None
        far, recall = (measured["interval"].get(name) for name in names)
        return cls(
            measured["artists"],
            measured["paintings"],
            measured[names[0]],
            1 - measured[names[1]],
            (far[0], far[1]) if far else None,
            (1 - recall[1], 1 - recall[0]) if recall else None,
        )

    def lines(self) -> list[str]:
        """As a comparison prints them."""
        same = _rate(self.wrongly_same, self.wrongly_same_interval)
        different = _rate(self.wrongly_different, self.wrongly_different_interval)
        return [
            f"On {self.artists} artists never seen in training ({self.paintings} paintings), this threshold called",
            f"  {same} of pairs by different hands the same hand,",
            f"  {different} of pairs by one hand different.",
        ]


@dataclass(frozen=True)
class LikelihoodRatio:
    """How many times likelier a score is if one hand painted both pictures than if two did.

    Attributes:
        log10: its logarithm; above 0 for one hand, below 0 for two.
        interval: 95 % of what other validation artists would have said, as logarithms; None of too few.
        bounds: what the validation artists support at most, as logarithms: the ratio lies within.
        artists: how many validated.
    """

    log10: float
    interval: tuple[float, float] | None
    bounds: tuple[float, float]
    artists: int

    @classmethod
    def of(cls, calibration: Calibration | None, score: float) -> "LikelihoodRatio | None":
        """Of one score; None where nothing was learned, or by a version that learned no bounds."""
        if calibration is None or calibration.bounds is None:
            return None
        interval, bounds = calibration.interval(score), calibration.bounds
        ratio = float(calibration.log_likelihood_ratio(score))
        return cls(in_tens(ratio), _both(interval) if interval else None, _both(bounds), len(calibration.artists))

    @staticmethod
    def fields(ratio: "LikelihoodRatio | None") -> dict[str, Any]:
        """A ratio, or that there is none, as plain values for JSON."""
        values = (ratio.log10, ratio.interval, ratio.bounds) if ratio else (None, None, None)
        return dict(zip(("log10_lr", "log10_lr_interval", "log10_lr_bounds"), values, strict=True))

    def lines(self) -> list[str]:
        """As a comparison prints it."""
        times = 10 ** abs(self.log10)
        much = f"{times:.1f}" if times < 10 else f"{times:.0f}"
        hands, others = ("one hand", "two did") if self.log10 >= 0 else ("two hands", "one did")
        between = f" (95 %: {self.interval[0]:.2f} to {self.interval[1]:.2f})" if self.interval else ""
        word = next(word for most, word in _WORDS if times < most)
        side = "" if times < _WORDS[0][0] else f" for {hands}"
        cut = "; this one is cut there" if self.log10 in self.bounds else ""
        return [
            f"log10 LR {self.log10:.2f}{between}",
            f"  Such a score is {much} times likelier if {hands} painted them than if {others}.",
            f"  {self.artists} validation artists support {self.bounds[0]:.2f} to {self.bounds[1]:.2f}{cut}.",
            f"  In words, a convention (ENFSI 2015): {word}{side}.",
        ]


@dataclass(frozen=True)
class Cohort:
    """Pictures that scores are normalised by.

    Attributes:
        name: ``training``, or the folder or index.
        embeddings: (C, D).
        looks, sha256: (C,) perceptual hashes and digests of the files, by which copies are told; none of training.
    """

    name: str
    embeddings: Tensor
    looks: Sequence[bytes] = ()
    sha256: Sequence[str] = ()

    @classmethod
    def of_index(cls, index: PictureIndex) -> "Cohort":
        """The pictures of an index."""
        pictures, name = index.pictures.pictures, printable(str(index.path))
        return cls(name, index.pictures.embeddings, list(pictures["look"]), list(pictures["sha256"]))

    def copies_of(self, pictures: Sequence[PictureInfo]) -> frozenset[int]:
        """The places of copies of some pictures, which would say that these are close to the cohort."""
        hashes, digests = self._hashes
        close = [place for one in pictures for place in hashes.copies_of(one.hash)]
        return frozenset([*close, *np.flatnonzero(np.isin(digests, [one.sha256 for one in pictures])).tolist()])

    @cached_property
    def _hashes(self) -> tuple[DHashes, np.ndarray]:
        return DHashes(self.looks), np.array(self.sha256, dtype=str)


@dataclass(frozen=True)
class Scoring:
    """One way of scoring, with what was learned of its scores.

    Attributes:
        scorer: of embeddings.
        cohort: what the scores are normalised by: ``none``, ``training``, or a folder or index.
        pictures: how many the cohort has; None without.
        threshold, calibration, identification, rates: as in a network's card; None where it has none.
        sets: calibrations of two sets of paintings, by their sizes.
    """

    scorer: Scorer
    cohort: str
    pictures: int | None
    threshold: float | None
    calibration: Calibration | None
    identification: Identification | None
    rates: ErrorRates | None
    sets: SizedCalibrations

    @classmethod
    def of(cls, network: Network, cohort: Cohort | None = None, left_out: Collection[int] = ()) -> "Scoring":
        """A network's own way of scoring, or that with a cohort; without the pictures at some of its places.

        Raises:
            MorelliError: the network learned nothing of scores with a cohort, or the cohort is too small.
        """
        card = network.card
        if cohort is None:
            rules, rates = card.identification, ErrorRates.of(card)
            calibration = learning.calibration_of(card)
            identification = Identification.from_dict(rules) if rules else None
            sets = learning.sets_of(card)
            return cls(network.scorer, "none", None, card.threshold, calibration, identification, rates, sets)
        kind: learning.Cohort = "training" if cohort.name == "training" else "own"
        if kind not in card.with_cohort:
            raise MorelliError(
                "This network learned no thresholds for scores that are normalised by a cohort: a pair head's never "
                "are, and those of earlier versions were not. Train it again, or give --cohort none."
            )
        learned = card.with_cohort[kind]
        rules = learned["identification"]
        return cls(
            FolderScorer(network.scorer, cohort.embeddings, left_out),
            cohort.name,
            len(cohort.embeddings) - len(left_out),
            learned["threshold"],
            learning.calibration_of(card, kind),
            Identification.from_dict(rules) if rules else None,
            ErrorRates.of(card, f"_{kind}_cohort"),
            learning.sets_of(card, kind),
        )

    def notes(self) -> list[str]:
        """What a reader must know of the cohort."""
        if self.pictures is None:
            return []
        if self.cohort == "training":
            return [f"Scores are normalised by {self.pictures:,} training paintings."]
        said = f"Scores are normalised by the {self.pictures:,} pictures of {self.cohort}."
        few = f" So few let the error rates drift; {_ENOUGH} are enough." if self.pictures < _ENOUGH else ""
        return [said + few]


def can_be_own_cohort(network: Network, index: PictureIndex) -> bool:
    """Whether an index's scores are normalised by its own pictures, unless told otherwise."""
    return "own" in network.card.with_cohort and len(index.pictures.pictures) > SMALLEST_FOLDER


def read_cohort(reader: Reader, name: str | Path) -> Cohort | None:
    """Read the cohort that a user names: ``none``, ``training``, a folder of pictures, or an index.

    Raises:
        MorelliError: there is no such folder or index, an index of another network, or no cohort in the network.
    """
    if str(name) == "none":
        return None
    if str(name) == "training":
        if reader.network.cohort is None:
            raise MorelliError("This network has no cohort of training paintings. Give a folder of pictures instead.")
        return Cohort("training", reader.network.cohort.cpu())
    path = Path(name)
    if (path / PICTURES).exists():
        index = PictureIndex.load(path)
        index.check(reader.fingerprint, "the one that compares")
        return Cohort.of_index(index)
    if not path.is_dir():
        raise MorelliError(f'A cohort is a folder of pictures, an index, "training" or "none"; there is no {path}.')
    pictures, embeddings = read_folder(reader, path, "cohort")
    return Cohort(printable(str(path)), embeddings, [one.hash for one in pictures], [one.sha256 for one in pictures])


def read_folder(reader: Reader, folder: Path, what: str) -> tuple[list[PictureInfo], Tensor]:
    """Read a folder's pictures, at any depth, and embed them: (N, D). ``what`` stands beside the progress.

    Raises:
        MorelliError: there is no such folder, or no picture in it can be used.
    """
    files, summary = list_pictures(folder.resolve(), folder.resolve())
    batches = list(reader.read(folder.resolve(), files, what))
    pictures = [one for batch in batches for one in batch.pictures]
    if not pictures:
        summary.left_out += [one for batch in batches for one in batch.left_out]
        raise unusable(folder, summary)
    return pictures, torch.cat([batch.embeddings for batch in batches if batch.pictures])


def cohort_embeddings(path: Path, network: Network) -> Tensor:
    """The embeddings (C, D) of a folder's or an index's pictures by a network. Errors as of :func:`read_cohort`."""
    found = read_cohort(Reader(network), path)
    if found is None:
        raise MorelliError(f"{path} is no folder of pictures and no index.")
    return found.embeddings


def percent(share: float) -> str:
    """As many digits as tell something: 1.3 %, 62 %, 99.2 %."""
    digits = 0 if 0.1 <= share <= 0.9 else 1 if 0.01 <= share <= 0.99 else 2
    return f"{100 * share:.{digits}f} %"


def in_tens(natural: float) -> float:
    """A natural logarithm as one to the base of 10, to nine digits."""
    return round(natural / math.log(10), 9)


def _both(natural: tuple[float, float]) -> tuple[float, float]:
    return in_tens(natural[0]), in_tens(natural[1])


def _rate(rate: float, interval: tuple[float, float] | None) -> str:
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * rate:.1f} %{bounds}"
