"""Artists' names: which spellings are one artist's, how they are shown, and what most of an artist's paintings are."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from html import unescape
from typing import Any, Final, Literal
from urllib.parse import unquote

import numpy as np
import pandas as pd
from ftfy import fix_encoding

from morelli.errors import MorelliError

Kind = Literal["style", "genre"]
"""A column that says of a painting what others have in common with it."""
Grouping = Literal["source", "style", "genre"]
"""A column by which artists are put together in batches."""

_SEPARATORS: Final = str.maketrans(dict.fromkeys("_-.·・•‐‒–—―−'’‘ʼʻ`\"“”„«»()[]", " "))
_LETTERS: Final = str.maketrans(  # what Unicode does not take apart into a letter and its accent
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ı": "i"}
)
_GENERATIONS: Final = {
    "the elder": "the elder|the older|der altere|d ae?|le vieux|l ancien|l aine|il vecchio|el viejo|de oude",
    "the younger": "the younger|der jungere|d j|le jeune|il giovane|el joven|el mozo|de jonge",
    "jr": "jr|junior",
    "sr": "sr|senior",
    "ii": "ii|2nd",
    "iii": "iii|3rd",
}
_GENERATION: Final = re.compile(
    r"(?<=\S\S) (?:" + "|".join(f"({phrases})" for phrases in _GENERATIONS.values()) + r")(?=$|\s)"
)
_INITIALS: Final = re.compile(r"(?<=(?<!\S)[^\W\d]) (?=[^\W\d](?!\S))")  # the space between two of them
_COMMA: Final = re.compile(r",(?![^(\[]*[)\]])")  # none inside brackets
_BRACKETS: Final = re.compile(r"\s*([(\[][^()\[\]]*[)\]])\s*$")
_IS_DATES: Final = re.compile(r"\d{3}")
_IS_BYNAME: Final = re.compile(r"(?:da|de|del|della|di|du|des|of|the|van|von)\s+\S")  # Leonardo, da Vinci


def folded(text: str) -> str:
    """Fold case, accents and spaces.

    >>> folded("  Edgar  DÉGAS") == folded("Edgar Dégas") == "edgar degas"
    True
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    # Combining classes 7 to 9 are no accents: they tell kana and Indic letters apart.
    unaccented = "".join(one for one in decomposed if unicodedata.combining(one) in (0, 7, 8, 9))
    return " ".join(unaccented.split())


@lru_cache(maxsize=1 << 16)
def artist_key(name: Any) -> str:
    """Fold a name so that the usual spellings of one artist compare equal; everything that compares artists uses this.

    An artist who is a number, as in other people's tables, has that number for a key.

    What is folded: case, accents, spaces, letters in a wrong encoding; separators such as ``_ - . '``; the order of
    "Surname, Name", with what stands behind it in brackets or as dates; initials written together or apart; where "the
    Elder" or "Jr." stands, and the elder and younger of other languages. What tells people apart is kept: such words
    themselves, dates, scripts.

    >>> artist_key("Degas, Edgar") == artist_key("edgar_dégas") == artist_key("EDGAR-DEGAS") == "edgar degas"
    True
    >>> artist_key("Bruegel, Pieter the Elder") == artist_key("Pieter Bruegel d. Ä.") == "pieter bruegel the elder"
    True
    >>> artist_key("J. M. W. Turner") == artist_key("Turner, J.M.W.") == "jmw turner"
    True
    """
    if not isinstance(name, str):
        return str(name)
    text = _as_meant(name)
    key = _as_spoken(text) or text  # a name of separators alone is its own key
    return key if key == name else artist_key(key)


def artist_keys(names: pd.Series) -> pd.Series:
    """Give every name in a column a key, the same for all names of one artist.

    The key is the artist's :func:`one_spelling`, folded, so that sorted keys are in the order in which people
    look names up.
    """
    text = names.astype(object).map(str)
    numbered = not names.map(lambda name: isinstance(name, str)).any()
    keys: pd.Series = text if numbered else one_spelling(text).map(_as_meant)
    return keys


def one_spelling(names: pd.Series) -> pd.Series:
    """Replace every name in a column by one spelling of the artist: the best written one, then the most frequent."""
    counts = names.value_counts()
    shown: dict[str, str] = {}
    for name in sorted(counts.index, key=lambda name: (_faults(name), -counts[name], name)):
        shown.setdefault(artist_key(name), name)
    spelt: pd.Series = names.map(lambda name: shown[artist_key(name)])
    return spelt


def _as_meant(name: str) -> str:
    """Fold a name after undoing what befell it on its way: escapes of web pages and addresses, a wrong encoding."""
    text = unescape(unquote(name))
    text = text if text.isascii() else fix_encoding(text)
    return folded("".join(one for one in text if unicodedata.category(one) != "Cf")) or folded(name)


def _as_spoken(text: str) -> str:
    """The words of a folded name in the order in which it is spoken."""
    ordered = _given_name_first(text.translate(_LETTERS))
    words = " ".join(ordered.translate(_SEPARATORS).split())
    found = [list(_GENERATIONS)[(match.lastindex or 1) - 1] for match in _GENERATION.finditer(words)]
    return " ".join([_INITIALS.sub("", _GENERATION.sub("", words)), *found])


def _given_name_first(text: str) -> str:
    """Turn "surname, name" round; what tells generations and dates stays behind, also in brackets."""
    brackets = _BRACKETS.search(text)
    parts = [part.strip() for part in _COMMA.split(text[: brackets.start()] if brackets else text)]
    behind = [part for part in parts if _IS_DATES.search(part) or _is_generation(part)]
    names = [part for part in parts if part and part not in behind]
    if len(names) > 1 and not _IS_BYNAME.match(names[1]):
        names[:2] = [f"{names[1]} {names[0]}"]
    return " ".join([*names, *behind, *(brackets.groups() if brackets else ())])


def _is_generation(part: str) -> bool:
    return not _GENERATION.sub("", f"xx {' '.join(part.translate(_SEPARATORS).split())}").removeprefix("xx")


def _faults(name: str) -> int:
    """In how many ways a name looks otherwise than in print."""
    has_stray_spaces = name != " ".join(name.split())
    is_of_one_case = name in (name.lower(), name.upper())
    is_damaged = _as_meant(name) != folded(name)
    return sum([3 * is_damaged, has_stray_spaces, is_of_one_case, "_" in name, "," in name, " " not in name.strip()])


def groups_of(kind: Grouping, paintings: pd.DataFrame, labels: Sequence[int]) -> list[int] | None:
    """The groups that batches are filled from: :func:`usual`, or None where all artists are of one source or none."""
    if kind == "source" and ("source" not in paintings or paintings["source"].isna().all()):
        return None
    groups = usual(kind, paintings, labels)
    return groups if len(set(groups)) > 1 or kind != "source" else None


def rows_by_source(paintings: pd.DataFrame) -> list[np.ndarray]:
    """The places of each source's rows, an artist's source being that of most paintings.

    Pairs across sources are told apart by their pictures' makers, so thresholds are learned from pairs within each.
    """
    labels = pd.factorize(artist_keys(paintings["artist"]))[0]
    groups = groups_of("source", paintings, labels.tolist()) or [0] * (labels.max(initial=-1) + 1)
    of_row = np.asarray(groups)[labels]
    return [np.flatnonzero(of_row == group) for group in np.unique(of_row)]


def usual(kind: Grouping, paintings: pd.DataFrame, labels: Sequence[int]) -> list[int]:
    """The number of the source, style or genre that most paintings of each artist have, for artists 0 to A − 1.

    Paintings without one count as of one kind of their own.
    """
    if paintings[kind].isna().all():
        raise MorelliError(
            f"No painting has a {kind}, so artists cannot be told apart by it. Prepare the pictures with a table that "
            f"has a column {kind}, or leave out what the recipe says of {kind}."
        )
    of_artist = paintings[kind].fillna("").groupby(list(labels)).agg(lambda kinds: kinds.mode()[0])
    return [int(number) for number in pd.factorize(of_artist.sort_index(), sort=True)[0]]
