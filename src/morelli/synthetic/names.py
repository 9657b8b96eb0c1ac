"""Invented names of synthetic painters."""
# ruff: noqa: SIM905  (lists of words read best as sentences)

import numpy as np

from morelli.data.artists import artist_key

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


def invent(count: int, rng: np.random.Generator) -> tuple[str, ...]:
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
