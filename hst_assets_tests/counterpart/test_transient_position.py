"""Centroids and their errors, against places that are known."""

import math

import numpy as np
import pytest

from hst_assets.counterpart.transient_position import (
    centroid_floor,
    fitted_centroid,
    given_position,
    measured_position,
    require_position,
)
from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets_tests.counterpart.sky_images import FRAME, write_image

SIDE, FWHM = 25, 2.4
UVIS = DETECTORS["wfc3_uvis"]


def image(rng, x, y, peak, *, slope=0.0):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    r2 = (columns - x) ** 2 + (rows - y) ** 2
    light = peak * np.exp(-0.5 * r2 / (FWHM / 2.3548) ** 2) + slope * columns
    return light + rng.normal(0, 1.0, light.shape), np.ones(light.shape)


@pytest.mark.parametrize("peak", [8.0, 50.0])
def test_centres_scatter_as_their_errors_say(peak):
    """The RMS of 160 values is known to 6 %: three times that."""
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(80):
        x, y = rng.uniform(11.5, 12.5, 2)
        found = fitted_centroid(*image(rng, x, y, peak, slope=0.3), 12.0, 12.0, fwhm_pix=FWHM)
        pulls += [(found.x - x) / found.x_error, (found.y - y) / found.y_error]
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.18)


def test_the_error_is_the_width_over_the_signal_to_noise_ratio():
    """King (1983): sigma / (S/N), of the flux, which for sky noise is near that of the peak."""
    rng = np.random.default_rng(2)
    found = fitted_centroid(*image(rng, 12.2, 11.9, 60.0), 12.0, 12.0, fwhm_pix=FWHM)
    assert found.error_pix == pytest.approx(FWHM / 2.3548 / found.snr, rel=0.25)


def test_nothing_has_no_centre():
    rng = np.random.default_rng(3)
    with pytest.raises(UnusableInput, match=r"nothing is seen|no centroid"):
        fitted_centroid(*image(rng, 12.0, 12.0, 0.0), 12.0, 12.0, fwhm_pix=FWHM)


def test_a_place_off_the_image_has_no_centre():
    rng = np.random.default_rng(4)
    with pytest.raises(UnusableInput, match="not on the image"):
        fitted_centroid(*image(rng, 12.0, 12.0, 50.0), 500.0, 12.0, fwhm_pix=FWHM)


STAR_ARCSEC = 0.02, -0.03


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    return write_image(tmp_path_factory.mktemp("stack") / "a.fits", [(*STAR_ARCSEC, 60.0)])


def test_a_position_is_measured_on_an_image(stack):
    """Sought 0.08 arcsec off; four errors of either axis."""
    place = FRAME.ra_deg + 0.08 / 3600, FRAME.dec_deg
    found = measured_position(stack, *place, UVIS, floor_mas=0.4)
    off_deg = (
        (found.ra_deg - FRAME.ra_deg) * math.cos(math.radians(FRAME.dec_deg)),
        found.dec_deg - FRAME.dec_deg,
    )
    off_mas = np.hypot(*(np.array(off_deg) * 3.6e6 - np.array(STAR_ARCSEC) * 1e3))
    assert off_mas < 4 * found.centroid.error_mas
    assert 0.4 < found.centroid.error_mas < 2.0
    assert found.measured_on == "a.fits"


def test_the_floor_is_how_far_stars_are_from_where_they_should_be(tmp_path):
    """Sixteen stars whose places are wrong by 2 mas; the median of 32 values is known to 22 %."""
    rng = np.random.default_rng(9)
    grid = [(east, north) for east in (-1.5, -0.5, 0.5, 1.5) for north in (-1.5, -0.5, 0.5, 1.5)]
    image = write_image(tmp_path / "a.fits", [(*each, 500.0) for each in grid], noise=0.5)
    wrong = np.array(grid) + rng.normal(0, 0.002, (16, 2))
    east, north = wrong.T / 3600
    cosine = math.cos(math.radians(FRAME.dec_deg))
    places = np.column_stack([FRAME.ra_deg + east / cosine, FRAME.dec_deg + north])
    found = centroid_floor(image, places, UVIS)
    assert found == pytest.approx(2.0, rel=0.5)
    assert centroid_floor(image, places, UVIS, places_error_mas=found) == 0.0
    assert math.isnan(centroid_floor(image, places[:5], UVIS))


def test_a_source_too_far_from_the_place_is_another(stack):
    place = FRAME.ra_deg, FRAME.dec_deg + 0.36 / 3600
    with pytest.raises(UnusableInput, match=r"0\.3 arcsec|nothing is seen|no centroid"):
        measured_position(stack, *place, UVIS)


def test_a_given_position_has_the_error_that_is_given():
    assert given_position(1.0, 2.0, 12.0).centroid.error_mas == 12.0


def test_without_a_position_the_user_is_told_what_to_set(tmp_path):
    with pytest.raises(BadConfiguration, match=r"counterpart\.ra_deg"):
        require_position(None, None, tmp_path)
