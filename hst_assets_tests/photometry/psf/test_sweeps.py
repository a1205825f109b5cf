"""The loops that fit stars: against scipy's splines and dense least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.star_light import add_stars, places_on_images, star_stamp
from hst_assets.photometry.psf.sweeps import fit_sweep, forced_sweep
from hst_assets_tests.photometry.psf.normal_equations import on_image, slopes
from hst_assets_tests.photometry.psf.small_fields import (
    DITHERS,
    EXPTIME_S,
    SmallField,
    field,
    jittered,
    psf,
    scattered,
)
from hst_assets_tests.photometry.psf.star_frames import READ_NOISE_E, SKY_E, models

RADIUS = 4
#: Light that need not be taken off, electrons: so little that all stamps have their full size.
ALL_LIGHT = 1e-9
#: Rounding of single precision in sums of some ten products, relative to a star's peak.
SINGLE = 3e-6


@dataclass
class Fit:
    """What a sweep changes."""

    stack: ImageStack
    residual: np.ndarray
    weight: np.ndarray
    x: np.ndarray
    y: np.ndarray
    rate: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray
    change: np.ndarray
    used: np.ndarray

    def sweep(self, n: int = 1, *, gain: float = 1.0, largest_step: float = 0.5) -> Fit:
        optics = self.stack.optics
        faintest = np.full(len(self.stack), ALL_LIGHT)
        for _ in range(n):
            fit_sweep(
                self.residual, self.weight, self.stack.shapes, self.stack.exptime_s,
                self.stack.band_of, optics.lattice, optics.knots, optics.splines, optics.cells,
                optics.cell_pix, optics.origin, optics.middle, optics.profiles, self.x, self.y,
                self.rate, self.variance, self.covariance, self.change, np.arange(len(self.x)),
                self.used, RADIUS, faintest, largest_step, gain,
            )  # fmt: skip
        return self


def begun(small: SmallField, x, y, counts) -> Fit:
    """Stars at given places with given counts, their light taken off."""
    stack = small.stack()
    weight = stack.weight(stack.sky_e, np.zeros_like(stack.sky_e))
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    rate = np.repeat(np.asarray(counts, dtype=float)[None] / EXPTIME_S, len(stack.bands), axis=0)
    light = [
        models((small.side, small.side), psf(), x + dx, y + dy, np.asarray(counts))
        for dx, dy in DITHERS[: len(stack)]
    ]
    residual = (stack.data_e - stack.sky_e - np.array(light)).astype(np.float32)
    n = len(x)
    return Fit(
        stack, residual, weight, x, y, rate, np.full(rate.shape, np.inf),
        np.full((n, 3), np.inf), np.full(n, np.inf),
        np.ones((len(stack), n), dtype=bool),
    )  # fmt: skip


@pytest.fixture(scope="module")
def crowded() -> SmallField:
    """36 stars in 42 x 42 pixels, from 3 pixels apart: all overlap; without noise."""
    x, y, counts = jittered(6, 7.0, faintest=500, brightest=20_000)
    return field(x, y, counts, side=42, seed=None)


def circle(side: int, xk: float, yk: float) -> np.ndarray:
    """Pixels that are fitted of a star."""
    rows, columns = np.mgrid[:side, :side]
    half = np.floor(np.sqrt((RADIUS + 0.5) ** 2 - (rows - np.floor(yk + 0.5)) ** 2 + 0j).real)
    near = abs(rows - np.floor(yk + 0.5)) <= RADIUS
    return near & (abs(columns - np.floor(xk + 0.5)) <= half)


def test_stars_are_added_as_the_spline_has_them(crowded: SmallField) -> None:
    stack = crowded.stack()
    optics = stack.optics
    images = np.zeros_like(stack.data_e)
    counts = np.repeat(crowded.counts[None], len(stack), axis=0)
    add_stars(
        images, stack.shapes, optics.lattice, optics.knots, optics.splines, optics.cells,
        optics.cell_pix, optics.origin, optics.middle, optics.profiles, crowded.x, crowded.y,
        counts, np.full(len(stack), ALL_LIGHT), RADIUS,
    )  # fmt: skip
    peak = crowded.counts.max() * psf().at(np.zeros(1), np.zeros(1))[0]
    np.testing.assert_allclose(images, stack.data_e - SKY_E, atol=10 * SINGLE * peak)


def test_light_that_need_not_be_taken_off_is_less_than_the_limit() -> None:
    small = field(np.array([20.0]), np.array([20.0]), np.array([500.0]), side=40, seed=None)
    stack, optics = small.stack(), small.stack().optics
    images = np.zeros_like(stack.data_e)
    add_stars(
        images, stack.shapes, optics.lattice, optics.knots, optics.splines, optics.cells,
        optics.cell_pix, optics.origin, optics.middle, optics.profiles, small.x, small.y,
        np.full((2, 1), 500.0), np.full(2, 0.5), RADIUS,
    )  # fmt: skip
    left = stack.data_e - SKY_E - images
    assert 0.05 < left.max() < 0.5


def test_places_follow_the_maps() -> None:
    small = field(np.empty(0), np.empty(0), np.empty(0), side=64, n_images=4)
    optics = small.stack().optics
    x, y = np.random.default_rng(1).uniform(0, 64, (2, 20))
    xs, ys = places_on_images(optics.lattice, optics.knots, x, y)
    expected = np.array(DITHERS)
    np.testing.assert_allclose(xs, x + expected[:, :1], atol=1e-9)
    np.testing.assert_allclose(ys, y + expected[:, 1:], atol=1e-9)


def test_a_stamp_has_the_psf_and_its_slopes_with_the_place(crowded: SmallField) -> None:
    optics = crowded.stack().optics
    stamp, corner = np.empty((3, 9, 9), dtype=np.float32), np.empty(2, dtype=np.int64)
    x, y = np.array([24.3]), np.array([21.8])
    star_stamp(
        1, optics.lattice, optics.knots, optics.splines, optics.cells, optics.cell_pix,
        optics.origin, optics.middle, x[0], y[0], RADIUS, stamp, corner, np.empty((4, 4)),
    )  # fmt: skip
    rows, columns = (slice(first, first + 9) for first in (corner[1], corner[0]))
    along_x, along_y = slopes(crowded, 1, x, y, radius=8)
    whole = (on_image(crowded, 1, x, y, radius=8), along_x, along_y)
    expected = np.array([plane[0, rows, columns] for plane in whole])
    assert expected[0].argmax() == 40  # the star is in the middle pixel
    np.testing.assert_allclose(stamp, expected, atol=2e-6)


def test_a_star_alone_gets_the_flux_of_a_weighted_fit() -> None:
    small = field(np.array([20.3]), np.array([21.8]), np.array([900.0]), side=44)
    fit = begun(small, small.x, small.y, [0.0])
    residual = fit.residual.copy()
    fit.sweep(gain=0.0)
    num = den = 0.0
    for k, (dx, dy) in enumerate(DITHERS[:2]):
        p = on_image(small, k, small.x, small.y, radius=9)[0]
        w = np.where(circle(44, 20.3 + dx, 21.8 + dy), fit.weight[k], 0)
        num, den = num + (w * p * residual[k]).sum(), den + (w * p * p).sum()
    assert fit.rate[0, 0] * EXPTIME_S == pytest.approx(num / den, rel=1e-5)
    assert fit.variance[0, 0] * EXPTIME_S**2 == pytest.approx(1 / den, rel=1e-5)


def test_sweeps_find_fluxes_and_places_of_a_crowd(crowded: SmallField) -> None:
    shift = np.random.default_rng(4).uniform(-0.2, 0.2, (2, 36))
    fit = begun(crowded, crowded.x + shift[0], crowded.y + shift[1], 0.8 * crowded.counts)
    fit.sweep(60, gain=0.9)
    # Without noise the truth fits exactly; what is left is single precision in the residuals.
    np.testing.assert_allclose(fit.rate[0] * EXPTIME_S, crowded.counts, rtol=2e-3)
    np.testing.assert_allclose([fit.x, fit.y], [crowded.x, crowded.y], atol=3e-3)
    assert np.abs(fit.residual).max() < 1.0


def test_the_residual_is_kept_up_to_date(crowded: SmallField) -> None:
    shift = np.random.default_rng(4).uniform(-0.2, 0.2, (2, 36))
    fit = begun(crowded, crowded.x + shift[0], crowded.y + shift[1], 0.8 * crowded.counts)
    fit.sweep(3)
    anew = begun(crowded, fit.x, fit.y, fit.rate[0] * EXPTIME_S).residual
    np.testing.assert_allclose(fit.residual, anew, atol=0.05)  # of peaks of 4000 electrons


def test_a_place_has_the_error_of_the_normal_equations() -> None:
    small = field(np.array([20.3]), np.array([21.8]), np.array([3000.0]), side=44, seed=None)
    fit = begun(small, small.x, small.y, small.counts).sweep()
    normal = np.zeros((3, 3))
    for k, (dx, dy) in enumerate(DITHERS[:2]):
        w = np.where(circle(44, 20.3 + dx, 21.8 + dy), fit.weight[k], 0)
        along = [s[0] * 3000.0 for s in slopes(small, k, small.x, small.y, radius=9)]
        design = np.array([on_image(small, k, small.x, small.y, radius=9)[0], *along])
        normal += np.einsum("ayx,byx,yx->ab", design, design, w)
    covariance = np.linalg.inv(normal)
    expected = [covariance[1, 1], covariance[2, 2], covariance[1, 2]]
    np.testing.assert_allclose(fit.covariance[0], expected, rtol=1e-3, atol=1e-9)


def test_bands_have_fluxes_of_their_own() -> None:
    x, y = np.array([20.3]), np.array([21.8])
    red = field(x, y, np.array([4000.0]), side=44, seed=None, bands=("red", "blue"))
    blue = field(x, y, np.array([700.0]), side=44, seed=None, bands=("red", "blue"))
    both = SmallField([red.images[0], blue.images[1]], x, y, red.counts, 44)
    fit = begun(both, x + 0.1, y - 0.1, [100.0]).sweep(20)
    np.testing.assert_allclose(fit.rate[:, 0] * EXPTIME_S, [4000.0, 700.0], rtol=1e-3)


def test_an_image_that_does_not_decide_of_a_star_follows_the_others() -> None:
    at = np.array([20.3])
    dim, bright = (field(at, at, np.array([flux]), side=44, seed=None) for flux in (1e3, 3e3))
    both = SmallField([dim.images[0], bright.images[1]], at, at, at, 44)
    fit = begun(both, at, at, [0.0])
    fit.used[1] = False
    before = fit.residual[1].copy()
    fit.sweep(10)
    assert fit.rate[0, 0] * EXPTIME_S == pytest.approx(1e3, rel=1e-4)
    # Its light is taken off there, too.
    assert (before - fit.residual[1]).sum() == pytest.approx(1e3 * psf().sum, rel=0.01)


def test_held_places_do_not_move(crowded: SmallField) -> None:
    fit = begun(crowded, crowded.x + 0.1, crowded.y, crowded.counts).sweep(2, gain=0.0)
    np.testing.assert_array_equal(fit.x, crowded.x + 0.1)
    assert np.isinf(fit.covariance).all()


def test_a_star_moves_no_farther_than_the_largest_step(crowded: SmallField) -> None:
    fit = begun(crowded, crowded.x + 0.4, crowded.y, crowded.counts)
    before = fit.x.copy()
    fit.sweep(largest_step=0.05)
    assert np.abs(fit.x - before).max() == pytest.approx(0.05)


def test_a_star_without_good_pixels_has_no_error(crowded: SmallField) -> None:
    fit = begun(crowded, [24.0, -300.0], [24.0, -300.0], [50.0, 50.0])
    fit.weight[:] = 0
    fit.sweep()
    assert np.isinf(fit.variance).all()
    np.testing.assert_array_equal(fit.rate, 50.0 / EXPTIME_S)


def test_forced_fluxes_are_those_of_a_fit_of_all_stars_together() -> None:
    """With pixels and stamps as wide as the PSF, the sweeps solve the normal equations."""
    x, y, counts = scattered(12, 40, faintest=300, brightest=6000)
    small = field(x, y, counts, side=40)
    fit = begun(small, x, y, np.zeros(12))
    stack, optics, k = fit.stack, fit.stack.optics, 1
    # Of the fit within 4 pixels, each star's own equation: its pixels, all stars' light in them.
    design = on_image(small, k, x, y, radius=psf().radius_pix)
    dx, dy = DITHERS[k]
    own = [
        np.where(circle(40, xs + dx, ys + dy), fit.weight[k], 0) * p
        for xs, ys, p in zip(x, y, design, strict=True)
    ]
    matrix = np.einsum("ayx,byx->ab", own, design)
    expected = np.linalg.solve(matrix, np.einsum("ayx,yx->a", own, fit.residual[k]))
    found, variance = np.zeros(12), np.empty(12)
    for _ in range(200):
        largest = forced_sweep(
            fit.residual[k], fit.weight[k], k, stack.shapes, optics.splines, optics.cells,
            optics.cell_pix, optics.origin, optics.middle, optics.profiles, x + dx, y + dy, found,
            variance, np.arange(12), RADIUS, ALL_LIGHT,
        )  # fmt: skip
    assert largest < 1e-3
    np.testing.assert_allclose(found, expected, atol=0.05)  # a thousandth of a standard error
    np.testing.assert_allclose(variance, 1 / np.diag(matrix), rtol=1e-4)


def test_errors_of_single_stars_are_those_of_the_noise() -> None:
    """400 stars far from each other, one image: fluxes scatter as their errors say."""
    at = np.arange(20) * 18.0 + 12.0
    x, y = (each.ravel() for each in np.meshgrid(at, at))
    counts = np.full(400, 800.0)
    small = field(x, y, counts, side=372, n_images=1)
    fit = begun(small, x, y, counts)
    variance = fit.stack.data_e - SKY_E - fit.residual + SKY_E + READ_NOISE_E**2
    fit.weight = (1 / variance).astype(np.float32)
    fit.sweep(3, gain=0.0)
    pulls = (fit.rate[0] * EXPTIME_S - 800.0) / (np.sqrt(fit.variance[0]) * EXPTIME_S)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.11)  # 3 / sqrt(2 x 400)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.15)  # 3 / sqrt(400)
