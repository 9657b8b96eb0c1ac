"""Synthetic painters: paintings that only the hand tells apart, with no account, no download and no network.

Each artist has a hand (:mod:`morelli.synthetic.hands`): palette, strokes, canvas. What a painting shows
(:mod:`morelli.synthetic.scenes`) is drawn without looking at the artist, so subjects say nothing about who painted.
"""
# ruff: noqa: SIM905  (lists of words read best as sentences)

import hashlib
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from PIL import Image

from morelli._csv import write_csv
from morelli._files import is_free, remove_leftovers, written_whole
from morelli._json import read_json, write_json
from morelli._progress import progress_bar
from morelli._workers import process_pool
from morelli.data.artists import artist_key
from morelli.data.copies import with_copies
from morelli.data.prepared import LEFT_OUT, TABLE, picture_file, read_left_out, write_paintings
from morelli.errors import MorelliError
from morelli.synthetic.brush import paint
from morelli.synthetic.hands import draw_hand
from morelli.synthetic.scenes import SUBJECTS, compose

PARAMETERS = "synthetic.json"
GENERATOR = 1  # raised whenever the same parameters would paint other pictures
_JPEG_QUALITY = 92
_LIMITS = {"artists": (2, 20_000), "paintings_per_artist": (1, 10_000), "size": (32, 1024), "seed": (0, 2**63)}
_HAND, _LIFE, _SUBJECT, _SCENE, _DAY = range(5)  # independent streams of random numbers
_FIRST = (
    "Ada Agnès Aldo Alma Anneke Anton Ásta Aurel Beata Bela Bruno Carla Cosima Dagny Dario Edda Elio Emil Enzo Esther "
    "Fabian Flora Gerda Gil Greta Hanna Hugo Ida Ilse Ines Ivo Jana Joris Juno Karel Katya Lars Leonie Livia Luc Magda "
    "Marcel Maren Milo Mina Nadia Nils Noor Oda Olivier Otto Paola Petra Quirin Ragna Renzo Rosa Saskia Selma Silas "
    "Sofía Sven Tilda Tomas Ulla Vera Viktor Wanda Xenia Yvo Zdeněk Zora"
).split()
_ONSETS = ("B Br C Cr D Dr F Fl G Gr H J K Kr L M N P Pr R S Sch St T Tr V Vl W Z").split()
_MIDDLES = "a al an ar e el en er i il in o ol on or u ul un ö é au ei".split()
_ENDS = (
    "bach beck berg bert dahl den der dorf felt gren heim holm kamp ková lin lund mann mar met mond nard nau ner quist "
    "rand rini rost sen sky son stad stein stra tano ter tini tov vall velt vic viezzi wald witz zano"
).split()
_INITIALS = "ABCDEFGHJKLMNOPRSTVW"


@dataclass(frozen=True)
class SyntheticPainters:
    """A deterministic generator of painters and their paintings.

    The same parameters give the same pictures, whatever the number of processes; artist i of a seed is the same
    painter however many artists there are. Another seed gives other painters under other names.

    Args:
        artists: number of painters, at least 2.
        paintings_per_artist: paintings by each.
        size: pixels on the shorter side of a painting, at least 32.
        seed: not negative.

    Raises:
        MorelliError: a parameter is not a whole number or is out of bounds.
    """

    artists: int = 60
    paintings_per_artist: int = 20
    size: int = 160
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise MorelliError(
                    f"Synthetic painters: {name} is {value!r}. Give a whole number from {least:,} to {most:,}."
                )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The artists' invented names, all different when case and accents are folded."""
        return _names(self.artists, np.random.default_rng([self.seed, len(_LIMITS)]))

    def subject(self, artist: int, painting: int) -> str:
        """What a painting shows: one of "horizon", "portrait", "still life", "abstract"."""
        return SUBJECTS[self._random(_SUBJECT, artist, painting).integers(len(SUBJECTS))]

    def paint(self, artist: int, painting: int) -> Image.Image:
        """Paint one picture: RGB, ``size`` pixels on its shorter side.

        Args:
            artist: from 0.
            painting: from 0.

        Raises:
            MorelliError: there is no such artist or painting.
        """
        for name, number, end in (("artist", artist, self.artists), ("painting", painting, self.paintings_per_artist)):
            if not 0 <= number < end:
                raise MorelliError(f"Synthetic painters: there is no {name} {number}; they run from 0 to {end - 1}.")
        scene = compose(self.subject(artist, painting), self.size, self._random(_SCENE, artist, painting))
        day = self._random(_DAY, artist, painting)
        hand = draw_hand(self._random(_HAND, artist)).on_another_day(day)
        return Image.fromarray(paint(scene, hand, day))

    def write(self, out: Path, workers: int | None = None) -> None:
        """Write all paintings as a prepared folder, with progress on stderr.

        A call that was interrupted is taken up where it stopped; a finished folder is left alone.

        Args:
            out: folder to make.
            workers: processes to paint with, one for each core when not given; with 1 none is started.

        Raises:
            MorelliError: ``out`` holds something else or cannot be written, or ``workers`` is less than 1.
        """
        if workers is not None and workers < 1:
            raise MorelliError(f"Synthetic painters: workers is {workers}. Give 1 or more.")
        out = Path(out)
        try:
            self._claim(out)
            if not (out / TABLE).is_file():
                for folder in out.glob("images/*"):
                    remove_leftovers(folder)
                pictures = pd.DataFrame(self._write_pictures(out, workers or cpu_count()))
                write_csv(out / LEFT_OUT, read_left_out(out)[:0])
                write_paintings(out, with_copies(out, self._describe().merge(pictures, on="id")))
        except OSError as error:
            raise MorelliError(
                f"{out} cannot be written: {error}. Make room or choose another folder; "
                "what is painted already is kept, and the same call goes on from there."
            ) from error
        except BrokenProcessPool as error:
            raise MorelliError(
                "A painting process ended too early: memory ran out, or a script calls write() outside "
                "\"if __name__ == '__main__':\". Give workers=1 to paint without other processes; "
                "what is painted already is kept."
            ) from error

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *stream])

    def _claim(self, out: Path) -> None:
        """Make the folder, or see that it is this generator's own."""
        wanted = {"generator": GENERATOR, **asdict(self)}
        path = out / PARAMETERS
        if path.is_file():
            found = read_json(path, dict[str, int], "Choose another folder.")
            if found != wanted:
                theirs, ours = (", ".join(f"{name} {value}" for name, value in one.items()) for one in (found, wanted))
                raise MorelliError(
                    f"{out} holds other synthetic painters: {theirs}; wanted: {ours}. Choose another folder."
                )
        elif not is_free(out):
            raise MorelliError(f"{out} is there already and is not a folder of synthetic painters. Choose another.")
        else:
            write_json(path, wanted)

    def _write_pictures(self, out: Path, workers: int) -> list[dict[str, Any]]:
        write_artist, artists = partial(_write_artist, self, out), range(self.artists)
        pictures: list[dict[str, Any]] = []
        with ExitStack() as stack:
            progress = stack.enter_context(progress_bar(lasting=True))
            task = progress.add_task("painting", total=self.artists * self.paintings_per_artist)
            use = map if workers == 1 else stack.enter_context(process_pool(min(workers, self.artists))).map
            for written in use(write_artist, artists):
                pictures += written
                progress.advance(task, len(written))
        return pictures

    def _describe(self) -> pd.DataFrame:
        """The table of paintings, without what only the picture's file tells."""
        table = pd.DataFrame(row for artist in range(self.artists) for row in self._catalogue(artist))
        table["file"] = table["id"].map(picture_file)
        return table.assign(artist_group=None, in_train=None, source="synthetic", status="ok")

    def _catalogue(self, artist: int) -> Iterable[dict[str, Any]]:
        life = self._random(_LIFE, artist)
        born, style = int(life.integers(1780, 1930)), draw_hand(self._random(_HAND, artist)).family
        counts = dict.fromkeys(SUBJECTS, 0)
        for painting in range(self.paintings_per_artist):
            subject = self.subject(artist, painting)
            counts[subject] += 1
            year, certainty = born + int(life.integers(18, 75)), life.random()
            yield {
                "id": _identity(artist, painting),
                "artist": self.names[artist],
                "title": f"{subject.capitalize()} no. {counts[subject]}",
                "style": style,
                "genre": subject,
                "date": None if certainty < 0.1 else f"c.{year}" if certainty < 0.3 else str(year),
            }


def _names(count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Invent different names; the first ones do not depend on how many are asked for.

    There are about 40 million, so painters of two seeds hardly ever share one.
    """
    names: dict[str, str] = {}
    while len(names) < count:
        first, initial, onset, middle, end = (
            part[rng.integers(len(part))] for part in (_FIRST, _INITIALS, _ONSETS, _MIDDLES, _ENDS)
        )
        name = f"{first} {initial}. {onset}{middle}{end}"
        names.setdefault(artist_key(name), name)
    return tuple(names.values())


def _identity(artist: int, painting: int) -> str:
    return f"{artist:04d}-{painting:03d}"


def _write_artist(painters: SyntheticPainters, out: Path, artist: int) -> list[dict[str, Any]]:
    """Write an artist's paintings that are not there yet, and tell of all of them."""
    pictures = []
    for painting in range(painters.paintings_per_artist):
        identity = _identity(artist, painting)
        path = out / picture_file(identity)
        if not path.is_file():
            with written_whole(path, durable=False) as temporary:
                painters.paint(artist, painting).save(temporary, quality=_JPEG_QUALITY)
        with Image.open(path) as picture:
            width, height = picture.size
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pictures.append({"id": identity, "width": width, "height": height, "sha256": digest})
    return pictures
