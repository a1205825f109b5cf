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


def image(rng, x, y, peak, *, slope=0.0, fwhm=FWHM):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    r2 = (columns - x) ** 2 + (rows - y) ** 2
    light = peak * np.exp(-0.5 * r2 / (fwhm / 2.3548) ** 2) + slope * columns
    return light + rng.normal(0, 1.0, light.shape), np.ones(light.shape)


@pytest.mark.parametrize(
    ("peak", "fwhm"), [(8.0, FWHM), (50.0, FWHM), (50.0, DETECTORS["wfc3_ir"].fwhm_pix)]
)
def test_centres_scatter_as_their_errors_say(peak, fwhm):
    """The RMS of 160 values is known to 6 %: three times that."""
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(80):
        x, y = rng.uniform(11.5, 12.5, 2)
        told = image(rng, x, y, peak, slope=0.3, fwhm=fwhm)
        found = fitted_centroid(*told, 12.0, 12.0, fwhm_pix=fwhm)
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


def test_a_pixel_of_the_wing_is_not_the_centre():
    """Sought up to 2.2 widths off; four errors of either axis."""
    rng = np.random.default_rng(5)
    for off in (0.0, 1.5, 3.0, 4.0, 5.3):
        x, y = rng.uniform(11.5, 12.5, 2)
        found = fitted_centroid(*image(rng, x, y, 500.0), x + off, y, fwhm_pix=FWHM)
        assert abs(found.x - x) < 4 * found.x_error
        assert abs(found.y - y) < 4 * found.y_error


def test_a_slope_without_a_peak_has_no_centre():
    """A host's light, brighter towards the border of what is seen."""
    rng = np.random.default_rng(6)
    data, error = image(rng, 40.0, 12.0, 0.0, slope=50.0)
    with pytest.raises(UnusableInput):
        fitted_centroid(data, error, 12.0, 12.0, fwhm_pix=FWHM, max_move_pix=7.5)


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
    # From 0.08 arcsec east of the frame's middle to the star.
    moved = np.hypot(80.0 * math.cos(math.radians(FRAME.dec_deg)) - 20.0, 30.0)
    assert found.moved_mas == pytest.approx(moved, abs=4 * found.centroid.error_mas)
    assert f"{found.moved_mas:.1f} mas from the given place" in found.centroid.source


@pytest.mark.parametrize("off_arcsec", [0.0, 0.05, 0.1, 0.15, 0.17, 0.2])
def test_where_it_is_sought_does_not_move_it(tmp_path, off_arcsec):
    """Its place, by four errors."""
    bright = write_image(tmp_path / "a.fits", [(*STAR_ARCSEC, 600.0)])
    cosine = math.cos(math.radians(FRAME.dec_deg))
    place = FRAME.ra_deg + (STAR_ARCSEC[0] + off_arcsec) / 3600 / cosine, FRAME.dec_deg
    found = measured_position(bright, *place, UVIS, floor_mas=0.1)
    east = (found.ra_deg - FRAME.ra_deg) * cosine * 3.6e6
    assert abs(east - STAR_ARCSEC[0] * 1e3) < 4 * found.centroid.error_mas


def test_the_floor_is_how_far_stars_are_from_where_they_should_be(tmp_path):
    """Sixteen stars wrong by 2 mas; the radius of 68 % of them is known to 15 %: three times."""
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


def test_errors_that_are_bounded_do_not_make_the_floor_too_large(tmp_path):
    """Places wrong by 2 mas on each axis, one in six by 0: the circle of 68 % is that of 2.83 mas.

    By the median of the absolute values the floor were 2 / 0.6745, or 2.97. Fits of these stars are
    good to 0.1 mas. One that is wrong by 16 mas, as of a star with a neighbour, changes nothing.
    """
    steps = (-1.8, -1.1, -0.4, 0.4, 1.1, 1.8)
    grid = np.array([(east, north) for east in steps for north in steps[:5]])
    image = write_image(tmp_path / "a.fits", [(*each, 900.0) for each in grid], noise=0.5)
    wrong = grid + 0.002 * (np.arange(30) % 6 > 0)[:, None] * np.array([1.0, -1.0])
    wrong[7] += 0.016
    east, north = wrong.T / 3600
    places = np.column_stack(
        [FRAME.ra_deg + east / math.cos(math.radians(FRAME.dec_deg)), FRAME.dec_deg + north]
    )
    expected = 2.0 * math.sqrt(2.0) / 1.515
    assert centroid_floor(image, places, UVIS) == pytest.approx(expected, rel=0.05)


def test_a_source_too_far_from_the_place_is_another(stack):
    place = FRAME.ra_deg, FRAME.dec_deg + 0.36 / 3600
    with pytest.raises(UnusableInput, match=r"from the place|nothing is seen|no centroid"):
        measured_position(stack, *place, UVIS)


def test_where_only_noise_is_near_no_position_is_made_up(stack):
    """0.25 arcsec off are six pixels: no light of the star is within one width."""
    cosine = math.cos(math.radians(FRAME.dec_deg))
    place = FRAME.ra_deg + (STAR_ARCSEC[0] + 0.25) / 3600 / cosine, FRAME.dec_deg
    with pytest.raises(UnusableInput, match=r"nothing is seen|no centroid"):
        measured_position(stack, *place, UVIS)


def test_a_given_position_has_the_error_that_is_given():
    assert given_position(1.0, 2.0, 12.0).centroid.error_mas == 12.0


def test_without_a_position_the_user_is_told_what_to_set(tmp_path):
    with pytest.raises(BadConfiguration, match=r"counterpart\.ra_deg"):
        require_position(None, None, tmp_path)
