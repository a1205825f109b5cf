"""The sky that is left in a ring about a place."""

import numpy as np
import pytest

from hst_assets.photometry.psf.ring_sky import ring_sky


@pytest.fixture
def plane():
    rng = np.random.default_rng(3)
    image = (2.0 + rng.normal(0, 5.0, (60, 60))).astype(np.float32)
    return image, np.ones(image.shape, dtype=bool)


def test_stars_inside_and_in_the_ring_do_not_count(plane):
    image, good = plane
    image[28:33, 28:33] += 500
    image[30, 38:40] += 300
    sky, error = ring_sky(image, good, 30.2, 29.7, 5.0, 12.0)
    # 370 pixels: the error of the mean is 0.26.
    assert error == pytest.approx(5 / np.sqrt(370), rel=0.1)
    assert abs(sky - 2.0) < 3 * error


def test_bad_pixels_do_not_count(plane):
    image, good = plane
    image[:, 32:], good[:, 32:] = 40, False
    sky, error = ring_sky(image, good, 30.0, 30.0, 5.0, 12.0)
    assert abs(sky - 2.0) < 3 * error


@pytest.mark.parametrize("place", [(-40.0, 30.0), (30.0, 200.0), (-10.0, -9.0)])
def test_too_few_pixels_tell_nothing(plane, place):
    assert ring_sky(*plane, *place, 5.0, 12.0) == (0.0, 0.0)
