"""Which spellings are one artist, and what most of an artist's paintings are."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.data.artists import artist_key, artist_keys, folded, one_spelling, usual
from morelli.errors import MorelliError


@pytest.mark.parametrize(
    "spellings",
    [
        ["Paul Cézanne", "paul cezanne"],
        ["Joan Miró", unicodedata.normalize("NFD", "Joan Miró")],
        ["  Edvard\tMunch ", "Edvard Munch", "Edvard\u200b Munch"],
        ["Hans Baldung\u00a0Grien", "hans baldung grien"],
        ["Caspar David Friedrich Weiß", "CASPAR DAVID FRIEDRICH WEISS"],
        ["İbrahim Çallı", "ibrahim callı", "Ibrahim Calli"],
        ["Władysław Ślewiński", "wladyslaw slewinski"],
        ["Claude Monet", "claude_monet", "CLAUDE-MONET", "claude.monet", "Monet, Claude", "monet,claude"],
        ["Jean-Baptiste Oudry", "Jean Baptiste Oudry", "Oudry, Jean-Baptiste", "jean‑baptiste_oudry"],
        ["J. M. W. Turner", "J.M.W. Turner", "JMW Turner", "Turner, J. M. W.", "j-m-w-turner"],
        ["Georgia O'Keeffe", "Georgia O’Keeffe", "georgia-o-keeffe"],
        ["Vincent van Gogh", "Gogh, Vincent van", "van Gogh, Vincent"],
        ["Leonardo da Vinci", "Vinci, Leonardo da", "Leonardo, da Vinci"],
        ["Sammy Davis, Jr.", "Davis, Sammy, Jr.", "Davis, Jr., Sammy", "Sammy Davis Junior"],
        ["Claude Monet (1840-1926)", "Monet, Claude, 1840–1926", "Claude Monet, 1840-1926"],
        ["Monet, Claude (French, 1840-1926)", "Claude Monet (French, 1840-1926)"],
        ["Albrecht Dürer", "Albrecht_DÃ¼rer", "Albrecht_DuΓòá├¬rer", "Albrecht%20D%C3%BCrer", "Albrecht D&uuml;rer"],
        ["Frans Francken (I)", "Francken, Frans (I)", "Frans Francken I"],
        ["葛飾 北斎", "葛飾　北斎"],
        ["Шишкин, Иван", "Иван Шишкин"],
    ],
)
def test_spellings_of_one_artist_share_a_key(spellings: list[str]) -> None:
    assert len({artist_key(name) for name in spellings}) == 1


def test_the_elder_is_the_elder_wherever_and_in_whatever_language_it_is_said() -> None:
    elder = [
        "Bruegel, Pieter the Elder",
        "Bruegel the Elder, Pieter",
        "Bruegel, Pieter, the Elder",
        "Pieter Bruegel d. Ä.",
    ]
    elder += [
        "Bruegel, Pieter (the Elder)",
        "Pieter the Elder Bruegel",
        "pieter-bruegel-the-elder",
        "Pieter Bruegel l'Ancien",
    ]
    younger = ["Pieter Bruegel the Younger", "Bruegel d. J., Pieter", "Pieter Bruegel de Jonge"]

    assert {artist_key(name) for name in elder} == {"pieter bruegel the elder"}
    assert {artist_key(name) for name in younger} == {"pieter bruegel the younger"}


@pytest.mark.parametrize(
    "names",
    [
        ["Claude Monet", "Edouard Manet"],
        ["Jan Steen", "Jansteen"],
        ["M1", "M2", "M 12", "M 1 2"],
        ["J. Smith", "John Smith", "Smith"],
        ["Jan Brueghel", "Jan Brueghel the Elder", "Jan Brueghel the Younger"],
        ["John Smith (1652-1742)", "John Smith (1749-1831)", "John Smith"],
        ["A. D. J. Smith", "A. Smith the Younger", "A. J. Smith"],
        ["ハナ", "バナ", "パナ"],
        ["葛飾北斎", "歌川広重"],
        ["Иван", "Ivan"],
        ["?", "-", "...", "&"],
        ["Ann | Lee", "Ann & Lee", "Ann Lee"],
    ],
)
def test_different_artists_keep_different_keys(names: list[str]) -> None:
    assert len({artist_key(name) for name in names}) == len(names)


@given(st.text())
def test_no_name_is_folded_to_nothing(name: str) -> None:
    assert bool(artist_key(name)) == bool(folded(name))


@given(st.lists(st.text("aábÁ_-., ", min_size=1), min_size=1))
def test_a_column_of_names_gets_one_key_and_one_spelling_an_artist(written: list[str]) -> None:
    names = pd.Series(written)
    artists = names.map(artist_key)

    for column in (artist_keys(names), one_spelling(names)):
        assert (column.groupby(artists).nunique() == 1).all()
        assert column.nunique() == artists.nunique()
        assert (column.map(artist_key) == artists).all()


def test_keys_of_a_column_sort_as_the_names_are_looked_up() -> None:
    names = pd.Series(["J. Zett", "Jean Aal", "Jean-Luc Aal", "Jean Mark"])

    assert list(names[artist_keys(names).sort_values().index]) == ["J. Zett", "Jean Aal", "Jean Mark", "Jean-Luc Aal"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["claude_monet"] * 3 + ["Claude Monet"], "Claude Monet"),
        (["Albrecht_DuΓòá├¬rer"] * 3 + ["Albrecht_Dürer"], "Albrecht_Dürer"),
        (["Monet, Claude", "Claude Monet", "CLAUDE MONET"], "Claude Monet"),
        (["Paul Cezanne", "Paul Cézanne", "Paul Cézanne"], "Paul Cézanne"),
        (["Jean-Marc Nattier", "jean-marc-nattier", "jean-marc-nattier"], "Jean-Marc Nattier"),
    ],
)
def test_the_best_written_spelling_is_shown_and_then_the_most_frequent(written: list[str], shown: str) -> None:
    assert set(one_spelling(pd.Series(written))) == {shown}


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
