"""Two sets of paintings: one hand or two? And one set: which of its paintings fit the others least?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from morelli.data.hashes import DHashes, copy_groups
from morelli.errors import MorelliError
from morelli.evaluation.calibration import check_prior
from morelli.evaluation.identification import artist_embedding
from morelli.evaluation.sets import SIZES, sizes_of
from morelli.gallery.compare import CAVEAT, as_plain, verdict, was_trained_on
from morelli.gallery.pictures import PictureInfo
from morelli.gallery.scoring import LikelihoodRatio, Scoring, percent
from morelli.models.network import NetworkCard

_UNLEARNED: Final = (
    "This network learned nothing of sets of paintings: a pair head never does, and those of earlier versions did not. "
    "Calibrate it with: morelli calibrate"
)


@dataclass(frozen=True)
class PaintingSet:
    """Some paintings that are taken for one hand's: their names, and their embeddings (N, D); copies count once."""

    name: str
    pictures: list[PictureInfo]
    embeddings: Tensor

    @classmethod
    def of(cls, name: str, pictures: Sequence[PictureInfo], embeddings: Tensor) -> "PaintingSet":
        """Of pictures, of which copies are left out."""
        groups = copy_groups([one.hash for one in pictures], [one.sha256 for one in pictures])
        repeated = {place for group in groups for place in group[1:]}
        kept = [place for place in range(len(pictures)) if place not in repeated]
        return cls(name, [pictures[place] for place in kept], embeddings[kept])

    def shared_with(self, other: "PaintingSet") -> list[str]:
        """The names of its pictures that are copies of some of another set."""
        hashes, digests = DHashes([one.hash for one in other.pictures]), {one.sha256 for one in other.pictures}
        return [one.name for one in self.pictures if one.sha256 in digests or hashes.copies_of(one.hash)]

    def first(self, size: int) -> Tensor:
        """(size, D) of evenly spaced paintings of it."""
        return self.embeddings[np.linspace(0, len(self.embeddings) - 1, size).round().astype(int)]


@dataclass(frozen=True)
class SetComparison:
    """What can be said of two sets of paintings.

    Attributes:
        a, b: the folders or pictures.
        paintings: how many different ones each has.
        lr: the likelihood ratio, one hand for both sets against two; None where the sets share a painting.
        score: how alike the hands are.
        threshold: scores from here on are called the same hand.
        same_hand: whether it reaches the threshold; None as the ratio.
        prior: share of such pairs of sets that the probability is for.
        probability: that both are by the same hand; None as the ratio.
        cohort, cohort_pictures: what scores are normalised by, and how many pictures that has.
        notes: what a reader must know.
    """

    a: str
    b: str
    paintings: tuple[int, int]
    lr: LikelihoodRatio | None
    score: float
    threshold: float
    same_hand: bool | None
    prior: float
    probability: float | None
    cohort: str
    cohort_pictures: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return as_plain(self, self.lr)

    def text(self) -> str:
        """What the command prints."""
        names = (f"{side}: {name}" for side, name in zip("AB", (self.a, self.b), strict=True))
        counts = (f" ({n} painting{'s' * (n != 1)})" for n in self.paintings)
        lines = [*map("".join, zip(names, counts, strict=True)), "", *(self.lr.lines() if self.lr else [])]
        if self.probability is not None and self.same_hand is not None:
            supposed = f"if {percent(self.prior)} of such pairs of sets are by one hand"
            lines.append(f"Probability of the same hand: {percent(self.probability)}, {supposed}.")
            lines.append(verdict(self.score, self.threshold, same_hand=self.same_hand))
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), CAVEAT])


@dataclass(frozen=True)
class Outliers:
    """Which paintings of a folder fit the others least.

    Attributes:
        folder: where they lie.
        ratios: (file, likelihood ratio of one hand for it and all others), the least first.
        cohort, cohort_pictures: what scores are normalised by, and how many pictures that has.
        notes: what a reader must know.
    """

    folder: str
    ratios: tuple[tuple[str, LikelihoodRatio], ...]
    cohort: str
    cohort_pictures: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        del values["ratios"]
        paintings = [{"file": file, **LikelihoodRatio.fields(ratio)} for file, ratio in self.ratios]
        return {"paintings": paintings, **values, "caveat": CAVEAT}

    def text(self) -> str:
        """What the command prints."""
        lines = [f"{self.folder}, {len(self.ratios)} paintings; log10 LR of each with the others, the least first:"]
        for file, ratio in self.ratios:
            between = f"({ratio.interval[0]:5.2f} to {ratio.interval[1]:5.2f})" if ratio.interval else ""
            lines.append(f"{ratio.log10:7.2f}  {between:17}  {file}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), CAVEAT])


def compare_sets(scoring: Scoring, card: NetworkCard, a: PaintingSet, b: PaintingSet, prior: float) -> SetComparison:
    """Compare two sets of paintings; see ``Painters.compare_sets``."""
    check_prior(prior)
    counts = len(a.pictures), len(b.pictures)
    if counts == (1, 1):
        raise MorelliError(
            f"{a.name} and {b.name} hold one painting each (copies count once). Compare the two pictures instead."
        )
    sizes = sizes_of(scoring.sets, *counts)
    if sizes is None:
        raise MorelliError(_UNLEARNED)
    calibration = scoring.sets[f"{min(sizes)}-{max(sizes)}"]
    score, shared = _score(scoring, a.first(sizes[0]), b.first(sizes[1])), a.shared_with(b)
    notes = []
    if shared:
        listed = ", ".join(shared[:5]) + (f" and {len(shared) - 5} more" if len(shared) > 5 else "")
        notes.append(
            f"Both sets have the same painting, which says nothing of the hand, so no ratio is given: {listed}."
        )
    ratio = None if shared else LikelihoodRatio.of(calibration, score)
    return SetComparison(
        a.name,
        b.name,
        counts,
        ratio,
        score,
        calibration.thresholds["balanced"],
        None if shared else score >= calibration.thresholds["balanced"],
        prior,
        None if shared else float(calibration.probability(score, prior)),
        scoring.cohort,
        scoring.pictures,
        (*notes, *_sizes_notes((a, b), counts, sizes), *_notes(scoring, card, (a, b))),
    )


def outliers(scoring: Scoring, card: NetworkCard, paintings: PaintingSet) -> Outliers:
    """Compare each painting of a set with all others; see ``Painters.outliers``."""
    count = len(paintings.pictures)
    if count < 3:
        raise MorelliError(f"{paintings.name} holds {count} different paintings. Which fits least takes three.")
    sizes = sizes_of(scoring.sets, 1, count - 1)
    if sizes is None:
        raise MorelliError(_UNLEARNED)
    calibration, ratios = scoring.sets[f"1-{sizes[1]}"], []
    for place, picture in enumerate(paintings.pictures):
        kept = [other for other in range(count) if other != place]
        rest = PaintingSet(paintings.name, [paintings.pictures[other] for other in kept], paintings.embeddings[kept])
        score = _score(scoring, paintings.embeddings[place : place + 1], rest.first(sizes[1]))
        ratio = LikelihoodRatio.of(calibration, score)
        assert ratio is not None  # bounds were learned with the set's calibration
        ratios.append((score, picture.name, ratio))
    ordered = tuple((name, ratio) for _, name, ratio in sorted(ratios, key=lambda one: one[0]))  # bounded ratios tie
    notes = (*_sizes_notes((paintings,), (count - 1,), sizes[1:]), *_notes(scoring, card, (paintings,)))
    return Outliers(paintings.name, ordered, scoring.cohort, scoring.pictures, notes)


def _score(scoring: Scoring, *sides: Tensor) -> float:
    with torch.inference_mode():
        first, second = (artist_embedding(side, scoring.scorer)[None] for side in sides)
        return float(scoring.scorer.matrix(first, second))


def _sizes_notes(sets: Sequence[PaintingSet], counts: Sequence[int], sizes: Sequence[int]) -> list[str]:
    return [
        f"Of {one.name}, {size} of {count} paintings count, evenly spaced: ratios were learned for sets of "
        f"{', '.join(map(str, SIZES[:-1]))} and {SIZES[-1]}."
        for one, count, size in zip(sets, counts, sizes, strict=True)
        if count > size
    ]


def _notes(scoring: Scoring, card: NetworkCard, sets: Sequence[PaintingSet]) -> list[str]:
    trained = [
        f"{picture.name} is one of the paintings the network was trained on; the ratio does not hold with it."
        for one in sets
        for picture in one.pictures
        if was_trained_on(card, picture)
    ]
    return [*trained[:5], *scoring.notes()]
