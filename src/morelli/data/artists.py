"""When two spellings are the same artist."""

import unicodedata


def artist_key(name: str) -> str:
    """Fold a name so that spellings differing only in case, accents or spaces compare equal.

    >>> artist_key("  Edgar  DÉGAS") == artist_key("Edgar Dégas") == "edgar degas"
    True
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    unaccented = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(unaccented.split())
