"""Scenarios for ``file_kills.wrong_at_once``: what two people may do at one time with one folder, index or cache."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "gallery"))
from killed_index import PAINTERS, Changed, Enrolled, Fresh, paint

from killed_commands import Bench, Export, Prepare, PrepareMore, Report, Submit, Synthesize, Train, made_in, tiny_recipe
from morelli.bench.runner import bench
from morelli.gallery.index import PictureIndex

__all__ = [
    "Bench",
    "Changed",
    "Enrolled",
    "Export",
    "Fresh",
    "Prepare",
    "PrepareMore",
    "Report",
    "Submit",
    "Synthesize",
]
__all__ += ["Train"]


class EnrolledSecond(Enrolled):
    """As :class:`Enrolled`; whoever is first enrolled stands first."""

    @staticmethod
    def found(place: Path) -> Any:
        store = PictureIndex.load(place / "an.index").artists
        rows = zip(store.pictures["artist"], store.pictures["sha256"], store.embeddings.tolist(), strict=True)
        return sorted(map(list, rows))


class EnrolledThird(EnrolledSecond):
    """Another artist than :class:`Enrolled` enrols."""

    @staticmethod
    def work(place: Path) -> None:
        paint(place / "third", range(60, 64))
        PAINTERS.enroll(place / "an.index", "Third", place / "third")


class IndexBeside(Enrolled):
    """New pictures are indexed while an artist is enrolled."""

    @staticmethod
    def start(place: Path) -> None:
        Enrolled.start(place)
        paint(place / "pictures", range(9, 30))

    @staticmethod
    def work(place: Path) -> None:
        PAINTERS.index(place / "pictures", place / "an.index")


class SearchBeside(IndexBeside):
    """The index is searched all the while."""

    @staticmethod
    def work(place: Path) -> None:
        for _ in range(20):
            assert len(PAINTERS.search(place / "an.index", place / "pictures" / "00.png").copies) == 1


class OtherBench(Bench):
    """The same networks in other run folders, by the same cache of features."""

    @staticmethod
    def work(place: Path) -> None:
        runs = bench(tiny_recipe(made_in(place.parent)), place / "other-runs")
        assert [run.failure for run in runs] == [None, None]
