"""The effective PSF against stars whose PSF is not of the prior's kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.epsf import fit_epsf
from hst_assets_tests.photometry.psf.moffat_stars import (
    SHAPE,
    core_error,
    fitted,
    light_within,
    prior_of,
    stamps_of,
    truth,
)


@pytest.mark.parametrize("prior_fwhm", [1.53, 2.07])
def test_a_prior_of_wrong_width_is_put_right(prior_fwhm) -> None:
    rng = np.random.default_rng(1)
    prior = prior_of(prior_fwhm)
    fit = fit_epsf(stamps_of(truth(1.8), rng, n=80), prior, shape=SHAPE)
    # The prior's error is 5 to 6 % of the peak. 160 stamps of 3e4 electrons have 8e5 electrons in
    # their central pixels: the noise of a quarter of a pixel is about 0.3 %. The scale is the
    # prior's, whose light within 8 pixels is 0.5 % off.
    assert core_error(prior, truth(1.8)) > 0.04
    assert core_error(fit.psf, truth(1.8)) < 0.004
    assert fit.n_nodes == 1
    assert abs(fit.central_residual) < 0.01


@pytest.mark.parametrize("prior_fwhm", [1.53, 2.07])
def test_fluxes_are_tied_to_the_light_within_the_stated_radius(prior_fwhm) -> None:
    rng = np.random.default_rng(2)
    prior = prior_of(prior_fwhm)
    fit = fit_epsf(stamps_of(truth(1.8), rng, n=80), prior, shape=SHAPE, norm_radius_pix=8)
    # To 1e-4: a disc's light is summed at 4 places a pixel in the fit, at 8 here.
    assert light_within(fit.psf.at, 8) == pytest.approx(light_within(prior.at, 8), abs=2e-4)
    # Fluxes are off by the prior's error in that share and, from noise, by less than 0.3 %; by the
    # prior itself they are 2 to 7 % off.
    expected = light_within(truth(1.8), 8) / light_within(prior.at, 8)
    flux = fitted(fit.psf, truth(1.8), rng)[:, 0]
    assert flux.mean() == pytest.approx(expected, abs=0.003)
    assert flux.std() < 0.003  # over the phases of pixels
    assert abs(fitted(prior, truth(1.8), rng)[:, 0].mean() - 1) > 0.02


def test_the_psf_stays_centred() -> None:
    rng = np.random.default_rng(3)
    stamps = stamps_of(truth(1.8), rng, n=80)
    moved = replace(stamps, x=stamps.x + 0.05, y=stamps.y - 0.03)
    fit = fit_epsf(moved, prior_of(1.53), shape=SHAPE)
    place = fitted(fit.psf, truth(1.8), rng)[:, 1:].mean(axis=0)
    # The noise of 160 stars' places, 0.01 pixel each, is 0.001.
    assert np.abs(place).max() < 0.003


def test_a_linear_variation_is_found() -> None:
    low, high = truth(1.71), truth(1.89)  # 10 % from edge to edge

    def share(dx, dy, x):
        return (1 - x / SHAPE[1]) * low(dx, dy) + x / SHAPE[1] * high(dx, dy)

    rng = np.random.default_rng(4)
    stamps = stamps_of(share, rng, n=120, exposures=2, varying=True)
    fit = fit_epsf(stamps, prior_of(1.53), shape=SHAPE)
    assert fit.n_nodes == 3
    assert max(fit.psf.cell_pix) <= 256
    places = np.zeros(1), np.zeros(1)
    for x in (300.0, 3800.0):
        cell = fit.psf.cell_of(x, 1000)

        def here(dx, dy, x=x):
            return share(dx, dy, x)

        # A constant PSF's peak is 5 % off here.
        peak = fit.psf.at(*places, cell=cell) / here(*places)
        assert peak[0] == pytest.approx(1, abs=0.02)
        assert core_error(fit.psf, here, cell=cell) < 0.006


def test_noise_makes_no_variation() -> None:
    rng = np.random.default_rng(5)
    fit = fit_epsf(stamps_of(truth(1.8), rng, n=120), prior_of(1.8), shape=SHAPE)
    assert fit.n_nodes == 1


def test_a_prior_that_varies_goes_on_varying() -> None:
    rng = np.random.default_rng(6)
    narrow, wide = prior_of(1.6), prior_of(2.0)
    both = np.concatenate([narrow.coefficients, wide.coefficients], axis=1)
    prior = replace(narrow, coefficients=both, cell_pix=(2048.0, 2051.0))
    stamps = stamps_of(truth(1.8), rng, n=20, exposures=1)
    fit = fit_epsf(stamps, prior, shape=SHAPE, max_degree=0)
    assert fit.psf.coefficients.shape == both.shape
    middle = fit.psf.middle
    assert fit.psf.coefficients[0, 0, middle, middle] > fit.psf.coefficients[0, 1, middle, middle]


def test_without_stars_it_is_the_prior() -> None:
    prior = prior_of(1.8)
    stamps = stamps_of(truth(1.8), np.random.default_rng(7), n=2, exposures=1)
    fit = fit_epsf(stamps.of(np.zeros(2, bool)), prior, shape=SHAPE)
    assert fit.psf is prior
    assert (fit.n_used, fit.n_nodes, fit.remark) == (0, 0, "no PSF stars: prior PSF")
    assert np.isnan(fit.central_residual)


def test_with_few_stars_it_is_the_prior() -> None:
    prior = prior_of(1.8)
    stamps = stamps_of(truth(1.8), np.random.default_rng(8), n=3, exposures=1)
    fit = fit_epsf(stamps, prior, shape=SHAPE)
    assert fit.psf is prior
    assert fit.remark == "only 3 PSF stars: prior PSF"


def test_few_faint_stars_leave_a_good_prior_nearly_as_it_is() -> None:
    rng = np.random.default_rng(9)
    stamps = stamps_of(truth(1.8), rng, n=8, exposures=1, flux=(1e3, 2e3))
    fit = fit_epsf(stamps, prior_of(1.8), shape=SHAPE)
    # Eight stars of S/N 25 know the peak to 2 or 3 %; the expected error is below that.
    assert 0 < core_error(fit.psf, truth(1.8)) < 0.015


def test_neighbours_and_cosmic_rays_do_not_spoil_it() -> None:
    rng = np.random.default_rng(10)
    stamps = stamps_of(truth(1.8), rng, n=80)
    clean = fit_epsf(stamps, prior_of(1.53), shape=SHAPE)
    values = stamps.values_e.copy()
    side = values.shape[-1]
    offset = np.arange(side)
    for star in range(0, len(stamps), 10):  # an unseen neighbour of half the light, 2.5 pixels off
        angle = rng.uniform(0, 2 * np.pi)
        dx = stamps.x_first[star] + offset - stamps.x[star] - 2.5 * np.cos(angle)
        dy = stamps.y_first[star] + offset - stamps.y[star] - 2.5 * np.sin(angle)
        values[star] += 0.5 * stamps.flux_e[star] * truth(1.8)(*np.meshgrid(dx, dy))
    for star in range(1, len(stamps), 3):  # two cosmic rays anywhere in the stamp
        values[star, rng.integers(0, side, 2), rng.integers(0, side, 2)] += 3000.0
    spoiled = fit_epsf(replace(stamps, values_e=values), prior_of(1.53), shape=SHAPE)
    assert spoiled.n_rejected >= 10  # most of the 16 with neighbours
    # With a tenth of the stars left out, the noise is hardly more; one bad star in ten that counted
    # fully would add 5 % of the peak at 2.5 pixels, spread over angles: 1 %.
    assert core_error(spoiled.psf, truth(1.8)) < core_error(clean.psf, truth(1.8)) + 0.002
    assert core_error(spoiled.psf, truth(1.8), radius=8.0) < 0.003


def test_bad_pixels_do_not_count() -> None:
    rng = np.random.default_rng(11)
    stamps = stamps_of(truth(1.8), rng, n=40)
    bad = rng.random(stamps.values_e.shape) < 0.02
    broken = replace(stamps, values_e=np.where(bad, np.nan, stamps.values_e), good=~bad)
    whole = replace(stamps, good=~bad)
    first = fit_epsf(broken, prior_of(1.53), shape=SHAPE)
    second = fit_epsf(whole, prior_of(1.53), shape=SHAPE)
    np.testing.assert_array_equal(first.psf.coefficients, second.psf.coefficients)


def test_stars_whose_core_is_bad_are_left_out() -> None:
    stamps = stamps_of(truth(1.8), np.random.default_rng(12), n=10)
    good = stamps.good.copy()
    good[:4, 9:12, 9:12] = False
    fit = fit_epsf(replace(stamps, good=good), prior_of(1.53), shape=SHAPE)
    assert fit.n_rejected >= 4
    assert fit.n_used + fit.n_rejected == 20
