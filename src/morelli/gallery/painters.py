"""``Painters``: a trained network at work on one's own pictures."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
from PIL import Image
from torch import Tensor

from morelli._file_names import printable
from morelli.errors import MorelliError
from morelli.gallery.compare import Comparison, compare
from morelli.gallery.enrolled import EnrolledArtist, enrolled, remove, rename
from morelli.gallery.explain import Explanation, explain
from morelli.gallery.export import Exported, export
from morelli.gallery.identify import Answer, Enrolment, Identifier, enroll
from morelli.gallery.index import PictureIndex, index_folder
from morelli.gallery.listing import IndexSummary
from morelli.gallery.pictures import LoadedPicture, Picture, PictureInfo, open_picture
from morelli.gallery.reader import Reader
from morelli.gallery.scoring import Cohort, Scoring, can_be_own_cohort, read_cohort, read_folder
from morelli.gallery.search import Searcher, SearchResult
from morelli.gallery.sets import Outliers, PaintingSet, SetComparison, compare_sets, outliers
from morelli.gallery.verdict import Verdict
from morelli.models.model_folder import model_folder
from morelli.models.network import Network
from morelli.models.packaged import DEFAULT, packaged_version

_Answer = TypeVar("_Answer", Comparison, SearchResult, Answer)


class Painters:
    """A trained network at work on one's own pictures.

    Wherever pictures are taken, each may be a path, a Pillow image, or an array of uint8, (height, width, 3) in RGB.
    Pictures are turned upright as their EXIF says and shrunk to the size that the network was trained at.

    Args:
        network: the network.
        model: the folder it was loaded from, or its name among the packaged ones; an index notes it.
    """

    def __init__(self, network: Network, model: str | Path) -> None:
        self.model: str | Path = model if packaged_version(model) else Path(model)
        self._reader = Reader(network)
        self._searchers: dict[tuple[Path, str], tuple[Searcher, Cohort | None]] = {}

    @classmethod
    def load(cls, model: str | Path = DEFAULT) -> "Painters":
        """Load a network: a packaged one by its name, a run folder, its ``model`` folder, or the hub's ``owner/name``.

        Raises:
            MorelliError: there is no whole model.
        """
        folder = model_folder(model)
        is_here = packaged_version(model) or Path(model).exists()
        return cls(Network.load(folder), model if is_here else folder)

    @classmethod
    def of_index(cls, index: str | Path, model: str | Path | None = None) -> "Painters":
        """Load the model that an index was made with.

        Args:
            index: the index.
            model: where the model lies now, if it was moved.

        Raises:
            MorelliError: no index, no model, or the model is another one.
        """
        found = PictureIndex.load(index)
        place = model or found.model
        if not model and not packaged_version(place) and not Path(place).is_dir():
            raise MorelliError(
                f"The model of {index} is gone from {place}. If it was moved, give its new place with --model."
            )
        painters = cls.load(place)
        found.check(painters.fingerprint, f"the one in {place}")
        return painters

    @property
    def network(self) -> Network:
        """The network."""
        return self._reader.network

    @property
    def fingerprint(self) -> str:
        """A digest of all that determines a picture's embedding, but for the versions of the libraries."""
        return self._reader.fingerprint

    def embed(self, pictures: Picture | Sequence[Picture]) -> Tensor:
        """Embed one picture or several: (N, D) float32 on the CPU, one row each.

        Raises:
            MorelliError: a picture cannot be used; it is named, with the reason.
        """
        return self._embed(self._open(_listed(pictures)))

    @overload  # a str is a sequence of str too, but it comes first
    def compare(  # type: ignore[overload-overlap]
        self, a: Picture, b: Picture, *, prior: float = 0.5, cohort: str | Path = "none"
    ) -> Comparison: ...
    @overload
    def compare(
        self, a: Sequence[Picture], b: Sequence[Picture], *, prior: float = 0.5, cohort: str | Path = "none"
    ) -> list[Comparison]: ...
    def compare(
        self,
        a: Picture | Sequence[Picture],
        b: Picture | Sequence[Picture],
        *,
        prior: float = 0.5,
        cohort: str | Path = "none",
    ) -> Comparison | list[Comparison]:
        """Say whether two pictures are by the same hand, and how often such an answer is wrong.

        Args:
            a, b: a picture each, or two lists of one length that are compared pair by pair.
            prior: share of such pairs that are by one hand, before one looks; the probability depends on it.
            cohort: what scores are normalised by: a folder of pictures like these, or an index of them, by whomever;
                ``training`` paintings; or ``none``. See docs/evidence.md.

        Raises:
            MorelliError: a picture cannot be used, an impossible prior, or lists of different lengths.
        """
        left, right = _listed(a), _listed(b)
        if len(left) != len(right):
            raise MorelliError(
                f"Two lists are compared pair by pair; these have {len(left)} and {len(right)} pictures."
            )
        opened = self._open([*left, *right])
        told = self._compared(opened[: len(left)], opened[len(left) :], prior, cohort)
        return told[0] if _is_one(a) and _is_one(b) else told

    def _compared(
        self, left: Sequence[LoadedPicture], right: Sequence[LoadedPicture], prior: float, cohort: str | Path
    ) -> list[Comparison]:
        pairs = [(a.info, b.info) for a, b in zip(left, right, strict=True)]
        scorings = self._scorings(self._cohort(cohort), pairs)
        embeddings, notes = self._judged([*left, *right], ["A"] * len(left) + ["B"] * len(right))
        told = []
        for place, (scoring, pair) in enumerate(zip(scorings, pairs, strict=True)):
            both = [place, place + len(left)]
            answer = compare(scoring, self.network.card, *pair, embeddings[both], prior)
            told.append(_noted(answer, *(notes[one] for one in both)))
        return told

    def compare_sets(
        self,
        a: str | Path | Sequence[Picture],
        b: str | Path | Sequence[Picture],
        *,
        prior: float = 0.5,
        cohort: str | Path = "none",
    ) -> SetComparison:
        """Say whether two sets of paintings are by the same hand, each being by one; copies within a set count once.

        Args:
            a, b: a folder of pictures, at any depth; a picture; or a list of pictures.
            prior: share of such pairs of sets that are by one hand.
            cohort: as in :meth:`compare`.

        Raises:
            MorelliError: no usable picture, one painting on each side, or a network that learned nothing of sets.
        """
        first, second = self._set(a), self._set(b)
        (scoring,) = self._scorings(self._cohort(cohort), [[*first.pictures, *second.pictures]])
        return compare_sets(scoring, self.network.card, first, second, prior)

    def outliers(self, paintings: str | Path | Sequence[Picture], *, cohort: str | Path = "none") -> Outliers:
        """Say which paintings fit the others least: each compared with all others, the least likely first.

        Args:
            paintings: a folder of pictures, at any depth, or a list; three different ones or more.
            cohort: as in :meth:`compare`.

        Raises:
            MorelliError: too few usable pictures, or a network that learned nothing of sets.
        """
        one = self._set(paintings)
        (scoring,) = self._scorings(self._cohort(cohort), [one.pictures])
        return outliers(scoring, self.network.card, one)

    def explain(self, a: Picture, b: Picture) -> Explanation:
        """Show which regions of two pictures speak for one hand; some 400 passes through the network."""
        first, second = self._open([a, b])
        return explain(self._reader, first.rgb, second.rgb)

    def verdict(
        self,
        a: Picture,
        b: Picture,
        *,
        prior: float = 0.5,
        cohort: str | Path = "none",
        proceed: Callable[[], None] = lambda: None,
    ) -> Verdict:
        """Compare two pictures and explain it, for a page: ``painters.verdict(a, b).write("verdict.html")``.

        Args and errors as of :meth:`compare`; ``proceed`` is called again and again, and what it raises ends the work.
        """
        first, second = self._open([a, b])
        (compared,) = self._compared([first], [second], prior, cohort)
        explained = explain(self._reader, first.rgb, second.rgb, proceed)
        return Verdict(compared, (first, second), explained, self.network.card, str(self.model), self.fingerprint)

    def index(self, folder: str | Path, out: str | Path | None = None, *, ray: str | None = None) -> IndexSummary:
        """Embed a folder's pictures, at any depth; later calls only those that are new or have changed.

        Args:
            folder: the pictures.
            out: the index; by default beside the folder, named after it.
            ray: the address of a Ray cluster that embeds them, or ``local``; then also Parquet files, or a bucket.

        Raises:
            MorelliError: no usable picture, ``out`` is of another model or of other pictures, or no cluster answers.
        """
        listing = None
        if ray:
            from morelli.gallery.cluster import RayListing

            listing = RayListing(ray, self.model, self._reader)
        done = index_folder(self._reader, self.model, Path(folder), Path(out) if out else None, listing)
        self._searchers.clear()
        return done

    @overload
    def search(  # type: ignore[overload-overlap]
        self, index: str | Path, pictures: Picture, k: int = 12, *, prior: float = 0.5, cohort: str | Path | None = None
    ) -> SearchResult: ...
    @overload
    def search(
        self,
        index: str | Path,
        pictures: Sequence[Picture],
        k: int = 12,
        *,
        prior: float = 0.5,
        cohort: str | Path | None = None,
    ) -> list[SearchResult]: ...
    def search(
        self,
        index: str | Path,
        pictures: Picture | Sequence[Picture],
        k: int = 12,
        *,
        prior: float = 0.5,
        cohort: str | Path | None = None,
    ) -> SearchResult | list[SearchResult]:
        """Find what looks like a picture, exactly; copies of it are listed apart.

        An index is read on the first search and kept in memory.

        Args:
            index: made by :meth:`index` with this network.
            pictures: one, or several for a list of results.
            k: matches wanted for each.
            prior: share of same-hand pairs that the probabilities are for.
            cohort: as in :meth:`compare`; by default the index itself, where it has more than 20 pictures.

        Raises:
            MorelliError: a picture cannot be used, or the index is missing, damaged or made by another network.
        """
        key = Path(index).resolve(), str(cohort)
        opened = self._open(_listed(pictures))
        if key not in self._searchers:
            found = self._index(index)
            self._searchers[key] = Searcher(self.network.scorer, found), self._cohort(cohort, found)
        searcher, compared_with = self._searchers[key]
        told = [
            _noted(searcher.search(scoring, query, embedding, k, prior), note)
            for scoring, query, embedding, note in self._queries(opened, compared_with)
        ]
        return told[0] if _is_one(pictures) else told

    def enroll(self, index: str | Path, artist: str, folder: str | Path, *, replace: bool = False) -> Enrolment:
        """Add an artist to an index from some paintings, without training. Copies of one painting count once.

        Args:
            index: made by :meth:`index` with this network.
            artist: the name; which spellings are the same artist's says :func:`morelli.data.artists.artist_key`.
            folder: the paintings, at any depth.
            replace: enrol an artist anew who is enrolled already.

        Raises:
            MorelliError: no usable picture, an artist who is enrolled already, a painting that is enrolled under
                another name, or an index of another network.
        """
        return enroll(self._reader, self._index(index), artist, Path(folder), replace=replace)

    def enrolled(self, index: str | Path) -> list[EnrolledArtist]:
        """The artists that are enrolled in an index, by name, and by how many paintings each."""
        return enrolled(self._index(index))

    def rename(self, index: str | Path, artist: str, new: str) -> EnrolledArtist:
        """Give an enrolled artist another name, which no other has; the paintings stay."""
        return rename(self._index(index), artist, new)

    def remove(self, index: str | Path, artist: str) -> EnrolledArtist:
        """Take an artist with all paintings out of those that are enrolled."""
        return remove(self._index(index), artist)

    @overload
    def identify(  # type: ignore[overload-overlap]
        self, index: str | Path, pictures: Picture, *, prior: float = 0.5, cohort: str | Path | None = None
    ) -> Answer: ...
    @overload
    def identify(
        self, index: str | Path, pictures: Sequence[Picture], *, prior: float = 0.5, cohort: str | Path | None = None
    ) -> list[Answer]: ...
    def identify(
        self,
        index: str | Path,
        pictures: Picture | Sequence[Picture],
        *,
        prior: float = 0.5,
        cohort: str | Path | None = None,
    ) -> Answer | list[Answer]:
        """Say whose hand a picture is by, among the enrolled artists, or that it is by none of them.

        Args:
            index: made by :meth:`index` with this network, with artists added by :meth:`enroll`.
            pictures: one, or several for a list of answers.
            prior: share of pictures that are by one of the enrolled artists, before one looks.
            cohort: as in :meth:`search`.

        Raises:
            MorelliError: a picture cannot be used, no artist is enrolled, or an index of another network.
        """
        opened, found = self._open(_listed(pictures)), self._index(index)
        identifier = Identifier(self.network.card, found)
        told = [
            _noted(identifier.identify(scoring, query, embedding, prior), note)
            for scoring, query, embedding, note in self._queries(opened, self._cohort(cohort, found))
        ]
        return told[0] if _is_one(pictures) else told

    def export(self, path: str | Path) -> Exported:
        """Write the network as ONNX, and beside it, in ``<path>.json``, all that one must know to use it.

        Raises:
            MorelliError: the extra ``export`` is not installed, or the network cannot be exported truly.
        """
        return export(self._reader, Path(path))

    def _index(self, path: str | Path) -> PictureIndex:
        found = PictureIndex.load(path)
        found.check(self.fingerprint, f"the one in {self.model}")
        return found

    def _cohort(self, cohort: str | Path | None, index: PictureIndex | None = None) -> Cohort | None:
        """A named cohort; the index's own pictures where none is named and they can be."""
        if cohort is None and index is not None and can_be_own_cohort(self.network, index):
            return Cohort.of_index(index)
        return read_cohort(self._reader, "none" if cohort is None else cohort)

    def _scorings(self, cohort: Cohort | None, groups: Iterable[Sequence[PictureInfo]]) -> list[Scoring]:
        """The way of scoring each group of pictures that are compared: its own copies do not count in the cohort."""
        left_out = [cohort.copies_of(group) if cohort else frozenset() for group in groups]
        made = {out: Scoring.of(self.network, cohort, out) for out in set(left_out)}
        return [made[out] for out in left_out]

    def _queries(
        self, opened: Sequence[LoadedPicture], cohort: Cohort | None
    ) -> Iterator[tuple[Scoring, PictureInfo, Tensor, str]]:
        """Each picture with its way of scoring, its embedding and the note on its kind."""
        infos = [one.info for one in opened]
        scorings = self._scorings(cohort, [[one] for one in infos])
        return zip(scorings, infos, *self._judged(opened, ["The picture"] * len(opened)), strict=True)

    def _judged(self, opened: Sequence[LoadedPicture], names: Sequence[str]) -> tuple[Tensor, list[str]]:
        """Embeddings, and for each picture that is of another kind than paintings a note that says so; else ""."""
        embeddings, unlike = self._reader.embed_and_judge([one.rgb for one in opened])
        said = "is unlike the paintings that the network was validated on: what is said here need not hold for it."
        return embeddings, [f"{name} {said}" if one else "" for name, one in zip(names, unlike, strict=True)]

    def _set(self, paintings: str | Path | Sequence[Picture]) -> PaintingSet:
        if isinstance(paintings, str | Path) and Path(paintings).is_dir():
            pictures, embeddings = read_folder(self._reader, Path(paintings), "paintings")
            return PaintingSet.of(printable(str(paintings)), pictures, embeddings)
        opened = self._open(_listed(paintings))
        infos = [one.info for one in opened]
        name = infos[0].name + (f" and {len(infos) - 1} more" if len(infos) > 1 else "")
        return PaintingSet.of(name, infos, self._embed(opened))

    def _open(self, pictures: Sequence[Picture]) -> list[LoadedPicture]:
        if not pictures:
            raise MorelliError("No picture was given.")
        return [open_picture(picture, self._reader.size) for picture in pictures]

    def _embed(self, opened: Sequence[LoadedPicture]) -> Tensor:
        return self._reader.embed([one.rgb for one in opened])


def _noted(answer: _Answer, *notes: str) -> _Answer:
    return replace(answer, notes=(*answer.notes, *filter(None, notes)))


def _is_one(pictures: Picture | Sequence[Picture]) -> bool:
    return isinstance(pictures, str | Path | Image.Image | np.ndarray)


def _listed(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    return [pictures] if _is_one(pictures) else list(pictures)  # type: ignore[list-item, arg-type]
