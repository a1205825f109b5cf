import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.detection.centroids import windowed_centroids
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.psf import psf_model


def star(x, y, sigma=1.2, side=41):
    rows, columns = np.mgrid[:side, :side]
    return 1e4 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_centre_of_a_sampled_star_is_its_place(dx, dy):
    image = star(20 + dx, 20 + dy)
    # From the brightest pixel, as a finder gives it.
    centre = windowed_centroids(image, np.array([20.0]), np.array([20.0]), fwhm_pix=2.8)
    assert centre[0] == pytest.approx([20 + dx, 20 + dy], abs=0.005)


@pytest.mark.parametrize(
    ("key", "filter_name", "pixel", "fwhm"),
    [("wfc3_ir", "F110W", 0.128, 1.3), ("wfc3_uvis", "F606W", 0.04, 2.0)],
)
def test_an_undersampled_star_is_not_drawn_to_the_middle_of_its_pixel(
    key, filter_name, pixel, fwhm
):
    psf = psf_model(key, band_of(key, filter_name), (pixel, pixel))
    worst = 0.0
    for phase in np.linspace(-0.5, 0.5, 11):
        image = np.zeros((61, 61))
        stamp, x0, y0 = psf.stamp(30 + phase, 30 - 0.3 * phase, 20)
        image[y0 : y0 + stamp.shape[0], x0 : x0 + stamp.shape[1]] += 1e5 * stamp
        centre = windowed_centroids(image, np.array([30.0]), np.array([30.0]), fwhm_pix=fwhm)
        worst = max(worst, float(np.abs(centre[0] - [30 + phase, 30 - 0.3 * phase]).max()))
    # DAOFIND is off by 0.1 to 0.2 pixel at the edge of a pixel.
    assert worst < 0.06


def test_a_star_at_the_edge_or_without_light_stays_where_it_was_found():
    image = star(40.3, 20.2)
    x, y = np.array([40.0, 5.0]), np.array([20.0, 5.0])
    centre = windowed_centroids(image - 10.0, x, y, fwhm_pix=2.8)
    assert np.isfinite(centre).all()
    assert centre[1].tolist() == [5.0, 5.0]


def test_a_brighter_neighbour_does_not_take_the_centre_away():
    image = star(20.2, 20.1) + 20 * star(24.5, 20.0)
    centre = windowed_centroids(image, np.array([20.0]), np.array([20.0]), fwhm_pix=2.8)
    assert np.hypot(*(centre[0] - [20.0, 20.0])) <= 1.0


def test_no_stars_have_no_centres():
    assert windowed_centroids(np.ones((9, 9)), np.zeros(0), np.zeros(0), fwhm_pix=2).shape == (0, 2)
