"""Numbers in YAML are what they are to every Python user, and what is written is read back the same."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from morelli._yaml import YAMLError, read_yaml, write_yaml

NUMBERS = {
    "1e-1": 0.1, "2E5": 2e5, "+1e3": 1e3, "-1e+3": -1e3, "1.e-3": 1e-3, ".5e1": 5.0, "3.25": 3.25, "1_000.5": 1000.5,
    "7": 7, "-7": -7, "010": 10, "08": 8, "1_000": 1000, "0x1F": 31, "0o17": 15, ".inf": math.inf, "-.INF": -math.inf,
}  # fmt: skip
WORDS = ["12:30", "2024-05-01", "1e", "e5", "1.2.3", "1__0", "0b1", "-", "..", "1e-1x", "10 %"]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_numbers_in_every_place(text: str) -> None:
    wanted = NUMBERS[text]
    found = read_yaml(f"{{a: {text}, b: [{text}], c: {{d: {text}}}}}")

    assert found == {"a": wanted, "b": [wanted], "c": {"d": wanted}}
    assert type(found["a"]) is type(wanted)
    assert read_yaml(f"'{text}'") == text


@pytest.mark.parametrize("text", WORDS[:7] + WORDS[8:])
def test_what_only_looks_like_a_number_is_text(text: str) -> None:
    assert read_yaml(f"key: {text}") == {"key": text}


def test_words_for_true_false_and_nothing() -> None:
    assert read_yaml("[true, False, yes, no, on, off, null, ~, '']") == [True, False] * 3 + [None, None, ""]
    assert math.isnan(read_yaml(".nan"))
    assert read_yaml("a: &first {x: 1e-1}\nb: {<<: *first, y: 2}")["b"] == {"x": 0.1, "y": 2}


@pytest.mark.parametrize("value", [*NUMBERS, *WORDS, "no", "null", "", "Émile", "a: b", *NUMBERS.values(), 1e-7, 1e20])
def test_what_is_written_is_read_back_the_same(value: Any) -> None:
    assert read_yaml(write_yaml({"key": value, "list": [value]})) == {"key": value, "list": [value]}


@given(some.floats(allow_nan=False) | some.integers() | some.text(alphabet="0123456789+-.eExob_: ", max_size=8))
def test_any_number_and_what_looks_like_one_is_read_back(value: Any) -> None:
    found = read_yaml(write_yaml({"key": value}))["key"]
    assert found == value
    assert type(found) is type(value)


def test_no_object_is_made_and_what_is_no_yaml_is_an_error() -> None:
    for text in ("!!python/object/apply:os.getcwd []", "[1, 2", "\t- a"):
        with pytest.raises(YAMLError):
            read_yaml(text)
