"""Errors hold what a PSF of another width than a star's own makes of its flux."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hst_assets.photometry.psf.epsf import fit_epsf
from hst_assets.photometry.psf.forced import forced_photometry
from hst_assets.photometry.psf.measurement import MeasureParameters, measure_target
from hst_assets.photometry.psf.psf_error import enlarged, flux_of_width
from hst_assets_tests.photometry.psf.known_fields import KEY, gaussian_psf, known_field
from hst_assets_tests.photometry.psf.moffat_stars import SHAPE, prior_of, stamps_of, truth

WIDTH_ERROR_PIX2 = 0.02
FLUXES = (1e3, 1e4, 1e5)


@pytest.mark.parametrize(("ratio", "at"), [(0.1, 0), (1e6, -1)])
def test_the_change_of_fluxes_is_that_of_a_fit(ratio: float, at: int) -> None:
    psf, wider = gaussian_psf(0.8), gaussian_psf(float(np.sqrt(0.8**2 + 2 * WIDTH_ERROR_PIX2)))
    dx, dy = np.meshgrid(np.arange(-4.0, 5), np.arange(-4.0, 5))
    inside = np.hypot(dx, dy) <= 4.5
    model, star = psf.at(dx, dy)[inside], wider.at(dx, dy)[inside]
    weight = 1 / (1 + ratio * model)
    fitted = (weight * model * star).sum() / (weight * model**2).sum()
    change = WIDTH_ERROR_PIX2 * flux_of_width(psf, fit_radius_pix=4)[at]
    # To first order in the change of the second moment, which is 6 % of it. A bright star's flux is
    # nearly its sum within the radius, which hardly changes.
    assert change == pytest.approx(fitted - 1, rel=0.1, abs=1e-4)
    assert abs(change) > 0.02 if ratio < 1 else abs(change) < 0.005


def test_stars_of_one_width_have_no_such_error() -> None:
    stamps = stamps_of(truth(1.8), np.random.default_rng(31), n=30, exposures=2)
    fit = fit_epsf(stamps, prior_of(1.9), shape=SHAPE, max_degree=0)
    # 5e3 to 1e5 electrons know a width to 0.002 to 0.03 pixel squared each.
    assert fit.psf.width_error_pix2 < 0.003


def test_widths_that_differ_are_the_error() -> None:
    narrow, wide = truth(1.71), truth(1.89)

    def share(dx, dy, x):
        return np.where(x < SHAPE[1] / 2, narrow(dx, dy), wide(dx, dy))

    rng = np.random.default_rng(32)
    stamps = stamps_of(share, rng, n=30, exposures=2, varying=True)
    fit = fit_epsf(stamps, prior_of(1.8), shape=SHAPE, max_degree=0)
    # Fluxes of faint stars of either half by the PSF of all, and by that of their own half.
    dx, dy = np.meshgrid(np.arange(-4.0, 5), np.arange(-4.0, 5))
    model = fit.psf.at(dx, dy)
    off = np.ptp([(model * each(dx, dy)).sum() / (model**2).sum() for each in (narrow, wide)]) / 2
    told = fit.psf.width_error_pix2 * abs(flux_of_width(fit.psf, fit_radius_pix=4)[0])
    # The scatter of 30 stars is known to 13 %; a Moffat is not widened as by a blur.
    assert told == pytest.approx(off, rel=0.3)


def test_a_variation_is_found_by_few_stars() -> None:
    low, high = truth(1.71), truth(1.89)  # 10 % from edge to edge

    def share(dx, dy, x):
        return (1 - x / SHAPE[1]) * low(dx, dy) + x / SHAPE[1] * high(dx, dy)

    stamps = stamps_of(
        share, np.random.default_rng(200), n=25, exposures=4, flux=(3e3, 5e4), varying=True
    )
    fit = fit_epsf(stamps, prior_of(1.9), shape=SHAPE)
    assert fit.n_nodes == 3
    # A constant PSF has widths that differ by 0.016 to 0.02.
    assert fit.psf.width_error_pix2 < 0.005


def test_the_error_of_a_mean_holds_it_once(tmp_path: Path) -> None:
    place = 40.0 + 60.0 * np.arange(len(FLUXES))
    field = known_field(
        place, place, np.tile(np.array(FLUXES), (4, 1)), shape=(200, 200), seed=33
    )  # fmt: skip
    parameters = MeasureParameters(tile_pix=400, max_psf_stars=0, cosmic_rays=False)
    squares = []
    # Of a prior that tells no error, that of any prior is taken.
    for error in (1e-9, WIDTH_ERROR_PIX2):
        folder = tmp_path / str(error)
        folder.mkdir()
        psf = replace(gaussian_psf(), width_error_pix2=error)
        stars = measure_target(field.sources, {KEY: psf}, folder=folder, parameters=parameters)
        bright = np.argsort(-stars.counts_e[0])[: len(FLUXES)]
        assert (np.hypot(stars.x[bright] - place[::-1], stars.y[bright] - place[::-1]) < 0.3).all()
        squares.append(1 / (1 / stars.counts_error_e[:, bright] ** 2).sum(axis=0))
    added = np.sqrt(squares[1] - squares[0]) / np.array(FLUXES[::-1])
    change = abs(WIDTH_ERROR_PIX2 * flux_of_width(gaussian_psf(), fit_radius_pix=4))
    # A share between that of bright and that of faint stars, larger for fainter ones.
    assert (np.diff(added) > 0).all()
    assert (added > change.min()).all()
    assert (added < change.max()).all()


def test_what_is_left_and_the_psf_add_in_quadrature() -> None:
    assert enlarged(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]])).tolist() == [[1, 12**0.5]]


def test_forced_fluxes_hold_it_as_the_catalogues_do() -> None:
    """The same stars without neighbours, with and without an error of the width."""
    place = 40.0 + 60.0 * np.arange(len(FLUXES))
    counts = np.tile(np.array(FLUXES), (4, 1))
    field = known_field(place, place, counts, shape=(200, 200), seed=33)
    told = [
        forced_photometry(
            field.sources,
            replace(field.kept, psfs={KEY: replace(gaussian_psf(), width_error_pix2=error)}),
            place,
            place,
        )
        for error in (0.0, WIDTH_ERROR_PIX2)
    ]
    assert (told[0].width_error_e == 0).all()
    np.testing.assert_array_equal(told[0].counts_e, told[1].counts_e)
    share = told[1].width_error_e / counts
    change = abs(WIDTH_ERROR_PIX2 * flux_of_width(gaussian_psf(), fit_radius_pix=4))
    assert (np.diff(share, axis=1) < 0).all()
    assert (share > change.min()).all()
    assert (share < change.max()).all()
    both = np.hypot(told[0].counts_error_e, told[1].width_error_e)
    np.testing.assert_allclose(told[1].counts_error_e, both, rtol=1e-9)
    ratio = told[1].rate_error_e_s / told[1].counts_error_e
    np.testing.assert_allclose(ratio, told[0].rate_error_e_s / told[0].counts_error_e, rtol=1e-9)
