"""Which spellings are one artist."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.data.artists import artist_key


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
