"""Years out of dates as the tables really write them."""

import math

import pytest

from morelli.evaluation.pair_subsets import year


@pytest.mark.parametrize(
    ("date", "wanted"),
    [
        ("1910", 1910),
        ("1910.0", 1910),
        ("c.1910", 1910),
        ("September 1919", 1919),
        ("904.0", 904),
        ("1905-1907", 1906),
        ("1905-07", 1906),
        ("1905/1907", 1906),
        ("1905 - 1907", 1906),
        ("1999-98", 1999),
    ],
)
def test_a_year_is_read(date, wanted):
    assert year(date) == wanted


@pytest.mark.parametrize("date", ["", "ific", "rain", "19", "123456", None, float("nan")])
def test_what_is_no_year_is_unknown(date):
    assert math.isnan(year(date))
