"""Where stars are found: places, fluxes, false ones, and what is not a star."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.peaks import (
    Lattice,
    Matched,
    filter_kernel,
    matched_filter,
    new_peaks,
    phases_of_pixel,
)
from hst_assets.photometry.psf.prior_psf import prior_psf
from hst_assets_tests.photometry.psf.small_fields import (
    EXPTIME_S,
    SmallField,
    field,
    gaussian_over_pixels,
    jittered,
    matched,
    narrow_psf,
)
from hst_assets_tests.photometry.psf.star_frames import READ_NOISE_E, SKY_E

NOTHING = (np.empty(0), np.empty(0), np.empty(0))


def seen(small: SmallField, weight: np.ndarray | None = None) -> tuple[Matched, Lattice]:
    stack = small.stack()
    lattice = Lattice(0.0, 0.0, 1.0, small.side + 1, small.side + 1)
    if weight is None:
        weight = stack.weight(stack.sky_e, np.zeros_like(stack.sky_e))
    return matched_filter(stack, stack.data_e - stack.sky_e, weight, lattice), lattice


@pytest.fixture(scope="module")
def apart() -> SmallField:
    """49 stars, 14 pixels from each other, from 10 to 50 times the noise."""
    x, y, counts = jittered(7, 20.0, faintest=400, brightest=3000)
    return field(x, y, counts, side=140, n_images=4)


def test_every_bright_star_is_found_at_its_place(apart: SmallField) -> None:
    x, y, _ = new_peaks(*seen(apart), threshold=5.0)
    found = matched(x, y, apart.x, apart.y)
    assert (found >= 0).all()
    # A parabola through three points a pixel apart: a few hundredths, and the noise of S/N 10.
    np.testing.assert_allclose(x[found], apart.x, atol=0.25)
    assert np.mean(x[found] - apart.x) == pytest.approx(0.0, abs=0.05)
    assert np.mean(y[found] - apart.y) == pytest.approx(0.0, abs=0.05)


def test_nothing_else_is_found(apart: SmallField) -> None:
    x, _, _ = new_peaks(*seen(apart), threshold=5.0)
    assert len(x) == len(apart.x)


def test_rates_are_those_of_the_stars(apart: SmallField) -> None:
    x, y, rate = new_peaks(*seen(apart), threshold=5.0)
    ratio = rate[0, matched(x, y, apart.x, apart.y)] * EXPTIME_S / apart.counts
    # At the nearest point the filter is up to 0.7 pixel off, where it has 0.8 of a star's light.
    assert np.median(ratio) == pytest.approx(0.95, abs=0.1)


def test_noise_has_the_ratio_of_noise() -> None:
    snr = seen(field(*NOTHING, side=150))[0].snr[0, 20:-20, 20:-20]
    # Interpolation between pixels averages: the ratio is below one, by up to a fifth.
    assert 0.75 < snr.std() < 1.02
    assert snr.mean() == pytest.approx(0.0, abs=0.05)


def test_a_star_is_brighter_in_its_own_band() -> None:
    at = np.array([40.0])
    red = field(at, at, np.array([2000.0]), side=80, bands=("red", "blue"))
    blue = field(at, at, np.array([0.0]), side=80, bands=("red", "blue"))
    both = SmallField([red.images[0], blue.images[1]], at, at, at, 80)
    x, _, rate = new_peaks(*seen(both), threshold=6.0)
    assert len(x) == 1
    assert rate[0, 0] > 10 * rate[1, 0]


def test_bands_together_find_what_each_alone_does_not() -> None:
    ratios = np.full((4, 3, 3), 3.0, dtype=np.float32)
    together = Matched(ratios, ratios).together
    np.testing.assert_allclose(together, 6.0)  # 4 x 3 / sqrt(4)
    ratios[1:] = 0
    np.testing.assert_allclose(Matched(ratios, ratios).together, 3.0)


def test_pixels_without_weight_do_not_count(apart: SmallField) -> None:
    stack = apart.stack()
    weight = np.full_like(stack.data_e, 1 / (SKY_E + READ_NOISE_E**2))
    weight[:, :, :70] = 0
    x, _, _ = new_peaks(*seen(apart, weight), threshold=5.0)
    assert len(x) > 15
    assert x.min() > 60


def test_no_peak_beside_a_known_star(apart: SmallField) -> None:
    known = (apart.x[:10] + 0.3, apart.y[:10])
    x, y, _ = new_peaks(*seen(apart), threshold=5.0, known=known, least_distance_pix=1.0)
    assert len(x) == len(apart.x) - 10
    assert (matched(x, y, apart.x, apart.y)[10:] >= 0).all()


def test_a_peak_that_is_a_small_share_of_the_starlight_is_none(apart: SmallField) -> None:
    found, lattice = seen(apart)
    bright = Matched(found.rate * 10, found.snr * 10)
    kept = new_peaks(found, lattice, threshold=5.0, starlight=bright, least_share=0.05)
    none = new_peaks(found, lattice, threshold=5.0, starlight=bright, least_share=0.2)
    assert (len(kept[0]), len(none[0])) == (len(apart.x), 0)


#: In the middle of a pixel, between two, and between four.
PHASES = np.array([[40.0, 40.0], [60.5, 40.0], [40.0, 60.5], [60.5, 60.5]])


def undersampled(places: np.ndarray, counts: float) -> tuple[ImageStack, Lattice]:
    """One image of stars with a narrow PSF, without noise, and half pixels to look at."""
    fluxes = np.full(len(places), counts)
    small = field(*places.T, fluxes, side=100, n_images=1, seed=None, star_psf=narrow_psf())
    return small.stack(), Lattice(0.0, 0.0, 0.5, 200, 200)


def test_only_pixels_that_are_wide_for_the_psf_are_divided(apart: SmallField) -> None:
    assert phases_of_pixel(apart.stack(), 0) == 1
    assert phases_of_pixel(undersampled(PHASES, 1e3)[0], 0) == 2


#: Detector, pivot and width of a filter (micron), chip, and places to look at along a pixel.
FIRST_PSFS = [
    ("wfc3_uvis", 0.8048, 0.0459, 1, 1),
    ("acs_wfc", 0.5921, 0.0672, 1, 1),
    ("acs_hrc", 0.5888, 0.0664, 1, 1),
    ("wfc3_ir", 1.0552, 0.0845, 1, 2),
    ("wfc3_ir", 1.5369, 0.0826, 1, 2),
    ("wfpc2", 0.8002, 0.0645, 3, 2),
    ("wfpc2", 0.5442, 0.0522, 3, 2),
]


@pytest.mark.parametrize(("detector", "pivot", "width", "chip", "phases"), FIRST_PSFS)
def test_wide_pixels_are_those_of_the_infrared_and_of_wfpc2(detector, pivot, width, chip, phases):
    first = prior_psf(detector, pivot_um=pivot, bandwidth_um=width, radius_pix=10, chip=chip)
    small = field(*NOTHING, side=60, n_images=1, seed=None, star_psf=first)
    assert phases_of_pixel(small.stack(), 0) == phases


@pytest.mark.parametrize("phase", [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5), (0.25, 0.75)])
def test_the_filter_of_a_place_in_a_pixel_is_the_psf_there(phase: tuple[float, float]) -> None:
    kernel = filter_kernel(undersampled(PHASES, 1e3)[0], 0, phase)
    offset = np.arange(-4, 5)
    expected = np.outer(*(gaussian_over_pixels(offset - each) for each in phase))
    # The spline goes through its knots to this; the filter ends at 4.5 pixels.
    np.testing.assert_allclose(kernel, expected, atol=2e-3)


def test_stars_between_wide_pixels_are_as_bright_as_those_in_their_middles() -> None:
    stack, lattice = undersampled(PHASES, 2e3)
    weight = stack.weight(stack.sky_e, np.zeros_like(stack.sky_e))
    found = matched_filter(stack, stack.data_e - stack.sky_e, weight, lattice)
    x, y, rate = new_peaks(found, lattice, threshold=20.0, apart=2)
    index = matched(x, y, *PHASES.T)
    assert (index >= 0).all()
    # With the filter of the middle it would be 0.76 between four pixels.
    np.testing.assert_allclose(rate[0, index] * EXPTIME_S, 2e3, rtol=0.02)


def test_noise_at_half_pixels_has_the_ratio_of_noise() -> None:
    rng = np.random.default_rng(5)
    stack, lattice = undersampled(PHASES[:0], 0.0)
    noise = rng.normal(0, 1 / np.sqrt(stack.weight(stack.sky_e, np.zeros_like(stack.sky_e))))
    weight = stack.weight(stack.sky_e, np.zeros_like(stack.sky_e))
    found = matched_filter(stack, noise.astype(np.float32), weight, lattice)
    # 40,000 points of some 6,000 independent ones.
    assert found.snr[0, 20:-20, 20:-20].std() == pytest.approx(1.0, abs=0.03)


def test_a_peak_is_the_highest_within_so_many_points() -> None:
    snr = np.zeros((1, 20, 20), dtype=np.float32)
    snr[0, 10, 10], snr[0, 10, 12] = 9.0, 8.0
    found, lattice = Matched(snr, snr), Lattice(0.0, 0.0, 1.0, 20, 20)
    assert len(new_peaks(found, lattice, threshold=5.0)[0]) == 2
    assert len(new_peaks(found, lattice, threshold=5.0, apart=2)[0]) == 1
