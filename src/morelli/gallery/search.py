"""Search in an index: exact nearest neighbours of a picture, its copies apart from matches of style."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from morelli._file_names import printable, unescaped
from morelli.data.hashes import DHashes
from morelli.errors import MorelliError
from morelli.evaluation.calibration import Calibration, check_prior
from morelli.gallery.compare import CAVEAT
from morelli.gallery.index import PictureIndex
from morelli.gallery.pictures import PictureInfo
from morelli.gallery.scoring import LikelihoodRatio, Scoring, percent
from morelli.models.heads import DistanceScorer, Scorer


@dataclass(frozen=True)
class Match:
    """A picture that was found.

    Attributes:
        file: relative to the index's folder.
        path: where it lies.
        lr: the likelihood ratio; None for a copy, or without a calibration.
        score: how alike the hands are, in the network's own terms.
        probability: of the same hand; None as the ratio.
        also: copies of this picture, which are not listed again.
    """

    file: str
    path: Path
    lr: LikelihoodRatio | None
    score: float
    probability: float | None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """What was found for one picture.

    Attributes:
        query: the picture's name.
        searched: pictures in the index.
        prior: share of same-hand pairs that the probabilities are for.
        copies: of the query itself, in the index.
        matches: other pictures, nearest first.
        cohort: what scores are normalised by: ``none``, ``training``, or a folder or index.
        cohort_pictures: how many pictures that has; None without a cohort.
        notes: what a reader must know.
    """

    query: str
    searched: int
    prior: float
    copies: tuple[Match, ...]
    matches: tuple[Match, ...]
    cohort: str
    cohort_pictures: int | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        for kind in ("copies", "matches"):
            for match, of in zip(values[kind], getattr(self, kind), strict=True):
                del match["lr"]
                match |= LikelihoodRatio.fields(of.lr) | {"path": printable(str(of.path))}
        return {**values, "caveat": CAVEAT}

    def text(self) -> str:
        """What the command prints."""
        lines = [f"{self.query}, among {self.searched:,} pictures"]
        if self.copies:
            lines += ["Copies of the picture itself:", *(f"  {copy.file}" for copy in self.copies)]
        if any(match.probability is not None for match in self.matches):
            lines.append(
                f"Nearest: log10 LR, probability of the same hand (if {percent(self.prior)} of pairs are), score:"
            )
        for place, match in enumerate(self.matches, 1):
            chance = "" if match.probability is None else f"{percent(match.probability):>8}"
            chance = f"{match.lr.log10:7.2f}{chance}" if match.lr else chance
            also = f"  (also {', '.join(match.also)})" if match.also else ""
            lines.append(f"{place:4d}{chance}  {match.score:7.3f}  {match.file}{also}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), CAVEAT])


class Nearest:
    """Embeddings, (N, D), to find the nearest in, by Euclidean distance or else by cosine: one product, one top k."""

    def __init__(self, embeddings: Tensor, by_distance: bool) -> None:
        self._by_distance = by_distance
        self._embeddings = embeddings if by_distance else functional.normalize(embeddings, dim=1)
        self._half_squares = embeddings.square().sum(1) / 2 if by_distance else 0.0

    def find(self, query: Tensor, k: int) -> np.ndarray:
        """The places (k,) of the nearest to ``query`` (D,), nearest first; ties in the order of the places."""
        query = query if self._by_distance else functional.normalize(query, dim=0)
        closeness = self._embeddings @ query - self._half_squares  # orders as −‖query − embedding‖ does
        best, places = closeness.topk(min(k, len(self._embeddings)))
        found: np.ndarray = places.numpy()[np.lexsort((places.numpy(), -best.numpy()))]
        return found


class Searcher:
    """An index in memory, ready to be searched again and again.

    Who is nearest is decided by the geometry that the bench measures retrieval in: Euclidean distance for a distance
    scorer, the cosine for every other, a pair head's too. The network's own score and the probability then come from
    its scorer, for the pictures that are shown.
    """

    def __init__(self, scorer: Scorer, index: PictureIndex) -> None:
        self.index = index
        pictures = index.pictures.pictures
        self._files = list(pictures["file"])
        self._hashes = DHashes(list(pictures["look"]))
        self._sha256 = np.array(pictures["sha256"], dtype=str)
        self._group = pictures["copy_of"].fillna(pictures["file"]).to_numpy()
        self._nearest = Nearest(index.pictures.embeddings, isinstance(scorer, DistanceScorer))

    def search(self, scoring: Scoring, query: PictureInfo, embedding: Tensor, k: int, prior: float) -> SearchResult:
        """Find the ``k`` nearest pictures of a query by its embedding, (D,); see ``Painters.search``."""
        if k < 1:
            raise MorelliError(f"-k is the number of pictures to find, at least 1; it cannot be {k}.")
        check_prior(prior)
        self.index.check_width(len(embedding))
        same_file = np.flatnonzero(self._sha256 == query.sha256).tolist()
        copies = sorted({*self._hashes.copies_of(query.hash), *same_file})
        found = self._distinct(embedding, k, {self._group[place] for place in copies})
        places = [*copies, *(group[0] for group in found)]
        with torch.inference_mode():
            scores = scoring.scorer.matrix(embedding[None], self.index.pictures.embeddings[places])[0].tolist()
        calibration = scoring.calibration
        return SearchResult(
            query.name,
            len(self._files),
            prior,
            tuple(self._match([place], score, None, prior) for place, score in zip(copies, scores, strict=False)),
            tuple(self._match(*pair, calibration, prior) for pair in zip(found, scores[len(copies) :], strict=True)),
            scoring.cohort,
            scoring.pictures,
            tuple(scoring.notes()),
        )

    def _distinct(self, query: Tensor, k: int, passed_over: set[str]) -> list[list[int]]:
        """The nearest ``k`` groups of copies, most of them of one picture, without those passed over."""
        wanted = k + len(passed_over)
        while True:
            places = self._nearest.find(query, wanted).tolist()
            groups: dict[str, list[int]] = {}
            for place in places:
                if self._group[place] not in passed_over:
                    groups.setdefault(self._group[place], []).append(place)
            if len(groups) >= k or len(places) == len(self._files):
                return list(groups.values())[:k]
            wanted *= 2

    def _match(self, places: list[int], score: float, calibration: Calibration | None, prior: float) -> Match:
        first, *others = (self._files[place] for place in places)
        probability = float(calibration.probability(score, prior)) if calibration else None
        ratio, path = LikelihoodRatio.of(calibration, score), self.index.folder / unescaped(first)
        return Match(first, path, ratio, score, probability, tuple(others))
