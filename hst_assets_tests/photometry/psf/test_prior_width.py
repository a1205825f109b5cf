"""A prior PSF gets the width of stars that are too few or too faint to make a PSF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.prior_width import PRIOR_ERROR, blurred, prior_of_width
from hst_assets.photometry.psf.psf_error import flux_of_width
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.star_stamps import StarStamps, joined_stamps
from hst_assets_tests.photometry.psf.known_fields import gaussian_psf
from hst_assets_tests.photometry.psf.moffat_stars import prior_of, stamps_of, truth

FWHM_PIX = 1.8
#: Of 400 to 1500 electrons on a sky of 60: S/N 8 to 25 on one exposure.
FAINT_E = (400.0, 1500.0)


def bias_of(psf: SplinePsf) -> float:
    """Relative error of a faint star's flux by a PSF, mean of a pixel's phases."""
    dx, dy = np.meshgrid(np.arange(-4.0, 5), np.arange(-4.0, 5))
    biases = []
    for shift in np.random.default_rng(7).uniform(-0.5, 0.5, (20, 2)):
        u, v = dx - shift[0], dy - shift[1]
        model = psf.at(u, v)
        biases.append((model * truth(FWHM_PIX)(u, v)).sum() / (model**2).sum() - 1)
    return float(np.mean(biases))


def error_told(psf: SplinePsf) -> float:
    """The same, as the PSF tells it."""
    return psf.width_error_pix2 * abs(flux_of_width(psf, fit_radius_pix=4)[0])


def objects(seed: int, *groups: tuple[int, float], exposures: int = 4) -> StarStamps:
    """So many objects each of so many times the FWHM of a star."""
    rng = np.random.default_rng(seed)
    parts = []
    for at, (n, wider) in enumerate(groups):
        part = stamps_of(truth(FWHM_PIX * wider), rng, n=n, exposures=exposures, flux=FAINT_E)
        parts.append(replace(part, star=part.stars + 100 * at))
    return joined_stamps(parts)


def pulls_of(groups: Sequence[tuple[int, float]], seeds: range) -> np.ndarray:
    """Bias of faint fluxes in units of the error told, where the prior is right."""
    prior = prior_of(FWHM_PIX)
    psfs = [prior_of_width(objects(seed, *groups), prior).psf for seed in seeds]
    return np.array([bias_of(psf) / error_told(psf) for psf in psfs])


@pytest.mark.parametrize("wrong", [0.95, 1.08])
def test_faint_stars_tell_the_width(wrong: float) -> None:
    stamps = stamps_of(truth(FWHM_PIX), np.random.default_rng(41), n=24, exposures=4, flux=FAINT_E)
    found = prior_of_width(stamps, prior_of(FWHM_PIX * wrong))
    # Of 24 stars with noise, one or two are taken for wider ones.
    assert found.n_used >= 22
    assert found.n_stars == 24
    before = abs(bias_of(prior_of(FWHM_PIX * wrong)))
    assert before > 0.045
    # 96 stamps of S/N 15 know a faint flux to 0.5 %; a blur tells four fifths of what a stretch is.
    assert abs(bias_of(found.psf)) < 0.4 * before
    assert 0.006 < error_told(found.psf) < 0.02
    assert found.wider == pytest.approx(1 / wrong - 1, abs=0.03)


def test_a_right_prior_is_confirmed_by_its_stars() -> None:
    found = prior_of_width(objects(44, (24, 1.0)), prior_of(FWHM_PIX))
    # Noise: 0.5 % of a faint flux; what is taken for galaxies adds little.
    assert abs(bias_of(found.psf)) < 0.012
    assert 0.003 < error_told(found.psf) < 0.01


@pytest.mark.parametrize("wider", [1.1, 1.2, 1.3])
@pytest.mark.parametrize("n_stars", [0, 5])
def test_the_error_holds_what_galaxies_do_to_the_width(n_stars: int, wider: float) -> None:
    groups = [(n_stars, 1.0), (20, wider)] if n_stars else [(20, wider)]
    # Galaxies of one width are the worst case; in twelve fields the RMS was 0.6 to 1.4.
    assert np.sqrt(np.mean(pulls_of(groups, range(50, 54)) ** 2)) < 1.5


def test_galaxies_of_many_widths_leave_that_of_stars() -> None:
    groups = [(8, 1.0), (7, 1.1), (7, 1.2), (6, 1.3)]
    psfs = [prior_of_width(objects(seed, *groups), prior_of(FWHM_PIX)).psf for seed in range(4)]
    # Of 8 % where all objects are averaged. Eight stars tell it to 1 %.
    assert np.mean([abs(bias_of(psf)) for psf in psfs]) < 0.025
    assert max(error_told(psf) for psf in psfs) < 0.04
    assert np.sqrt(np.mean([(bias_of(psf) / error_told(psf)) ** 2 for psf in psfs])) < 1.5


def test_many_exposures_of_a_star_are_one_width() -> None:
    stamps = objects(45, (3, 0.9), (3, 1.0), exposures=16)
    prior = prior_of(FWHM_PIX)
    told = prior_of_width(stamps, prior)
    apart = prior_of_width(replace(stamps, star=None), prior)
    assert (told.n_stars, apart.n_stars) == (6, 96)
    # Six stars whose FWHM scatters by 5 % know the mean to 2 %, however often each is seen.
    assert told.psf.width_error_pix2 > 1.5 * apart.psf.width_error_pix2


def test_narrow_stars_that_agree_overrule_the_prior() -> None:
    found = prior_of_width(objects(46, (24, 1.0)), prior_of(1.3 * FWHM_PIX))
    before = bias_of(prior_of(1.3 * FWHM_PIX))
    assert before > 0.2
    assert found.n_used >= 22
    assert found.wider == pytest.approx(1 / 1.3 - 1, abs=0.04)
    # A stretch by 30 % is not a blur: a third is left, and told.
    assert abs(bias_of(found.psf)) < min(0.4 * before, 1.5 * error_told(found.psf))


def test_wide_stars_that_a_galaxy_could_be_disagree_with_the_prior() -> None:
    found = prior_of_width(objects(47, (24, 1.0)), prior_of(0.75 * FWHM_PIX))
    assert found.remark.endswith(f"% wider: only {found.n_used} of 24 objects have this width")
    # The bound, 2.5 errors of the prior's 5 %, as the change of a FWHM.
    assert 0.08 < found.wider < 0.17
    assert abs(bias_of(found.psf)) < 1.5 * error_told(found.psf)


def test_without_stars_the_prior_stays_and_its_error_is_told() -> None:
    stamps = stamps_of(truth(FWHM_PIX), np.random.default_rng(42), n=1, exposures=1)
    prior = prior_of(FWHM_PIX)
    found = prior_of_width(stamps.of(np.empty(0, dtype=np.int64)), prior)
    np.testing.assert_array_equal(found.psf.coefficients, prior.coefficients)
    wide = prior_of(FWHM_PIX * (1 + PRIOR_ERROR))
    # The pixel, which is part of the width that is told, does not grow with the optics' FWHM.
    assert error_told(found.psf) == pytest.approx(bias_of(wide) - bias_of(prior), rel=0.35)
    assert found.remark == "prior PSF, its width known to 5%"


def test_what_is_no_star_does_not_tell_the_width() -> None:
    rng = np.random.default_rng(43)
    stars = stamps_of(truth(FWHM_PIX), rng, n=6, exposures=2, flux=FAINT_E)
    galaxies = stamps_of(truth(2.2 * FWHM_PIX), rng, n=6, exposures=2, flux=(2e3, 4e3))
    both = joined_stamps([stars, replace(galaxies, star=galaxies.stars + 6)])
    found = prior_of_width(both, prior_of(FWHM_PIX))
    assert found.n_stars == 12
    assert found.n_used <= 6
    # The prior is right: what 12 stamps of stars say is so to 2 %.
    assert abs(found.wider) < 0.03
    assert found.remark.endswith(f"{found.n_used} of 12 faint stars have this width")


@pytest.mark.parametrize("half_moment_pix2", [-0.06, 0.06])
def test_a_blurred_psf_is_that_of_another_width(half_moment_pix2: float) -> None:
    sigma = float(np.sqrt(0.8**2 + 2 * half_moment_pix2))
    dx, dy = np.meshgrid(np.arange(-4.0, 5, 0.5), np.arange(-4.0, 5, 0.5))
    expected = gaussian_psf(sigma).at(dx, dy)
    found = blurred(gaussian_psf(0.8), half_moment_pix2).at(dx, dy)
    # Of 16 to 23 % by which the peaks differ: slopes are taken over half a pixel.
    assert np.abs(found - expected).max() < 0.03 * expected.max()
