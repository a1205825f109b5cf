"""Stars found and fitted: completeness, fluxes, places, errors, and the gain of a free place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.field_fit import FieldFit, finest_scale
from hst_assets.photometry.psf.fitted_stars import FitParameters, Stars
from hst_assets.photometry.psf.image_fluxes import ForcedFit, forced_fit
from hst_assets.photometry.psf.star_search import fit_field, lattice_over
from hst_assets_tests.photometry.psf.small_fields import (
    EXPTIME_S,
    SmallField,
    field,
    jittered,
    matched,
    psf,
    shifted_map,
)
from hst_assets_tests.photometry.psf.star_frames import SKY_E


def fitted(small: SmallField, **parameters) -> FieldFit:
    return fit_field(small.stack(), small.box, FitParameters(**parameters))


def total(forced: ForcedFit) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean of the images' counts, and its error."""
    weight = 1 / forced.counts_error_e**2
    return (forced.counts_e * weight).sum(axis=0) / weight.sum(axis=0), weight.sum(axis=0) ** -0.5


@pytest.fixture(scope="module")
def crowd() -> SmallField:
    """324 stars, one in 8 x 8 pixels, in two bands."""
    x, y, counts = jittered(18, 8.0, faintest=600, brightest=30_000)
    return field(x, y, counts, side=144, n_images=4, bands=("red", "blue"))


@pytest.fixture(scope="module")
def fit(crowd: SmallField) -> FieldFit:
    return fitted(crowd)


@pytest.fixture(scope="module")
def forced(fit: FieldFit) -> ForcedFit:
    return forced_fit(fit)


@pytest.fixture(scope="module")
def of_true(crowd: SmallField, fit: FieldFit) -> np.ndarray:
    return matched(fit.stars.x, fit.stars.y, crowd.x, crowd.y)


def test_all_stars_are_found_once(crowd: SmallField, fit: FieldFit, of_true: np.ndarray) -> None:
    assert (of_true >= 0).mean() > 0.99
    # Noise peaks above 3.5 among 20,000 pixels with one star in 64.
    assert len(fit.stars) - (of_true >= 0).sum() < 30


def test_fluxes_and_their_errors_agree_with_the_truth(
    crowd: SmallField, forced: ForcedFit, of_true: np.ndarray
) -> None:
    known = of_true >= 0
    flux, error = total(forced)
    pulls = (flux[of_true[known]] - crowd.counts[known]) / error[of_true[known]]
    assert np.median(pulls) == pytest.approx(0.0, abs=0.25)  # 3 standard errors of a median
    # Robust standard deviation of 320; errors of the sky and of unseen neighbours add to it.
    assert 1.4826 * np.median(abs(pulls - np.median(pulls))) == pytest.approx(1.05, abs=0.2)


def test_places_and_their_errors_agree_with_the_truth(
    crowd: SmallField, fit: FieldFit, of_true: np.ndarray
) -> None:
    known = of_true >= 0
    found = of_true[known]
    pulls = (fit.stars.x[found] - crowd.x[known]) / np.sqrt(fit.stars.place_covariance[found, 0])
    assert np.median(pulls) == pytest.approx(0.0, abs=0.25)
    # Neighbours are held in this error: it is a little too small in a crowd.
    assert 1.4826 * np.median(abs(pulls - np.median(pulls))) == pytest.approx(1.15, abs=0.3)


def test_model_residual_and_sky_add_up_to_the_data(fit: FieldFit) -> None:
    left = fit.stack.data_e - fit.sky_e - fit.model_e - fit.residual_e
    np.testing.assert_allclose(left, 0, atol=0.02)  # single precision of 10,000 electrons


def test_what_is_left_is_noise(fit: FieldFit) -> None:
    chi = fit.residual_e * np.sqrt(fit.weight())
    assert np.std(chi) == pytest.approx(0.98, abs=0.04)  # 324 x 4 parameters of 83,000 pixels


def test_a_sky_that_was_estimated_too_high_is_put_right() -> None:
    x, y, counts = jittered(8, 16.0, faintest=600, brightest=30_000)
    small = field(x, y, counts, side=128)
    high = [replace(image, sky_e=image.sky_e + 25) for image in small.images]
    sky = fitted(replace(small, images=high)).sky_e
    assert sky.mean() == pytest.approx(SKY_E, abs=1.0)


def test_a_saturated_core_is_fitted_from_its_surroundings() -> None:
    at = np.array([40.3])
    small = field(at, at, np.array([200_000.0]), side=80, seed=None)
    holed = []
    for image in small.images:
        good = image.data_e < 20_000
        assert not good.all()
        holed.append(replace(image, good=good, saturated=~good))
    fit = fitted(replace(small, images=holed))
    best = fit.stars.rate[0].argmax()
    assert fit.stars.rate[0, best] * EXPTIME_S == pytest.approx(200_000.0, rel=0.02)


def test_stars_nearer_than_the_least_distance_are_one(fit: FieldFit) -> None:
    stars = fit.stars
    twin = Stars(
        stars.x[:1] + 0.3, stars.y[:1], stars.rate[:, :1] * 0.5, stars.rate_variance[:, :1],
        stars.place_covariance[:1], stars.wide[:1], stars.motion[:1],
    )  # fmt: skip
    doubled = replace(fit, stars=stars.joined(twin))
    doubled.prune(0.0)
    assert doubled.stars.x.tolist() == stars.x.tolist()


def test_stars_that_came_to_nothing_are_dropped(fit: FieldFit) -> None:
    least = 20.0
    pruned = replace(fit)
    pruned.prune(least)
    assert (pruned.stars.snr > least).all()
    assert len(pruned.stars) == (fit.stars.snr > least).sum()


def test_an_empty_field_has_no_stars() -> None:
    nothing = np.empty(0)
    small = field(nothing, nothing, nothing, side=64)
    # No star, or a peak of the noise: 3.5 sigma is 1 in 4300, of some 1000 independent points.
    assert len(fitted(small, final_snr=5.0).stars) == 0
    assert forced_fit(fitted(small, final_snr=5.0)).counts_e.shape == (2, 0)


def test_an_image_that_has_no_good_pixels_takes_no_part(crowd: SmallField) -> None:
    dead = replace(crowd.images[2], good=np.zeros((144, 144), dtype=bool))
    three = replace(crowd, images=[*crowd.images[:2], dead, crowd.images[3]])
    forced = forced_fit(fitted(three))
    assert np.isinf(forced.counts_error_e[2]).all()
    assert np.isfinite(forced.counts_error_e[[0, 1, 3]]).mean() > 0.9


def test_points_of_the_search_are_a_pixel_of_the_finest_image_apart(crowd: SmallField) -> None:
    fine = replace(crowd.images[0], pixel_map=shifted_map(0.0, 0.0, 144, scale=1.25))
    stack = replace(crowd, images=[crowd.images[1], fine]).stack()
    assert finest_scale(stack) == pytest.approx(1.25)
    lattice = lattice_over(stack, (0.0, 80.0, 0.0, 40.0))
    assert lattice.step == pytest.approx(0.8)
    assert (lattice.nx, lattice.ny) == (101, 51)


def test_the_gain_of_a_free_place_is_taken_off_faint_stars() -> None:
    """1444 stars of S/N 6 with fitted places are too bright by 1 / 36, and right thereafter."""
    at = np.arange(38) * 13.0 + 10.0
    rng = np.random.default_rng(8)
    x, y = (each.ravel() + rng.uniform(-0.5, 0.5, 38**2) for each in np.meshgrid(at, at))
    side = 500
    probe = forced_fit(_placed(field(x, y, np.full(38**2, 250.0), side=side), x, y, 250.0))
    counts = 6.0 * float(np.median(total(probe)[1]))
    small = field(x, y, np.full(38**2, counts), side=side)
    fit = _placed(small, x, y, counts)
    before = fit.counts()[0] / counts - 1
    after = total(forced_fit(fit))[0] / counts - 1
    # 1444 stars of 1/6: a standard error of the mean of 0.0044. First-order theory says 0.028.
    error = 1 / 6 / np.sqrt(len(x))
    assert before.mean() == pytest.approx(1 / 36, abs=3 * error)
    assert after.mean() == pytest.approx(0.0, abs=3 * error)
    assert before.mean() - after.mean() > 3 * error


def _placed(small: SmallField, x: np.ndarray, y: np.ndarray, counts: float) -> FieldFit:
    """All true stars, fitted from their places: no star is missing because it was too faint."""
    stack = small.stack()
    sky = stack.sky_e.copy()
    stars = Stars.at(x, y, np.full((1, len(x)), counts / EXPTIME_S))
    fit = FieldFit(stack, stars, sky, 0 * sky, stack.data_e - sky, FitParameters())
    fit.faintest_e = np.full(len(stack), 0.5)
    fit.render()
    fit.sweep(16)
    fit.render()
    assert psf().radius_pix == stack.optics.radius_pix
    return fit


@pytest.mark.parametrize("apart_pix", [1.7, 2.0])
def test_a_close_pair_is_two_stars_not_three(apart_pix: float) -> None:
    """The first search finds one star between both, the next what is left on its sides."""
    x, y = np.array([30.0, 30.0 + apart_pix]), np.array([30.3, 30.3])
    small = field(x, y, np.array([10_000.0, 10_000.0]), side=64, n_images=4)
    fit = fitted(small)
    counts, error = total(forced_fit(fit))
    near = np.hypot(fit.stars.x - 30.0, fit.stars.y - 30.3) < 5
    assert np.count_nonzero(near) == 2
    # 4 sigma; the errors, with the other star free, are a few per cent of the flux.
    assert np.all(abs(counts[near] - 10_000) < 4 * error[near])
    assert np.all(error[near] < 400)
