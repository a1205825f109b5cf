"""Extinction and absolute magnitudes."""

import math

import pytest

from hst_assets.counterpart.luminosity import absolute_mag, extinction_of, relative_extinction
from hst_assets.failures import BadConfiguration
from hst_assets.settings import CounterpartSettings

BAND = "wfc3_uvis.f814w"


@pytest.mark.parametrize(
    ("per_micrometre", "expected"),
    [(2.78, 1.569), (2.27, 1.337), (1.82, 1.0), (1.43, 0.751), (1.11, 0.479), (0.80, 0.282)],
)
def test_the_law_is_that_of_the_paper(per_micrometre, expected):
    """Table 3 of Cardelli et al. (1989), R = 3.1: U B V R I J; the fit differs by 1 %."""
    found = relative_extinction(1e4 / per_micrometre)
    assert found == pytest.approx(expected, rel=0.012)


def test_beyond_the_law_nothing_is_said():
    with pytest.raises(BadConfiguration, match="does not reach"):
        relative_extinction(900.0)


def test_extinction_follows_from_the_colour_excess():
    settings = CounterpartSettings(ebv_mag=0.1, ebv_error_mag=0.02)
    found = extinction_of(BAND, 8039.0, settings)
    assert found.mag == pytest.approx(0.31 * relative_extinction(8039.0))
    assert found.error_mag == pytest.approx(0.2 * found.mag)


def test_what_is_given_for_a_band_wins():
    settings = CounterpartSettings(
        ebv_mag=0.1, extinction_mag={BAND: 0.7}, extinction_error_mag={BAND: 0.1}
    )
    found = extinction_of(BAND, 8039.0, settings)
    assert (found.mag, found.error_mag, found.source) == (0.7, 0.1, "given")


def test_a_band_without_a_pivot_wavelength_has_no_extinction_by_the_law():
    assert extinction_of(BAND, None, CounterpartSettings(ebv_mag=0.1)) is None
    assert extinction_of(BAND, None, CounterpartSettings()).mag == 0.0


def test_errors_of_magnitude_extinction_and_distance_add_in_quadrature():
    settings = CounterpartSettings(
        extinction_mag={BAND: 0.5},
        extinction_error_mag={BAND: 0.2},
        distance_modulus_mag=30.0,
        distance_modulus_error_mag=0.2,
    )
    found, error = absolute_mag(25.0, 0.1, extinction_of(BAND, 8039.0, settings), settings)
    assert found == pytest.approx(-5.5)
    assert error == pytest.approx(0.3)


def test_without_a_distance_there_is_no_absolute_magnitude():
    settings = CounterpartSettings()
    found = absolute_mag(25.0, 0.1, extinction_of(BAND, 8039.0, settings), settings)
    assert all(map(math.isnan, found))
