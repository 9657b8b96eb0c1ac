"""Comparison of two pictures: likelihood ratio, probability of the same hand, and how often such answers are wrong."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from morelli.data.hashes import DHashes
from morelli.evaluation.calibration import check_prior
from morelli.gallery.pictures import PictureInfo
from morelli.gallery.scoring import ErrorRates, LikelihoodRatio, Scoring, percent
from morelli.models.network import NetworkCard

CAVEAT: Final = "This is evidence, not authentication."


@dataclass(frozen=True)
class Comparison:
    """What can be said of two pictures.

    Attributes:
        a, b: the pictures' names.
        lr: the likelihood ratio; None without a calibration, and for copies.
        score: how alike the hands are, in the network's own terms; higher is more alike.
        threshold: scores from here on are called the same hand; None if none was chosen.
        same_hand: whether the score reaches the threshold; None without one, and for copies.
        prior: share of same-hand pairs that the probability is for.
        probability: that the two are by the same hand; None without a calibration, and for copies.
        copies: ``file`` if both are the same file, ``picture`` if they are copies of one picture, else None.
        rates: how often the threshold was wrong on unseen artists; None if that was not measured.
        cohort: what the score is normalised by: ``none``, ``training``, or a folder or index.
        cohort_pictures: how many pictures that has; None without a cohort.
        notes: what a reader must know.
    """

    a: str
    b: str
    lr: LikelihoodRatio | None
    score: float
    threshold: float | None
    same_hand: bool | None
    prior: float
    probability: float | None
    copies: str | None
    rates: ErrorRates | None
    cohort: str
    cohort_pictures: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return as_plain(self, self.lr)

    def text(self) -> str:
        """What the command prints."""
        lines = [f"A: {self.a}", f"B: {self.b}", "", *(self.lr.lines() if self.lr else [])]
        if self.probability is not None:
            supposed = f"if {percent(self.prior)} of such pairs are by one hand"
            lines.append(f"Probability of the same hand: {percent(self.probability)}, {supposed}.")
        if self.threshold is not None and self.same_hand is not None:
            lines.append(verdict(self.score, self.threshold, same_hand=self.same_hand))
            lines += self.rates.lines() if self.rates else []
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), CAVEAT])


def compare(
    scoring: Scoring, card: NetworkCard, a: PictureInfo, b: PictureInfo, embeddings: Tensor, prior: float
) -> Comparison:
    """Compare two pictures by their embeddings, (2, D); see ``Painters.compare``."""
    check_prior(prior)
    score = float(scoring.scorer.pairwise_distance(embeddings[:1], embeddings[1:]))
    copies = "file" if a.sha256 == b.sha256 else "picture" if DHashes([b.hash]).copies_of(a.hash) else None
    calibration = None if copies else scoring.calibration
    return Comparison(
        a.name,
        b.name,
        LikelihoodRatio.of(calibration, score),
        score,
        scoring.threshold,
        None if scoring.threshold is None or copies else score >= scoring.threshold,
        prior,
        float(calibration.probability(score, prior)) if calibration else None,
        copies,
        scoring.rates,
        scoring.cohort,
        scoring.pictures,
        tuple(_notes(scoring, card, (a, b), copies)),
    )


def as_plain(answer: Any, ratio: LikelihoodRatio | None) -> dict[str, Any]:
    """An answer, a dataclass with its ratio as ``lr``, as plain values for JSON: the ratio first."""
    values = asdict(answer)
    del values["lr"]
    return {**LikelihoodRatio.fields(ratio), **values, "caveat": CAVEAT}


def verdict(score: float, threshold: float, *, same_hand: bool) -> str:
    """A score against its threshold, in a sentence."""
    called = "the same hand" if same_hand else "different hands"
    return f"Score {score:.3f} against a threshold of {threshold:.3f}: {called}."


def was_trained_on(card: NetworkCard, picture: PictureInfo) -> bool:
    """Whether the picture's file is one that the network was trained on."""
    return picture.sha256[:16] in card.training_paintings


def _notes(
    scoring: Scoring, card: NetworkCard, pictures: tuple[PictureInfo, PictureInfo], copies: str | None
) -> list[str]:
    notes = []
    if copies == "file":
        notes.append("A and B are the same file, so there is nothing to compare.")
    if copies == "picture":
        notes.append(
            "A and B are copies of one picture, or nearly so. That says nothing of the hand: no probability is given."
        )
    if scoring.calibration is None:
        notes.append("This network has no calibration, so its score cannot be turned into a probability.")
    elif scoring.calibration.slope == 0:
        notes.append("On validation artists this network was no better than chance: the probability is the prior.")
    elif scoring.calibration.bounds is None:
        notes.append("This network is of a version before likelihood ratios: for one, train it again.")
    if scoring.rates is None:
        how = " to know" if scoring.threshold is not None else ", with more validation artists"
        notes.append(f"How often this network is wrong on unseen artists stands nowhere in it; train it again{how}.")
    notes += [
        f"{letter} is one of the paintings the network was trained on; the probability does not hold for it."
        for letter, picture in zip("AB", pictures, strict=True)
        if was_trained_on(card, picture)
    ]
    return [*notes, *scoring.notes()]
