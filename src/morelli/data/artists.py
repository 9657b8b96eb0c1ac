"""Who an artist is: when two spellings are the same one, and what most of their paintings are."""

import unicodedata
from collections.abc import Sequence
from typing import Literal

import pandas as pd

from morelli.errors import MorelliError

Kind = Literal["style", "genre"]
"""A column that says of a painting what others have in common with it."""
Grouping = Literal["source", "style", "genre"]
"""A column by which artists are put together in batches."""


def artist_key(name: str) -> str:
    """Fold a name so that spellings differing only in case, accents or spaces compare equal.

    >>> artist_key("  Edgar  DÉGAS") == artist_key("Edgar Dégas") == "edgar degas"
    True
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    unaccented = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(unaccented.split())


def groups_of(kind: Grouping | None, paintings: pd.DataFrame, labels: Sequence[int]) -> list[int] | None:
    """The groups that batches are filled from: :func:`usual`, or None where all artists are of one source, or of none.

    Raises:
        MorelliError: no painting has the style or genre that is asked for.
    """
    if kind is None or (kind == "source" and paintings["source"].isna().all()):
        return None
    groups = usual(kind, paintings, labels)
    return groups if len(set(groups)) > 1 or kind != "source" else None


def usual(kind: Grouping, paintings: pd.DataFrame, labels: Sequence[int]) -> list[int]:
    """The number of the source, style or genre that most paintings of each artist have, for artists 0 to A − 1.

    Paintings without one count as of one kind of their own.

    Args:
        kind: the column.
        paintings: rows of a prepared folder's table.
        labels: the artist's number of each row.

    Raises:
        MorelliError: no painting has any.
    """
    if paintings[kind].isna().all():
        raise MorelliError(
            f"No painting has a {kind}, so artists cannot be told apart by it. Prepare the pictures with a table that "
            f"has a column {kind}, or leave out what the recipe says of {kind}."
        )
    of_artist = paintings[kind].fillna("").groupby(list(labels)).agg(lambda kinds: kinds.mode()[0])
    return [int(number) for number in pd.factorize(of_artist.sort_index(), sort=True)[0]]
