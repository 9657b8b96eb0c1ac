"""Comparison of two pictures: a score, the probability of the same hand, and how often such answers are wrong."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from morelli.data.hashes import DHashes
from morelli.evaluation.calibration import Calibration, check_prior
from morelli.gallery.pictures import PictureInfo
from morelli.models.network import Network, NetworkCard

CAVEAT: Final = "This is evidence, not authentication."


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
    def of(cls, card: NetworkCard) -> "ErrorRates | None":
        """The rates that a network's card keeps, or None."""
        measured: Mapping[str, Any] = card.measured or {}
        if "realised_far_balanced" not in measured:
            return None
        far, recall = (measured["interval"].get(f"realised_{name}_balanced") for name in ("far", "recall"))
        return cls(
            measured["artists"],
            measured["paintings"],
            measured["realised_far_balanced"],
            1 - measured["realised_recall_balanced"],
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
class Comparison:
    """What can be said of two pictures.

    Attributes:
        a, b: the pictures' names.
        score: how alike the hands are, in the network's own terms; higher is more alike.
        threshold: scores from here on are called the same hand; None if none was chosen.
        same_hand: whether the score reaches the threshold; None without one, and for copies.
        prior: share of same-hand pairs that the probability is for.
        probability: that the two are by the same hand; None without a calibration, and for copies.
        copies: ``file`` if both are the same file, ``picture`` if they are copies of one picture, else None.
        rates: how often the threshold was wrong on unseen artists; None if that was not measured.
        notes: what a reader must know.
    """

    a: str
    b: str
    score: float
    threshold: float | None
    same_hand: bool | None
    prior: float
    probability: float | None
    copies: str | None
    rates: ErrorRates | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "caveat": CAVEAT}

    def text(self) -> str:
        """What the command prints."""
        lines = [f"A: {self.a}", f"B: {self.b}", ""]
        if self.probability is not None:
            supposed = f"if {percent(self.prior)} of such pairs are by one hand"
            lines.append(f"Probability of the same hand: {percent(self.probability)}, {supposed}.")
        if self.threshold is not None and self.same_hand is not None:
            verdict = "the same hand" if self.same_hand else "different hands"
            lines.append(f"Score {self.score:.3f} against a threshold of {self.threshold:.3f}: {verdict}.")
            lines += self.rates.lines() if self.rates else []
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), CAVEAT])


def compare(network: Network, a: PictureInfo, b: PictureInfo, embeddings: Tensor, prior: float) -> Comparison:
    """Compare two pictures by their embeddings, (2, D); see ``Painters.compare``."""
    check_prior(prior)
    card = network.card
    score = float(network.scorer.pairwise_distance(embeddings[:1], embeddings[1:]))
    copies = "file" if a.sha256 == b.sha256 else "picture" if DHashes([b.hash]).copies_of(a.hash) else None
    calibration = Calibration.from_dict(card.calibration) if card.calibration and not copies else None
    rates = ErrorRates.of(card)
    return Comparison(
        a.name,
        b.name,
        score,
        card.threshold,
        None if card.threshold is None or copies else score >= card.threshold,
        prior,
        float(calibration.probability(score, prior)) if calibration else None,
        copies,
        rates,
        tuple(_notes(card, (a, b), copies, rates)),
    )


def was_trained_on(card: NetworkCard, picture: PictureInfo) -> bool:
    """Whether the picture's file is one that the network was trained on."""
    return picture.sha256[:16] in card.training_paintings


def _notes(
    card: NetworkCard, pictures: tuple[PictureInfo, PictureInfo], copies: str | None, rates: ErrorRates | None
) -> list[str]:
    notes = []
    if copies == "file":
        notes.append("A and B are the same file, so there is nothing to compare.")
    if copies == "picture":
        notes.append(
            "A and B are copies of one picture, or nearly so. That says nothing of the hand: no probability is given."
        )
    if card.calibration is None:
        notes.append("This network has no calibration, so its score cannot be turned into a probability.")
    elif card.calibration["slope"] == 0:
        notes.append("On validation artists this network was no better than chance: the probability is the prior.")
    if rates is None:
        how = " to know" if card.threshold is not None else ", with more validation artists"
        notes.append(f"How often this network is wrong on unseen artists stands nowhere in it; train it again{how}.")
    notes += [
        f"{letter} is one of the paintings the network was trained on; the probability does not hold for it."
        for letter, picture in zip("AB", pictures, strict=True)
        if was_trained_on(card, picture)
    ]
    return notes


def percent(share: float) -> str:
    """As many digits as tell something: 1.3 %, 62 %, 99.2 %."""
    digits = 0 if 0.1 <= share <= 0.9 else 1 if 0.01 <= share <= 0.99 else 2
    return f"{100 * share:.{digits}f} %"


def _rate(rate: float, interval: tuple[float, float] | None) -> str:
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * rate:.1f} %{bounds}"
