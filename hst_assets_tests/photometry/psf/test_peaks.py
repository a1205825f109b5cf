"""Where stars are found: places, fluxes, false ones, and what is not a star."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.peaks import Lattice, Matched, matched_filter, new_peaks
from hst_assets_tests.photometry.psf.small_fields import (
    EXPTIME_S,
    SmallField,
    field,
    jittered,
    matched,
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
