"""Folder names by kind: a part of a split, a size, a style, a genre, a container, or perhaps a person."""
# ruff: noqa: SIM905  (lists of words read best as sentences)

import re
from collections.abc import Callable, Iterable
from typing import Final

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


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_\-–.,&+()]+", name.casefold()) if word]


def is_part(name: str) -> bool:
    """``B``, ``1890s``, ``part 2``, ``17th century``: a piece of something larger."""
    return _PART.fullmatch(name.casefold().strip()) is not None


def is_size(name: str) -> bool:
    """``resized``, ``images_256``, ``small``: what copies of other pictures are called."""
    return _SIZE.fullmatch(name.casefold()) is not None


def is_style(name: str) -> bool:
    """``Baroque``, ``Post_Impressionism``, ``Ukiyo_e``."""
    words = _words(name)
    is_one = any(word in _STYLES or (word.endswith(_STYLE_ENDS) and len(word) > 5) for word in words)
    return is_one or (len(words) > 1 and all(word in _STYLE_WORDS for word in words))


def is_genre(name: str) -> bool:
    """``portraits``, ``Still life``."""
    words = _words(name)
    return any(word in _GENRES for word in words) and all(word in _GENRE_WORDS for word in words)


def is_of_another_kind(name: str) -> bool:
    """A part of a split (``train``), a container (``images``, ``data_set``), a size, a style or a genre."""
    words = _words(name)
    is_container = any(word in _CONTAINERS for word in words) and all(
        word in _CONTAINERS or word.isdigit() or word == "set" for word in words
    )
    return is_container or bool(_SPLIT.fullmatch(name.casefold())) or is_size(name) or is_style(name) or is_genre(name)


def is_no_artist(name: str) -> bool:
    """Any of the above; numbers and letters may still stand for artists where nothing else does."""
    return is_part(name) or is_of_another_kind(name)


def is_person(name: str) -> bool:
    """Two to six words of letters, none of the above: perhaps a name."""
    words = _words(name)
    return 2 <= len(words) <= 6 and all(word.replace("'", "").isalpha() for word in words) and not is_no_artist(name)


def is_of_a_file(name: str) -> bool:
    """``IMG``, ``scan``, ``0012``: what a file's name begins with when it does not begin with an artist."""
    words = _words(name)
    return len(re.findall(r"[^\W\d_]", name)) < 3 or all(word in _FILE_WORDS or word.isdigit() for word in words)


def share(names: Iterable[str], says: Callable[[str], bool]) -> float:
    """How many of the names this is said of, from 0 to 1."""
    said = [says(name) for name in names]
    return sum(said) / max(1, len(said))
