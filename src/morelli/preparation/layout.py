"""Layouts: the pattern by which pictures' paths name the artist, given by the user or guessed from all the paths."""
# ruff: noqa: SIM905  (lists of words read best as sentences)

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.picture_files import SUFFIXES

FIELDS: Final = ("artist", "title", "style", "genre", "date", "source")
_FEW: Final = 3
"""So few artists, with everything below them, are more likely folders of another kind."""
_MOST: Final = 0.8
_NEARLY_ALL: Final = 0.9
_NAMES: Final = (*FIELDS, "year", "number")
_TOKEN: Final = re.compile(r"\{([^{}/]*)\}|\*|#")
_MATCH: Final = {"*": "[^/]*", "#": r"\d+", "{number}": r"\d+", "{year}": r"(?P<date>\d{3,4})"}
"""What a token stands for; another name in braces, for anything in one part."""
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,5}$")
_ORDERS: Final = (("artist", "title"), ("title", "artist"))
# Artist and title in a file's name, the surest first; "_-_" is how Wikimedia Commons writes " - ".
_IN_NAMES: Final = (
    *(f"{{{first}}}{dash}{{{last}}}" for dash in (" - ", "_-_", " – ") for first, last in _ORDERS),
    *("{artist}__{title}", "{artist}_#", "{artist}_{title}", "{artist} (#)", "{artist} #", "{artist}-#"),
)

_SPLIT: Final = re.compile(
    r"(train|test|val|valid|validate|validation|dev|eval|evaluation|holdout|unseen)(ing|ed)?"
    r"([ _-]?(set|data|split|images|pictures|imgs))?([ _-]?\d+)?"
)
_PART: Final = re.compile(
    r"\w|[a-z] ?- ?[a-z]|[\d\s_.–-]+|\d+s(\s?-\s?\d+s)?|(ca?\.? ?)?\d{3,4}s?([ _–-]+\d{2,4}s?)?|.*\bcentury"
    r"|(part|batch|set|vol|volume|disc|disk|cd|page|folder|group|chunk|shard|fold)s?([ _-]?\d{1,3}|[ _-][a-z])"
)
_SIZE: Final = re.compile(
    r"((images?|img|pictures|paintings|photos)[ _-]?)?"
    r"(resized?|rescaled|scaled|small|smaller|medium|large|thumb(nail)?s?|previews?|low[ _-]?res|downscaled|compressed"
    r"|cropped|crops|\d{2,4} ?(px|p)?|\d{2,4}x\d{2,4})"
    r"([ _-]?(images?|img|pictures|paintings|photos|copies|px|\d{2,4}(px|x\d{2,4})?))?"
)
_CONTAINERS: Final = frozenset(
    "all art artists artwork artworks collection content data dataset datasets download downloads files full "
    "gallery images image imgs img jpg jpeg jpgs original originals painting paintings photo photos pics picture "
    "pictures png raw src works".split()
)
_STYLE_ENDS: Final = ("ism", "isme", "ismus", "ismo", "izm")
_STYLES: Final = frozenset(
    "barock baroque barocco barroco byzantine deco gothic gotik jugendstil medieval nouveau renaissance rococo rokoko "
    "romanesque ukiyo fauves tachisme".split()
)
_STYLE_WORDS: Final = _STYLES | frozenset(
    "abstract academic action art brut classical color colour contemporary cubist e early early field high "
    "impressionist informel international late modern modernist naive naïve new northern op painting pop post "
    "romantic street style the unknown of and".split()
)
_GENRES: Final = frozenset(
    "abstract allegory allegories animal animals city cityscape cityscapes drawing drawings figurative flower flowers "
    "genre history illustration illustrations interior interiors landscape landscapes marina marine mythological "
    "mythology nude nudes oil oils portrait portraits print prints religious seascape seascapes self sketch sketches "
    "still life lifes study studies symbolic watercolor watercolors watercolour watercolours wildlife".split()
)
_GENRE_WORDS: Final = _GENRES | frozenset("painting paintings and scene scenes on paper".split())
_FILE_WORDS: Final = frozenset(
    "artwork copy dsc dscf dscn file foto image images img imgp item object page painting paintings photo pic picture "
    "pxl scan screenshot untitled work".split()
)


class Layout:
    """A pattern for paths below the source, such as ``images/{artist}/**`` or ``{style}/{artist}_{title}``.

    A folder or the file's name without its suffix is matched by each part; ``*`` stands for anything in one part,
    ``#`` or ``{number}`` for a number, ``**`` as the last part for files at any depth, and a name in braces keeps what
    it matches; ``{year}`` is a date of digits. A picture's suffix at the end stands for any.

    Raises:
        MorelliError: no ``{artist}`` in it, or a name that is not known.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        names = [found[1] for found in _TOKEN.finditer(pattern) if found[1] is not None]
        known = ", ".join(f"{{{name}}}" for name in _NAMES)
        if unknown := [name for name in names if name not in _NAMES]:
            hint = did_you_mean(unknown[0], _NAMES)
            raise MorelliError(f'The layout "{pattern}" has {{{unknown[0]}}}; it may have {known}.{hint}')
        names = ["date" if name == "year" else name for name in names]
        if "artist" not in names or len(set(names)) < len(names):
            raise MorelliError(
                f'The layout "{pattern}" must name {{artist}}, and each of {known} once at most. '
                'For a folder per artist it is "{artist}/**".'
            )
        suffix = PurePosixPath(pattern).suffix
        pattern = pattern.removesuffix(suffix) if suffix.lower() in SUFFIXES else re.sub("/+$", "/**", pattern)
        *folders, last = pattern.split("/")
        regex = "".join("(?:[^/]+/)*" if part == "**" else _regex(part) + "/" for part in folders)
        self._path = re.compile(regex + (".*" if last == "**" else _regex(last)), re.DOTALL)

    def read(self, name: str) -> dict[str, str] | None:
        """What a path tells, by :data:`FIELDS`; None if it does not fit."""
        found = self._path.fullmatch(_SUFFIX.sub("", name))
        told = {key: value.strip() for key, value in found.groupdict().items()} if found else {}
        return told if told.get("artist") else None


def _regex(part: str) -> str:
    written, end = "", 0
    for found in _TOKEN.finditer(part):
        token = _MATCH.get(found[0], f"(?P<{found[1]}>[^/]+?)")
        written, end = written + re.escape(part[end : found.start()]) + token, found.end()
    return written + re.escape(part[end:])


@dataclass
class UnclearError(Exception):
    """The paths do not tell where the artist is named; ``choices`` are layouts that the user may have meant."""

    why: str
    choices: list[str] = field(default_factory=list)


def guess_layout(names: Sequence[str]) -> Layout:
    """Find the layout of the pictures at these paths."""
    paths = [name.split("/") for name in names]
    lead: list[str] = []
    while True:
        level = len(lead)
        inside = [path for path in paths if len(path) > level + 1]
        if 2 * len(inside) <= len(paths) and (found := _in_file_names(paths, lead)):
            return found
        if not inside:
            raise UnclearError("")
        folders = sorted({path[level] for path in inside})
        deeper = [path for path in inside if len(path) > level + 2]
        if len(deeper) < _NEARLY_ALL * len(inside):
            return _in_folders(folders, [path[-1] for path in inside], lead)
        part = _lead(folders, deeper, lead)
        if part is None:
            return _with_all_below(folders, deeper, lead)
        lead.append(part)
        paths = deeper


def _lead(folders: list[str], deeper: list[list[str]], lead: list[str]) -> str | None:
    """The part of the pattern for folders that hold the artists' folders; None if they are the artists' themselves."""
    parents = defaultdict(set)
    for path in deeper:
        parents[path[len(lead) + 1]].add(path[len(lead)])
    several = sum(len(above) > 1 for above in parents.values())
    is_above = _share(folders, _is_of_another_kind) >= 0.5 or (
        len(folders) == 1 and not _is_person(folders[0]) and _share(parents, _is_part) < 0.5
    )
    if not is_above and _share(parents, _is_no_artist) < 0.5:
        is_above = len(folders) == 1 or _share(folders, _is_part) >= _MOST
        is_above |= several >= 0.5 * len(parents) and len(parents) > len(folders)
    return _kept(folders, lead) if is_above else None


def _kept(folders: list[str], lead: list[str]) -> str:
    """A pattern for these folders that keeps what their names tell."""
    for kind, says in (("{style}", _is_style), ("{genre}", _is_genre)):
        if kind not in lead and _share(folders, says) >= _MOST:
            return kind
    return folders[0] if len(folders) == 1 and not re.search(r"[*#{}]", folders[0]) else "*"


def _with_all_below(folders: list[str], deeper: list[list[str]], lead: list[str]) -> Layout:
    """The layout whose artists' folders hold nothing but folders, unless these may as well be the artists'."""
    level = len(lead)
    here = "/".join([*lead, "{artist}", "**"])
    below = sorted({path[level + 1] for path in deeper})
    persons, persons_below = _share(folders, _is_person), _share(below, _is_person)
    are_parts = _share(below, _is_no_artist) >= 0.5 and (len(folders) > 1 or persons)
    might_be_below = persons < 0.3 and persons_below > 0.7 and len(below) >= 2 * len(folders)
    if not are_parts and persons <= persons_below and (len(folders) <= _FEW or might_be_below):
        depth = min(len(path) for path in deeper) - level - 1
        choices = ["/".join([*lead, *["*"] * skipped, "{artist}/**"]) for skipped in range(1, depth)]
        why = f"{_some(folders)} hold nothing but folders, such as {_some(below)}"
        raise UnclearError(why, [here, *choices])
    return Layout(here)


def _in_folders(folders: list[str], files: list[str], lead: list[str]) -> Layout:
    """The layout whose artists' folders hold the pictures, unless their names are of another kind."""
    here = "/".join([*lead, "{artist}", "**"])
    of_another_kind = _share(folders, _is_of_another_kind) > 0.5
    if not of_another_kind and len(folders) > _FEW:
        return Layout(here)
    pattern, artists = _name_pattern(files)
    there = "/".join([*lead, _kept(folders, lead), pattern])
    if of_another_kind and len(artists) > _FEW:
        return Layout(there)
    if of_another_kind:
        why = f"{_some(folders)} look like no artists' names" + ("" if artists else ", and the file names tell none")
        raise UnclearError(why, [there, here] if artists else [here])
    if len(artists) > _FEW and _share(folders, _is_person) < 0.5 <= _share(artists, _is_person):
        why = f"{_some(folders)} could be the artists, and so could {_some(artists)} in the file names"
        raise UnclearError(why, [there, here])
    return Layout(here)


def _in_file_names(paths: list[list[str]], lead: list[str]) -> Layout | None:
    """The layout of pictures that lie in no artist's folder, if their names tell the artist."""
    pattern, artists = _name_pattern([path[-1] for path in paths if len(path) == len(lead) + 1])
    layout = "/".join([*lead, pattern])
    if 0 < len(artists) <= _FEW:
        raise UnclearError(f"the file names may begin with the artist: {_some(artists)}", [layout])
    return Layout(layout) if artists else None


def _name_pattern(files: Sequence[str]) -> tuple[str, list[str]]:
    """The pattern of file names that tell an artist, and the artists; no artists where they do not."""
    stems = [_SUFFIX.sub("", file) for file in files]
    many_words = _share(stems, lambda stem: stem.count("_") > 1) > 0.5  # then "_" does not tell where the artist ends
    for pattern in _IN_NAMES:
        artists = _artists(pattern, stems)
        is_vague = pattern == "{artist}_{title}" and _share(artists, _is_person) < 0.5 and many_words
        if artists and not is_vague:
            return pattern, artists
    return "", []


def _artists(pattern: str, stems: Sequence[str]) -> list[str]:
    """The artists that a pattern finds, if nearly all names fit and an artist has two pictures on average."""
    layout = Layout(pattern)
    told = Counter(found["artist"] for stem in stems if (found := layout.read(stem)))
    fits = told.total() >= _NEARLY_ALL * len(stems) and told.total() >= 2 * len(told) and len(told) > 1
    return sorted(told) if fits and _share(told, _is_of_a_file) < 0.5 and _share(told, _is_no_artist) < 0.5 else []


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown}, … ({len(names):,})" if len(names) > 3 else shown


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_\-–.,&+()]+", name.casefold()) if word]


def _is_part(name: str) -> bool:
    """``B``, ``1890s``, ``part 2``, ``17th century``: a piece of something larger."""
    return _PART.fullmatch(name.casefold().strip()) is not None


def is_size(name: str) -> bool:
    """``resized``, ``images_256``, ``small``: what copies of other pictures are called."""
    return _SIZE.fullmatch(name.casefold()) is not None


def _is_style(name: str) -> bool:
    """``Baroque``, ``Post_Impressionism``, ``Ukiyo_e``."""
    words = _words(name)
    is_one = any(word in _STYLES or (word.endswith(_STYLE_ENDS) and len(word) > 5) for word in words)
    return is_one or (len(words) > 1 and all(word in _STYLE_WORDS for word in words))


def _is_genre(name: str) -> bool:
    """``portraits``, ``Still life``."""
    words = _words(name)
    return any(word in _GENRES for word in words) and all(word in _GENRE_WORDS for word in words)


def _is_of_another_kind(name: str) -> bool:
    """A part of a split (``train``), a container (``images``, ``data_set``), a size, a style or a genre."""
    words = _words(name)
    is_container = any(word in _CONTAINERS for word in words) and all(
        word in _CONTAINERS or word.isdigit() or word == "set" for word in words
    )
    return (
        is_container or bool(_SPLIT.fullmatch(name.casefold())) or is_size(name) or _is_style(name) or _is_genre(name)
    )


def _is_no_artist(name: str) -> bool:
    """Any of the above; numbers and letters may still stand for artists where nothing else does."""
    return _is_part(name) or _is_of_another_kind(name)


def _is_person(name: str) -> bool:
    """Two to six words of letters, none of the above: perhaps a name."""
    words = _words(name)
    return 2 <= len(words) <= 6 and all(word.replace("'", "").isalpha() for word in words) and not _is_no_artist(name)


def _is_of_a_file(name: str) -> bool:
    """``IMG``, ``scan``, ``0012``: what a file's name begins with when it does not begin with an artist."""
    words = _words(name)
    return len(re.findall(r"[^\W\d_]", name)) < 3 or all(word in _FILE_WORDS or word.isdigit() for word in words)


def _share(names: Iterable[str], says: Callable[[str], bool]) -> float:
    """How many of the names this is said of, from 0 to 1."""
    said = [says(name) for name in names]
    return sum(said) / max(1, len(said))
