"""Attributions: names that stand for no one known artist, and spellings that may be one artist's."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from morelli.data.artists import artist_key, folded

# English, French, German, Italian, Spanish, Dutch, Portuguese, and the commonest word of others; without accents.
_UNKNOWN: Final = (
    r"unknown|not (?:known|identified|recorded)|unidentified|unattributed|anonym(?:ous|us|e[nrs]?)?|inconnue?s?"
    r"|non identifiee?s?|unbekannte?[nrs]?|unbek|ignot[aio]|sconosciut[aio]|anonim[aio]|non identificat[aio]"
    r"|desconocid[ao]s?|onbekende?|anoniem|desconhecid[ao]s?|okand|ukjent|ukendt|tuntematon|nieznany|neznamy|ismeretlen"
    r"|неизвестн\w*|аноним\w*|佚名|無名氏|无名氏|作者不詳"
)
_NOTHING: Final = (  # only as the whole name
    r"[\W_]*|anon|nan|null|none|n[ /]a|no (?:artist|name)|not available|undefined|untitled|tbd"
    r"|sans nom|ohne namen?|senza nome|sin (?:autor|nombre)|zonder naam|不明|不詳"
)
_SEVERAL: Final = r"various|several|multiple|mixed|diverse?s?|verschiedene|vari|a ?a ?v ?v|vario?s|misc(?:ellaneous)?"
_PEOPLE: Final = (
    r"artists?|painters?|authors?|masters?|makers?|hands?|artistes?|peintres?|auteurs?|maitres?|kunstler|maler|meister"
    r"|artist[ai]|pittor[ei]|autor[ei]?|maestr[io]|artistas|autores|pintor(?:es)?|maestros|kunstenaars?|schilders?"
    r"|meesters?"
)
_OTHER_HANDS: Final = (
    r"workshop|studio|circle|followers?|schools?|manner|style|imitators?|imitations?|copyist|cop(?:y|ies)|pupils?|associates?"
    r"|assistants?|atelier|cercle|suiveurs?|entourage|ecole|maniere|imitateurs?|copies?|eleves?|werkstatt|umkreis|kreis"
    r"|nachfolger|nachahmer|schule|art|stil|kopie|schuler|bottega|cerchia|seguac[ei]|scuola|maniera|imitatore|copia"
    r"|alliev[io]|ambito|taller|circulo|seguidor(?:es)?|escuela|manera|imitador|discipulos?|werkplaats|kring|navolgers?"
    r"|trant|stijl|leerling(?:en)?|omgeving|oficina|escola"
)
_OF: Final = r"of|after|to|from|de|du|des|d|der|von|vom|nach|um|di|da|dal|del|dell|della|dei|al|van|naar|aan"
_UNCERTAIN: Final = (
    r"attributed|attrib|attr|ascribed|attribuee?s?|zugeschrieben|zuschreibung|attribuit[aio]|attribuzione|atribuid[ao]s?"
    r"|toegeschreven|toeschrijving"
)
_PERHAPS: Final = (
    r"possibly|probably|perhaps|peut etre|probablement|vermutlich|wahrscheinlich|moglicherweise|forse|probabilmente"
    r"|quizas?|posiblemente|probablemente|mogelijk|waarschijnlijk|misschien"
)
_GERMAN: Final = "werkstatt|umkreis|nachfolger|nachahmer"  # these need no preposition
_SCHOOL: Final = r"school|schule|ecole|scuola|escuela|escola"
_ORIGIN: Final = (
    r"american|austrian|belgian|british|chinese|danish|dutch|english|european|flemish|florentine|french|german|greek"
    r"|indian|irish|italian|japanese|korean|netherlandish|north(?:ern)?|persian|polish|portuguese|russian|scottish"
    r"|sienese|south(?:ern)?|spanish|swedish|swiss|venetian|francaise?|allemande?|italienne?|flamande?|hollandaise?"
    r"|espagnole?|anglaise?|venitienne?|(?:deutsch|franzosisch|italienisch|niederlandisch|flamisch|hollandisch|spanisch"
    r"|englisch|venezianisch)e?[nrs]?|italian[ao]|venezian[ao]|fiorentin[ao]|fiamming[ao]|tedesc[ao]|spagnol[ao]"
    r"|frances[ae]?|espanola?|flamenc[ao]|aleman|holandes|vlaamse?|hollandse?|franse?|duitse?|italiaanse?|spaanse?"
    r"|nederlandse?|engelse?"
)
_CENTURY: Final = r"(?:\d\d?|[ivx]{1,5})(?:st|nd|rd|th|e|er|eme)? ?(?:century|siecle|jahrhundert|jh|secolo|siglo|eeuw)"
_GENERAL: Final = rf"{_ORIGIN}|{_PEOPLE}|{_CENTURY}"

_RULES: Final = {
    "attribution uncertain": rf"\b(?:{_UNCERTAIN})\b|^(?:{_PERHAPS})\b|[,(] ?(?:{_PERHAPS})\)?$|[ (\w]\?\)?$",
    "artist unknown": rf"\b(?:{_UNKNOWN})\b|^(?:{_NOTHING})$",
    "several artists": rf"^(?:{_SEVERAL})(?: (?:{_PEOPLE}))?$|^(?:{_PEOPLE}) (?:{_SEVERAL})$|\bet al$",
    "a workshop, school, follower or copyist": "|".join(
        (
            r"^(?:after|nach|d apres|naar|segun) \w|[,(] ?(?:after|nach|d apres|naar)\)?$",
            rf"^(?:in the |the |in der |im |aus der |a la |alla |a la |in de |uit de )?(?:{_OTHER_HANDS}) (?:{_OF})\b",
            rf"(?:[,(&+]| and| und| et| e| y| en) ?(?:his |the |in the )?(?:{_OTHER_HANDS})(?: (?:{_OF}))*\)?$",
            rf"\b(?:{_SCHOOL})\b|\b(?:{_GERMAN})$|^(?:{_GERMAN}) ",
            # "French painter, 18th century"
            rf"^(?=.*\b(?:{_ORIGIN}|{_CENTURY})\b)(?=.*\b(?:{_PEOPLE}|{_CENTURY})\b)(?:\b(?:{_GENERAL})\b\W*)+$",
        )
    ),
}
"""Reason → pattern, in the order in which they are tried."""
REASONS: Final = tuple(_RULES)


def unattributed(name: str) -> str:
    """Why a name stands for no one known artist, such as "after Claude Monet"; empty for an artist's name.

    Masters known by their works, such as the Master of Flémalle, are artists.
    """
    text = " ".join(re.sub(r"[_.'’-]", " ", folded(name)).split())
    return next((reason for reason, pattern in _RULES.items() if re.search(pattern, text)), "")


_ORDER: Final = "the same words in another order"
_LETTERS: Final = "the same letters"
_INITIALS: Final = "initials of the same letters"
_ONE_LETTER: Final = "one letter differs"
_WITHIN: Final = "one name stands in the other"
_MOST_INITIALS: Final = 4
_LONG_ENOUGH: Final = 9  # in shorter names one letter is too much of the whole


def perhaps_one(names: Iterable[str]) -> list[tuple[str, str, str]]:
    """Pairs of names that may be one artist's but are kept apart, with the reason: ``J. Smith``, ``John Smith``."""
    name_of = {artist_key(name): name for name in names}
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    found: dict[tuple[str, str], str] = {}
    for key in name_of:
        for why, sign in _signs(key):
            groups[why, sign].append(key)
        found |= {(min(key, part), max(key, part)): why for why, part in _parts(key) if part in name_of}
    for (why, _), group in groups.items():
        for one, other in combinations(sorted(set(group)), 2):
            if why is not _INITIALS or _shortens(one, other):
                found.setdefault((one, other), why)
    return [(name_of[one], name_of[other], why) for (one, other), why in sorted(found.items())]


def _signs(key: str) -> Iterator[tuple[str, str]]:
    """What a name shares with others that may be the same artist's."""
    *given, surname = key.split()
    yield _ORDER, " ".join(sorted([*given, surname]))
    yield _LETTERS, "".join([*given, surname])
    if given:
        yield _INITIALS, f"{''.join(word[0] for word in given)} {surname}"
        if len(given) == 1 and len(given[0]) <= _MOST_INITIALS:
            yield _INITIALS, f"{given[0]} {surname}"
        yield from ((_ONE_LETTER, f"{key[:place]}*{key[place + 1 :]}") for place in _letters_of(key))


def _parts(key: str) -> Iterator[tuple[str, str]]:
    """Names that would be left of this one without a word or a letter."""
    words = key.split()
    for count in range(1, len(words)):
        some = (" ".join(words[:count]), " ".join(words[count:]))
        yield from ((_WITHIN, part) for part in some if len(part) > 1 and not part.isdigit())
    if len(words) > 1:
        yield from ((_ONE_LETTER, key[:place] + key[place + 1 :]) for place in _letters_of(key))


def _letters_of(key: str) -> Iterator[int]:
    """Where a slip of the pen could be: not in numbers, nor in short names."""
    if len(key) >= _LONG_ENOUGH:
        yield from (place for place, letter in enumerate(key) if letter.isalpha())


def _shortens(one: str, other: str) -> bool:
    """Whether one name has initials for given names of the other."""
    a, b = one.split()[:-1], other.split()[:-1]
    if len(a) != len(b):
        return any(short == ["".join(word[0] for word in long)] for short, long in ((a, b), (b, a)))
    return all(left == right or left == right[0] or right == left[0] for left, right in zip(a, b, strict=True))
