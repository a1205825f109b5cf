"""What the checks of a light curve say of its facts."""

from types import SimpleNamespace

import pytest

from hst_assets.orchestration.photometry_checks import (
    ALL_METHODS_MEASURED,
    METHODS_AGREE,
    STAR_OF_TARGET,
)

FACTS = {
    "n_points": 9,
    "not_measured": [],
    "compared": [],
    "star": 4,
    "star_note": "",
    "offset_arcsec": 0.012,
    "offset_sigma": 0.12,
}


def find(check, **facts):
    return check.find(SimpleNamespace(facts=FACTS | facts), None)


def pair(sigma):
    return {
        "methods": "forced and catalog",
        "band": "wfc3_uvis.f814w",
        "epoch": 2,
        "difference_ujy": 0.1,
        "sigma": sigma,
    }


def test_a_method_that_measured_nothing_is_not_checked_with_its_reason():
    found = find(ALL_METHODS_MEASURED, not_measured=["forced: not measured: no catalogue"])
    assert not found.checked
    assert "forced: not measured: no catalogue" in found.text
    assert find(ALL_METHODS_MEASURED).passed


@pytest.mark.parametrize(("sigma", "passes"), [(2.9, True), (-3.1, False)])
def test_methods_agree_within_three_errors(sigma, passes):
    found = find(METHODS_AGREE, compared=[pair(0.1), pair(sigma)])
    assert found.passed is passes
    assert str(abs(sigma)) in found.text


def test_one_method_alone_is_compared_with_nothing():
    assert not find(METHODS_AGREE).checked


def test_the_star_is_named_with_its_offset():
    assert find(STAR_OF_TARGET).text == "object 4, 0.012 arcsec (0.12 sigma)"
    assert find(STAR_OF_TARGET).passed


def test_the_brightest_that_was_asked_for_warns():
    found = find(STAR_OF_TARGET, star_note="the brightest of 3 stars")
    assert (found.passed, found.checked) == (False, True)


def test_a_place_without_a_star_is_neither_well_nor_wrong():
    found = find(STAR_OF_TARGET, star=0, star_note="not in the catalogue: 0.4 arcsec")
    assert (found.passed, found.checked) == (False, False)
    assert "not in the catalogue" in found.text
