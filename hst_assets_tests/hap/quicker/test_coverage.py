"""Masks of what an image covers against scipy's general functions."""

import numpy as np
import pytest
from scipy import ndimage

from hst_assets.hap.quicker.coverage import CoverageMasks, filled, grown, shrunk, smoothed


def _two_chips(shape=(190, 230)):
    """Two turned chips with a gap, holes of one pixel and more, and islands; one meets the edge."""
    y, x = np.indices(shape)
    along, across = x + 0.1 * y, y - 0.1 * x
    covered = (along > 20) & (across > -15) & (across < 150) & ~((across > 60) & (across < 64))
    covered &= np.random.default_rng(5).random(shape) > 1e-3
    covered[90:97, 120:124] = False
    covered[-3:, -4:] = True
    return covered


def _notched():
    """A gap that is open to the edge of the frame, and beside it one that is not."""
    covered = np.ones((20, 30), dtype=bool)
    covered[8:11, :6] = covered[8:11, 10:15] = False
    return covered


MASKS = {
    "two chips": _two_chips(),
    "noise": np.random.default_rng(6).random((70, 83)) < 0.7,
    "all": np.ones((30, 41), dtype=bool),
    "nothing": np.zeros((30, 41), dtype=bool),
    "one row": np.ones((1, 12), dtype=bool),
    "a notch and a hole": _notched(),
}


@pytest.fixture(params=MASKS)
def mask(request):
    return MASKS[request.param]


def test_holes_are_filled_as_by_scipy(mask):
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize("n_steps", [1, 3, 11])
def test_masks_grow_and_shrink_as_by_scipy(mask, n_steps):
    before = mask.copy()
    expected = ndimage.binary_dilation(mask, iterations=n_steps)
    np.testing.assert_array_equal(grown(mask, n_steps), expected)
    expected = ndimage.binary_erosion(mask, iterations=n_steps)
    np.testing.assert_array_equal(shrunk(mask, n_steps), expected)
    np.testing.assert_array_equal(mask, before)


def test_a_smoothed_mask_has_scipys_outline(mask):
    values = mask.astype(np.float32)
    expected = ndimage.gaussian_filter(values, sigma=2)
    result = smoothed(values, 2)
    np.testing.assert_array_equal(result > 0.5, expected > 0.5)
    # Parts that are left as they are differ by the rounding of sums of 17 x 17 single numbers.
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert result.dtype == expected.dtype


def test_parts_of_an_image_are_smoothed_as_the_whole():
    values = _two_chips((150, 200)).astype(np.float32)
    mixed = np.ones(values.shape, dtype=bool)
    mixed[smoothed(values, 2) == values] = False
    expected = ndimage.gaussian_filter(values, sigma=2)
    # To the last digit: the same sums in the same order.
    np.testing.assert_array_equal(smoothed(values, 2)[mixed], expected[mixed])


def test_masks_in_numbers_are_taken_as_by_scipy():
    mask = _two_chips().astype(np.int16)
    for name, options in (
        ("binary_fill_holes", {}),
        ("binary_dilation", {"iterations": 11}),
        ("binary_erosion", {"iterations": 3}),
        ("binary_erosion", {}),
    ):
        result = getattr(CoverageMasks, name)(mask, **options)
        expected = getattr(ndimage, name)(mask, **options)
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == expected.dtype


@pytest.mark.parametrize("n_steps", [0, 255])
def test_steps_that_cannot_be_counted_are_refused(n_steps):
    with pytest.raises(ValueError, match="between 1 and 254"):
        grown(np.ones((3, 3), dtype=bool), n_steps)
