"""The sky on residual images: means, slopes, stars left over, bad pixels."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.photometry.psf.background import residual_sky
from hst_assets_tests.photometry.psf.star_frames import models, pixel_psf

SHAPE = (200, 160)
NOISE = 8.0


def noise(seed: int = 1, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, NOISE, shape).astype(np.float32)


def sky_of(residual: np.ndarray, good: np.ndarray | None = None) -> np.ndarray:
    good = np.ones(residual.shape, dtype=bool) if good is None else good
    return residual_sky(residual.astype(np.float32), good)


def test_a_constant_sky_is_found() -> None:
    # A mesh has 64 x 64 / 3 pixels: a standard error of 0.22 of the noise of 8 electrons.
    np.testing.assert_allclose(sky_of(noise() + 5.0), 5.0, atol=4 * NOISE / np.sqrt(64 * 64 / 3))


def test_a_sky_that_slopes_is_followed_between_meshes() -> None:
    slope = 0.05 * np.arange(SHAPE[0])[:, None] + np.zeros(SHAPE)
    left = sky_of(noise() + slope) - slope
    assert np.abs(left[40:-40]).max() < 1.0  # 4 standard errors of a mesh
    assert abs(left.mean()) < 0.4  # of all: it is the same up and down


def test_stars_that_are_left_over_are_not_sky() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, SHAPE[1], 40), rng.uniform(0, SHAPE[0], 40)
    stars = models(SHAPE, pixel_psf(10), x, y, np.full(40, 5000.0))
    assert stars.mean() > 5.0  # an unclipped mean would be off by so much
    assert sky_of(noise() + stars).mean() == pytest.approx(0.0, abs=1.0)


def test_over_and_undersubtracted_stars_cancel() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, SHAPE[1], 60), rng.uniform(0, SHAPE[0], 60)
    left = models(SHAPE, pixel_psf(10), x, y, rng.normal(0, 1000.0, 60))
    assert sky_of(noise() + left).mean() == pytest.approx(0.0, abs=0.3)


def test_bad_pixels_do_not_count() -> None:
    residual, good = noise(), np.ones(SHAPE, dtype=bool)
    good[50:120, 30:100] = False
    spoilt = np.where(good, residual, 1e6)
    assert np.abs(sky_of(spoilt, good)).max() < 1.0


def test_a_mesh_without_good_pixels_has_the_sky_of_the_others() -> None:
    good = np.ones(SHAPE, dtype=bool)
    good[:70] = False
    sky = sky_of(noise() + 20.0, good)
    np.testing.assert_allclose(sky, 20.0, atol=1.0)


def test_nothing_is_said_where_no_pixel_is_good() -> None:
    assert not sky_of(noise() + 20.0, np.zeros(SHAPE, dtype=bool)).any()


def test_an_image_smaller_than_a_mesh_has_one_sky() -> None:
    sky = sky_of(noise(shape=(40, 30)) + 3.0)
    assert np.ptp(sky) == 0
    assert sky[0, 0] == pytest.approx(3.0, abs=4 * NOISE / 20)
