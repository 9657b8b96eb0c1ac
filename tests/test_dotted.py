"""Dotted paths: what they load, and the one sentence that each kind of mistake gets."""

import sys
from fractions import Fraction
from numbers import Rational

import pytest

from morelli._dotted import explained, is_dotted, load_dotted
from morelli.errors import MorelliError


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "a_plugin.py").write_text(
        "from fractions import Fraction\nhalf = Fraction(1, 2)\nclass Mine(Fraction): ...\ndef function(): ...\n"
    )
    (tmp_path / "a_broken_plugin.py").write_text("raise ValueError('of two\\nlines')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("a_plugin", "a_broken_plugin"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("plugin")
def test_classes_and_instances_are_loaded_also_from_the_working_directory():
    assert load_dotted("fractions:Fraction", Rational) is Fraction
    assert load_dotted("a_plugin:half", Fraction) == Fraction(1, 2)
    assert issubclass(load_dotted("a_plugin:Mine", (int, Fraction)), Fraction)
    assert load_dotted("a_plugin:Mine.from_float", object)
    assert is_dotted("a_plugin:Mine")
    assert not is_dotted("triplet")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("no_such_module:Mine", "importing no_such_module failed (ModuleNotFoundError: No module named"),
        ("a_plugin.below:Mine", "importing a_plugin.below failed (ModuleNotFoundError"),
        ("a_broken_plugin:Mine", "importing a_broken_plugin failed (ValueError: of two lines)."),
        ("a_plugin:mine", 'a_plugin has no "mine". Did you mean "Mine"?'),
        ("a_plugin:function", "it is of type function: function."),
        ("collections:Counter", "it is the class Counter."),
        ("a_plugin", "it is not of the form package.module:Name."),
        ("../a_plugin:Mine", "it is not of the form package.module:Name."),
        (":Mine", "it is not of the form package.module:Name."),
    ],
)
@pytest.mark.usefixtures("plugin")
def test_a_mistake_is_one_sentence_with_path_expected_and_found(path, found):
    with pytest.raises(MorelliError) as error:
        load_dotted(path, Fraction, "a fraction")
    assert str(error.value).startswith(f"{path} must be a fraction, but {found}")
    assert "\n" not in str(error.value)


def test_what_an_extension_raises_names_its_path():
    with (
        pytest.raises(MorelliError, match=r"^a:B must be a thing, but it could not be made \(KeyError: 'x'\)\.$"),
        explained("a:B", "a thing"),
    ):
        raise KeyError("x")
    with pytest.raises(MorelliError, match=r"^mine$"), explained("a:B", "a thing"):
        raise MorelliError("mine")
