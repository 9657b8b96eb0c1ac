"""Which spellings are one artist, and what most of an artist's paintings are."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.data.artists import artist_key, usual
from morelli.errors import MorelliError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paul Cézanne", "paul cezanne"),
        ("Joan Miró", unicodedata.normalize("NFD", "Joan Miró")),
        ("  Edvard\tMunch ", "Edvard Munch"),
        ("Hans Baldung\u00a0Grien", "hans baldung grien"),
        ("Caspar David Friedrich Weiß", "CASPAR DAVID FRIEDRICH WEISS"),
        ("İbrahim Çallı", "ibrahim callı"),
    ],
)
def test_spellings_of_one_artist_share_a_key(one: str, other: str) -> None:
    assert artist_key(one) == artist_key(other)


@pytest.mark.parametrize(("one", "other"), [("Claude Monet", "Edouard Manet"), ("Jan Steen", "Jansteen"), ("M1", "M2")])
def test_different_artists_keep_different_keys(one: str, other: str) -> None:
    assert artist_key(one) != artist_key(other)


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    assert artist_key(artist_key(name)) == artist_key(name)


@given(st.text(st.characters(categories=["Lu", "Ll", "Zs"])))
def test_case_does_not_matter(name: str) -> None:
    assert artist_key(name.lower()) == artist_key(name.lower().casefold())


def test_an_artist_is_of_the_style_of_most_of_their_paintings() -> None:
    styles = ["Baroque", "Rococo", "Rococo", "Baroque", None, None, "Rococo"]
    labels = [1, 1, 1, 0, 2, 2, 2]
    numbers = usual("style", pd.DataFrame({"style": styles}), labels)

    assert len(set(numbers)) == 3
    assert usual("style", pd.DataFrame({"style": [*styles[:4], "Rococo"]}), [1, 1, 1, 0, 2]) == [0, 1, 1]


def test_paintings_without_any_style_are_refused() -> None:
    with pytest.raises(MorelliError, match="No painting has a genre"):
        usual("genre", pd.DataFrame({"genre": [None, None]}), [0, 1])
