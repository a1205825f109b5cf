"""What bright stars tell: stamps without neighbours, and each image's shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.bright_stars import BrightStars, bright_stars
from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.fitted_stars import FitParameters
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets_tests.photometry.psf.small_fields import SmallField, field, jittered, psf

ERRORS = ((0.0, 0.0), (0.04, -0.06), (-0.05, 0.02), (0.01, 0.04))


def fitted(small: SmallField) -> FieldFit:
    return fit_field(small.stack(), small.box, FitParameters(), bright_only=True)


@pytest.fixture(scope="module")
def small() -> SmallField:
    """100 stars, 25 pixels apart, on four images that are not where their maps say."""
    x, y, counts = jittered(10, 25.0, faintest=3000, brightest=60_000)
    return field(x, y, counts, side=250, n_images=4, errors=ERRORS)


@pytest.fixture(scope="module")
def fit(small: SmallField) -> FieldFit:
    return fitted(small)


@pytest.fixture(scope="module")
def told(fit: FieldFit) -> BrightStars:
    return bright_stars(fit, first_star=70_000)


def test_shifts_of_images_from_the_common_places_are_measured(told: BrightStars) -> None:
    # The common places follow the mean of the four images.
    expected = np.array(ERRORS) - np.mean(ERRORS, axis=0)
    for k, shifts in enumerate(told.shifts):
        # 100 stars of S/N 30 to 200: some thousandths of a pixel in the mean.
        assert np.median(shifts.dx) == pytest.approx(expected[k, 0], abs=0.008)
        assert np.median(shifts.dy) == pytest.approx(expected[k, 1], abs=0.008)


def test_errors_of_shifts_are_those_of_the_noise(told: BrightStars) -> None:
    shifts = told.shifts[1]
    pulls = (shifts.dx - np.median(shifts.dx)) / shifts.error
    # A star's own noise is in the common place, too, for a quarter: sqrt(3/4).
    assert 1.4826 * np.median(abs(pulls)) == pytest.approx(0.87, abs=0.25)


def test_stamps_are_the_stars_without_sky_and_neighbours(fit: FieldFit, told: BrightStars) -> None:
    stamps = told.stamps[0]
    side = 2 * psf().radius_pix + 1
    at = np.arange(side)
    columns = stamps.x_first[:, None, None] + at[None, None, :]
    rows = stamps.y_first[:, None, None] + at[None, :, None]
    dx, dy = columns - stamps.x[:, None, None], rows - stamps.y[:, None, None]
    model = stamps.flux_e[:, None, None] * psf().at(*np.broadcast_arrays(dx, dy))
    chi = ((stamps.values_e - model) / np.sqrt(stamps.variance_e2))[stamps.good]
    assert np.mean(chi) == pytest.approx(0.0, abs=0.05)
    assert np.std(chi) == pytest.approx(1.0, abs=0.1)  # shifts of 0.04 pixel add to the noise


def test_stars_are_numbered_from_the_first(fit: FieldFit, told: BrightStars) -> None:
    for stamps in told.stamps:
        assert len(set(stamps.stars)) == len(stamps.stars)
        of_fit = stamps.stars - 70_000
        assert of_fit.min() >= 0
        assert of_fit.max() < len(fit.stars)


def test_pixels_beyond_the_image_are_not_good(told: BrightStars) -> None:
    stamps = told.stamps[0]
    side = 2 * psf().radius_pix + 1
    beyond = (stamps.x_first < 0) | (stamps.x_first + side > 250)
    beyond |= (stamps.y_first < 0) | (stamps.y_first + side > 250)
    assert beyond.any()
    assert not stamps.good[beyond].all(axis=(1, 2)).any()
    assert stamps.good[~beyond].all()


def test_light_of_neighbours_is_told(told: BrightStars) -> None:
    assert np.median(told.neighbour_share[0]) < 0.02  # 25 pixels apart
    x, y = np.array([30.3, 34.1]), np.array([30.1, 30.1])
    pair = bright_stars(fitted(field(x, y, np.array([20_000.0, 20_000.0]), side=64)))
    assert len(pair.neighbour_share[0]) == 2
    assert (pair.neighbour_share[0] > 0.1).all()  # a part of the neighbour is within 3 pixels


def test_a_saturated_pixel_nearby_spoils_a_star(small: SmallField) -> None:
    saturated = small.images[0].saturated.copy()
    saturated[round(small.y[44]) + 4, round(small.x[44])] = True
    images = [
        replace(small.images[0], saturated=saturated, good=~saturated),
        *small.images[1:],
    ]
    told = bright_stars(fitted(replace(small, images=images)))
    stamps = told.stamps[0]
    star = np.hypot(stamps.x - small.x[44], stamps.y - small.y[44]).argmin()
    assert np.flatnonzero(told.saturated[0]).tolist() == [star]
    assert not told.saturated[1].any()
