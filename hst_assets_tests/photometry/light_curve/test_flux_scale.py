import math

import pytest

from hst_assets.exposures.photometry import Photometry
from hst_assets.photometry.light_curve.flux_scale import flux_scale, scale_of_header

OF_UVIS = {"detector": "wfc3_uvis", "filter_name": "F814W"}


def test_a_count_of_the_zero_point_is_a_microjansky():
    scale = flux_scale(23.9, pivot_angstrom=8039.0, **OF_UVIS)
    assert scale.ujy_per_count_s == pytest.approx(1.0)
    assert flux_scale(26.4, pivot_angstrom=8039.0, **OF_UVIS).ujy_per_count_s == pytest.approx(0.1)


def test_the_header_s_sensitivity_is_that_of_all_light():
    """F_nu = PHOTFLAM pivot^2 / c: 1.4994e-19 x 8039^2 / 2.99792e18 erg/cm2/s/Hz, in 1e-29."""
    scale = scale_of_header(Photometry("WFC3 UVIS2 F814W", 1.4994e-19, 8039.0), **OF_UVIS)
    assert scale.ujy_per_count_s == pytest.approx(0.32322, rel=2e-3)  # 23.9 and -48.6 are rounded
    assert scale.fault == ""


def test_vega_and_st_follow_from_ab():
    """F814W of Vega is 0.4182 in AB; ST minus AB is 5 lg(8039) - 18.6921."""
    scale = flux_scale(25.0, pivot_angstrom=8039.0, **OF_UVIS)
    assert scale.vega_minus_ab_mag == pytest.approx(-0.4182, abs=5e-4)
    assert scale.st_minus_ab_mag == pytest.approx(0.8340, abs=5e-4)


def test_without_a_zero_point_nothing_is_known_and_it_says_why():
    known = Photometry("", math.nan, math.nan, fault="PHOTFLAM is missing")
    scale = scale_of_header(known, **OF_UVIS)
    assert math.isnan(scale.ujy_per_count_s)
    assert scale.fault == "its zero point is not known: PHOTFLAM is missing"


def test_a_filter_that_vega_is_not_known_of_has_no_vega_magnitude():
    scale = flux_scale(25.0, detector="wfc3_uvis", filter_name="F999X", pivot_angstrom=8039.0)
    assert math.isnan(scale.vega_minus_ab_mag)
    assert scale.ujy_per_count_s > 0
