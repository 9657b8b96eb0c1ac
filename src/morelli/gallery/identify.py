"""Identification: whose hand is it, among artists enrolled from a few paintings each, or none of theirs?"""

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli._file_names import printable
from morelli.data.artists import artist_key
from morelli.data.hashes import DHashes, copy_groups
from morelli.errors import MorelliError
from morelli.evaluation.identification import Rates, artist_embedding
from morelli.gallery.compare import CAVEAT, was_trained_on
from morelli.gallery.index import ARTISTS, PictureIndex, as_store, list_pictures, refuse_empty
from morelli.gallery.pictures import PictureInfo
from morelli.gallery.reader import Reader
from morelli.gallery.scoring import Scoring, in_tens, percent
from morelli.gallery.store import Store, joined
from morelli.models.network import Network, NetworkCard
from morelli.preparation.attributions import unattributed

_SHOWN: Final = 5
_UNCALIBRATED: Final = (
    "This model was not calibrated for identification, so it ranks artists but gives no probability and names nobody. "
    "Train it again, with six validation artists or more."
)


@dataclass(frozen=True)
class Enrolment:
    """What :func:`enroll` did.

    Attributes:
        artist: the name.
        paintings: how many different paintings of the artist are enrolled.
        copies: groups of files that show one painting, which counts once.
        left_out: (file, reason) of pictures that cannot be used.
        notes: what a reader must know.
    """

    artist: str
    paintings: int
    copies: list[list[str]]
    left_out: list[tuple[str, str]]
    notes: list[str]

    def text(self) -> str:
        """What the command prints."""
        lines = [f"{self.artist}: {self.paintings} paintings enrolled."]
        lines += [f"One painting, counted once: {' = '.join(group)}" for group in self.copies]
        lines += [f"Left out: {file}: {reason}" for file, reason in self.left_out]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class Candidate:
    """An enrolled artist as an answer.

    Attributes:
        artist: the name.
        log10_lr: the log10 likelihood ratio: of the score if this artist painted it against if another did.
        probability: of this artist, against the others and none of them.
        score: as the way of scoring gives it.
        paintings: how many speak.
    """

    artist: str
    log10_lr: float | None
    probability: float | None
    score: float
    paintings: int


@dataclass(frozen=True)
class Answer:
    """Whose hand a picture is by.

    Attributes:
        query: the picture's name.
        artist: who is named; None for "none of these".
        prior: share of pictures by one of the enrolled artists that the probabilities are for.
        candidates: all enrolled artists, the likeliest first.
        none: the probability that it is by none of them; None if identification was not calibrated.
        threshold: the probability from which an artist is named.
        rates: what that threshold gave on validation artists.
        cohort: what scores are normalised by: ``none``, ``training``, or a folder or index.
        cohort_pictures: how many pictures that has; None without a cohort.
        notes: what a reader must know.
    """

    query: str
    artist: str | None
    prior: float
    candidates: tuple[Candidate, ...]
    none: float | None
    threshold: float | None
    rates: Rates | None
    cohort: str
    cohort_pictures: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "caveat": CAVEAT}

    def text(self) -> str:
        """What the command prints."""
        lines = [self.query, "", f"Answer: {self.artist or 'none of these' if self.none is not None else 'not known'}"]
        for place, candidate in enumerate(self.candidates[:_SHOWN], 1):
            chance = "" if candidate.probability is None else f"{percent(candidate.probability):>8}"
            chance += "" if candidate.log10_lr is None else f"  log10 LR {candidate.log10_lr:5.2f}"
            lines.append(f"{place:3d}{chance}  {candidate.artist} ({candidate.paintings} paintings)")
        if len(self.candidates) > _SHOWN:
            lines.append(f"   … and {len(self.candidates) - _SHOWN} more")
        if self.none is not None:
            lines.append(f"   {percent(self.none):>8}  none of these")
        lines += self._rates_text()
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), CAVEAT])

    def _rates_text(self) -> list[str]:
        if self.rates is None or self.threshold is None:
            return []
        rates = self.rates
        said = (
            f"These probabilities hold if {percent(self.prior)} of pictures are by one of the enrolled artists. An "
            f"artist is named from {percent(self.threshold)} on, at a prior of 50 %. On the validation artists that "
            f"this was chosen on ({rates.artists} enrolled, {rates.others} not), {percent(rates.answered)} of the "
            f"enrolled artists' paintings were given a name, {percent(rates.accuracy)} of these the right one; "
            f"{percent(rates.false_acceptance)} of the other artists' paintings were given a name wrongly."
        )
        return textwrap.wrap(said, 100)


def enroll(reader: Reader, index: PictureIndex, artist: str, folder: Path, *, replace: bool = False) -> Enrolment:
    """Add an artist from the pictures below a folder; copies of one painting count once. See ``Painters.enroll``."""
    artist = " ".join(artist.split())
    if not artist:
        raise MorelliError("An artist needs a name: --artist 'Berthe Morisot'.")
    _others(index, artist, replace)  # before any work is spent
    folder = folder.resolve()
    files, summary = list_pictures(folder, index.path.resolve())
    about = index.pictures.metadata.model_copy(update={"folder": "", "generation": 0})
    parts = [Store.empty(about)]
    for read in reader.read(folder, files, "enroll"):
        summary.left_out += read.left_out
        parts.append(as_store(read, about, artist))
    found = joined(parts)
    refuse_empty(found, folder, summary)
    groups = copy_groups(list(found.pictures["look"]), list(found.pictures["sha256"]))
    copies = [[found.pictures["file"][place] for place in group] for group in groups]
    repeated = {place for group in groups for place in group[1:]}
    found = found.take([place for place in range(len(found.pictures)) if place not in repeated])
    files_there = [str(Path(printable(str(folder))) / file) for file in found.pictures["file"]]
    with index.only_writer() as index:
        others = _others(index, artist, replace)
        _refuse_shared(index, others.pictures, found.pictures, artist)
        found = Store(found.pictures.assign(file=files_there), found.embeddings, about)
        joined([Store(others.pictures, others.embeddings, about), found]).write(index.path / ARTISTS)
    notes = _enrolment_notes(reader.network, artist, len(found.pictures))
    return Enrolment(artist, len(found.pictures), copies, summary.left_out, notes)


def _others(index: PictureIndex, artist: str, replace: bool) -> Store:
    """Who else is enrolled; refused if the artist is, and is not to be replaced."""
    before = index.artists
    is_same = before.pictures["artist"].map(artist_key).to_numpy() == artist_key(artist)
    if is_same.any() and not replace:
        raise MorelliError(
            f"{before.pictures['artist'][is_same].iloc[0]} is enrolled already, with {int(is_same.sum())} paintings. "
            "To take these pictures instead, add --replace."
        )
    return before.take(np.flatnonzero(~is_same)) if len(before.pictures) else before


def _refuse_shared(index: PictureIndex, others: pd.DataFrame, found: pd.DataFrame, artist: str) -> None:
    hashes = DHashes(list(others["look"])) if len(others) else None
    for file, hash_ in zip(found["file"], found["look"], strict=True):
        if hashes and (places := hashes.copies_of(hash_)):
            there = others.iloc[places[0]]
            raise MorelliError(
                f"{file} is enrolled already, as a painting by {there['artist']} ({there['file']}). It cannot be by "
                f"{artist} too: take it out of one of the two folders, or mend the name of who is enrolled: "
                f'morelli enroll {index.path} --rename "{there["artist"]}" "{artist}"'
            )


def _enrolment_notes(network: Network, artist: str, paintings: int) -> list[str]:
    notes = []
    if why := unattributed(artist):
        notes.append(f'"{artist}" stands for no one artist ({why}); its paintings speak as if they were by one hand.')
    if paintings == 1:
        notes.append("One painting says little of a hand; the answer's error rates will say how little.")
    if artist_key(artist) in {artist_key(name) for name in network.card.training_artists}:
        notes.append(
            f"The network was trained on paintings by {artist}. Its probabilities and error rates are for artists it "
            "has never seen; it will be surer of this one than they say."
        )
    return notes if network.card.identification else [*notes, _UNCALIBRATED]


class Identifier:
    """The enrolled artists in memory."""

    def __init__(self, card: NetworkCard, index: PictureIndex) -> None:
        pictures = index.artists.pictures
        if pictures.empty:
            raise MorelliError(
                f"No artist is enrolled in {index.path}. Do so with: morelli enroll {index.path} --artist NAME FOLDER"
            )
        self.card, self._index = card, index
        self._sha256 = pictures["sha256"].to_numpy()
        self._hashes = DHashes(list(pictures["look"]))
        self._embeddings = index.artists.embeddings
        keys = pictures["artist"].map(artist_key)
        self._artists = [str(name) for name in pictures["artist"].groupby(keys).first()]
        self._rows = [np.flatnonzero(keys == key).tolist() for key in sorted(keys.unique())]

    def identify(self, scoring: Scoring, query: PictureInfo, embedding: Tensor, prior: float) -> Answer:
        """Say whose hand a picture is by, from its embedding, (D,); see ``Painters.identify``."""
        self._index.check_width(len(embedding))
        notes = []
        itself = {*np.flatnonzero(self._sha256 == query.sha256).tolist(), *self._hashes.copies_of(query.hash)}
        speaking: dict[str, list[int]] = {}
        for artist, rows in zip(self._artists, self._rows, strict=True):
            others = [row for row in rows if row not in itself]
            if others:
                speaking[artist] = others
            if len(others) < len(rows):
                notes.append(
                    f"The picture itself is enrolled as a painting by {artist}. It was left out of the comparison"
                    + ("." if others else ", which leaves nothing of this artist to compare with.")
                )
        if not speaking:
            raise MorelliError(
                f"{query.name} is the only painting enrolled, and says nothing of itself. Enrol others by its artist."
            )
        if was_trained_on(self.card, query):
            notes.append("The network was trained on this painting; the probabilities do not hold for it.")
        counts = [len(rows) for rows in speaking.values()]
        with torch.inference_mode():
            artists = [artist_embedding(self._embeddings[rows], scoring.scorer) for rows in speaking.values()]
            scores = scoring.scorer.matrix(embedding[None], torch.stack(artists))[0].double().numpy()
        return self._answer(scoring, query.name, list(speaking), counts, scores, prior, notes)

    def _answer(
        self,
        scoring: Scoring,
        name: str,
        artists: list[str],
        counts: list[int],
        scores: np.ndarray,
        prior: float,
        notes: list[str],
    ) -> Answer:
        rules, cohort = scoring.identification, (scoring.cohort, scoring.pictures)
        notes = [*notes, *scoring.notes()]
        if rules is None:
            order = np.argsort(-scores, kind="stable")
            ranked = tuple(Candidate(artists[i], None, None, float(scores[i]), counts[i]) for i in order)
            return Answer(name, None, prior, ranked, None, None, None, *cohort, (*notes, _UNCALIBRATED))
        probabilities = rules.probabilities(scores[None], counts, prior)[0]
        at_half = rules.probabilities(scores[None], counts)[0]
        order = np.argsort(-probabilities[:-1], kind="stable")
        best = int(order[0])
        rule = rules.rule(counts[best])
        ranked = tuple(
            Candidate(
                artists[i],
                in_tens(rules.rule(counts[i]).log_likelihood_ratio(float(scores[i]))),
                float(probabilities[i]),
                float(scores[i]),
                counts[i],
            )
            for i in order
        )
        named = artists[best] if at_half[best] >= rule.threshold else None
        none = float(probabilities[-1])
        return Answer(name, named, prior, ranked, none, rule.threshold, rule.rates, *cohort, tuple(notes))
