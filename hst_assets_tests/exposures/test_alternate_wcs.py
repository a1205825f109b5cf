import string

import pytest
from astropy.io import fits

from hst_assets.exposures.alternate_wcs import drop_alternates, free_letters


def header_with(letters: str) -> fits.Header:
    header = fits.Header()
    header.update({"WCSNAME": "TWEAK", "CRVAL1": 10.0, "CD1_1": 1e-5, "PHOTFLAM": 1e-19})
    for letter in letters:
        header.update({f"WCSNAME{letter}": f"W{letter}", f"CRVAL1{letter}": 1.0})
    return header


def letters_of(header: fits.Header) -> str:
    return "".join(sorted(key[-1] for key in header if len(key) == 8 and key[:7] == "WCSNAME"))


@pytest.mark.parametrize(
    ("taken", "at_least", "freed"),
    [
        (string.ascii_uppercase, 2, "YZ"),
        (string.ascii_uppercase, 0, ""),
        ("ABO", 4, ""),
        (string.ascii_uppercase.replace("C", ""), 2, "Z"),
        (string.ascii_uppercase, 13, "MNPQRSTUVWXYZ"),
    ],
)
def test_the_last_solutions_make_room(taken: str, at_least: int, freed: str) -> None:
    header = header_with(taken)
    assert free_letters([header], at_least) == freed
    assert letters_of(header) == "".join(sorted(set(taken) - set(freed)))


def test_letters_are_free_on_all_chips() -> None:
    chips = [header_with("ABC"), header_with(string.ascii_uppercase[3:])]
    assert free_letters(chips, 1) == "Z"
    assert "Z" not in letters_of(chips[1])


def test_the_solution_in_use_and_other_cards_stay() -> None:
    header = header_with("ABO")
    drop_alternates(header)
    assert letters_of(header) == ""
    assert set(header) == {"WCSNAME", "CRVAL1", "CD1_1", "PHOTFLAM"}
