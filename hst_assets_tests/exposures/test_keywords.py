import math

import pytest
from astropy.io import fits

from hst_assets.exposures.keywords import is_missing, keyword_of, number, text
from hst_assets.failures import UnusableInput


@pytest.mark.parametrize("value", [None, "", "  ", "N/A", "n/a", " N/A ", "INDEF"])
def test_a_value_that_says_nothing_is_a_missing_one(value):
    header = {} if value is None else {"KEY": value}
    assert is_missing(header.get("KEY"))
    assert text(header, "KEY", "else") == "else"
    assert math.isnan(number(header, "KEY", math.nan))


def test_an_undefined_card_is_a_missing_one():
    header = fits.Header.fromstring("KEY     =".ljust(80))
    assert is_missing(header["KEY"])


@pytest.mark.parametrize("value", [0, 0.0, False, "NONE", "0"])
def test_zero_and_none_are_values(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("header", "said"), [({}, "KEY is missing"), ({"KEY": " "}, "KEY is empty"), ({"KEY": 3}, "3")]
)
def test_what_is_needed_and_not_there_is_named(header, said):
    with pytest.raises(UnusableInput, match=said):
        text(header, "KEY")


@pytest.mark.parametrize("value", ["many", True, math.inf])
def test_what_is_no_number_is_no_missing_one(value):
    with pytest.raises(UnusableInput, match="not a number"):
        number({"KEY": value}, "KEY", 0.0)


@pytest.mark.parametrize(
    ("science", "primary", "value"),
    [
        ({"KEY": 1.0}, {"KEY": 2.0}, 1.0),
        ({}, {"KEY": 2.0}, 2.0),
        ({"KEY": "N/A"}, {"KEY": 2.0}, 2.0),
        ({"KEY": " "}, {}, None),
    ],
)
def test_the_extension_comes_before_the_primary_header(science, primary, value):
    assert keyword_of(science, primary, "KEY") == value
