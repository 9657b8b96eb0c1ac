"""The artists that backbones' weights in this package were trained on: none of them may validate or count as unseen."""

from functools import cache
from pathlib import Path
from typing import Final

from morelli.data.artists import artist_key

WEIGHTS: Final = "painters"
"""The weights in this package that were trained on paintings."""


@cache
def known_to(weights: str | None) -> tuple[str, ...]:
    """The names of the artists that a backbone's ``weights`` were trained on; of other weights nothing is known."""
    if weights != WEIGHTS:
        return ()
    return tuple(Path(__file__).with_name(f"known_to_{weights}.txt").read_text(encoding="utf-8").splitlines())


def is_known_to(weights: str | None, name: object) -> bool:
    """Whether ``weights`` were trained on an artist, in whichever spelling."""
    return artist_key(name) in _keys(weights)


@cache
def _keys(weights: str | None) -> frozenset[str]:
    return frozenset(map(artist_key, known_to(weights)))
