"""Are two pictures by the same hand? A score, a probability, and how often such answers are wrong."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from morelli.data.hashes import Looks
from morelli.errors import MorelliError
from morelli.evaluation.calibration import Calibration
from morelli.gallery.pictures import Facts
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
            lines += [f"Score {self.score:.3f} against a threshold of {self.threshold:.3f}: {verdict}."]
            lines += self._rates_text()
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join([*lines, CAVEAT])

    def _rates_text(self) -> list[str]:
        if self.rates is None:
            return []
        rates = self.rates
        return [
            f"On {rates.artists} artists never seen in training ({rates.paintings} paintings), this threshold called",
            f"  {_rate(rates.wrongly_same, rates.wrongly_same_interval)} of pairs by different hands the same hand,",
            f"  {_rate(rates.wrongly_different, rates.wrongly_different_interval)} of pairs by one hand different.",
        ]


def compare(network: Network, a: Facts, b: Facts, embeddings: Tensor, prior: float) -> Comparison:
    """Compare two pictures.

    Args:
        network: whose embeddings they are.
        a, b: the pictures.
        embeddings: (2, D), one row each.
        prior: share of same-hand pairs that the probability is for.

    Raises:
        MorelliError: the prior is not between 0 and 1.
    """
    check_prior(prior)
    card = network.card
    score = float(network.scorer.pairwise_distance(embeddings[:1], embeddings[1:]))
    copies = "file" if a.sha256 == b.sha256 else "picture" if Looks([b.look]).copies_of(a.look) else None
    threshold = None if copies else card.threshold
    calibration = Calibration.from_dict(card.calibration) if card.calibration and not copies else None
    rates = ErrorRates.of(card)
    return Comparison(
        a.name,
        b.name,
        score,
        card.threshold,
        None if threshold is None else score >= threshold,
        prior,
        float(calibration.probability(score, prior)) if calibration else None,
        copies,
        rates,
        tuple(_notes(card, (a, b), copies, rates)),
    )


def check_prior(prior: float) -> None:
    """Refuse an impossible prior.

    Raises:
        MorelliError: it is not between 0 and 1.
    """
    if not 0 < prior < 1:
        raise MorelliError(f"The prior is the share of same-hand pairs, between 0 and 1; it cannot be {prior}.")


def was_trained_on(card: NetworkCard, picture: Facts) -> bool:
    """Whether the picture's file is one that the network was trained on."""
    return picture.sha256[:16] in card.training_paintings


def _notes(card: NetworkCard, pictures: tuple[Facts, Facts], copies: str | None, rates: ErrorRates | None) -> list[str]:
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
        remedy = (
            "train it again to know" if card.threshold is not None else "train it again, with more validation artists"
        )
        notes.append(f"How often this network is wrong on unseen artists stands nowhere in it; {remedy}.")
    for letter, picture in zip("AB", pictures, strict=True):
        if was_trained_on(card, picture):
            notes.append(
                f"{letter} is one of the paintings the network was trained on; the probability does not hold for it."
            )
    return notes


def percent(share: float) -> str:
    """As many digits as tell something: 1.3 %, 62 %, 99.2 %."""
    digits = 0 if 0.1 <= share <= 0.9 else 1 if 0.01 <= share <= 0.99 else 2
    return f"{100 * share:.{digits}f} %"


def _rate(rate: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{100 * rate:.1f} %"
    return f"{100 * rate:.1f} % ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
