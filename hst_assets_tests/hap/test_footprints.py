"""Masks against those of scipy's morphology, which drizzlepac asks for them."""

import numpy as np
import pytest
from scipy import ndimage

from hst_assets.hap.footprints import (
    closed_by_diamond,
    dilated_by_diamond,
    eroded_by_diamond,
    without_holes,
)

SHAPE = (60, 75)


def _masks():
    random = np.random.default_rng(4)
    chips = np.zeros(SHAPE, dtype=bool)
    chips[4:27, 3:70] = chips[31:56, 5:75] = True
    return {
        "sparse": random.random(SHAPE) < 0.02,
        "dense": random.random(SHAPE) < 0.97,
        "chips with bad pixels": chips & (random.random(SHAPE) < 0.9),
        "nothing": np.zeros(SHAPE, dtype=bool),
        "everything": np.ones(SHAPE, dtype=bool),
    }


@pytest.mark.parametrize("name", _masks())
@pytest.mark.parametrize("passes", [1, 3, 11])
def test_masks_grow_and_shrink_as_scipys(name, passes):
    mask = _masks()[name]
    grown = ndimage.binary_dilation(mask, iterations=passes)
    shrunk = ndimage.binary_erosion(mask, iterations=passes)
    np.testing.assert_array_equal(dilated_by_diamond(mask, passes), grown)
    np.testing.assert_array_equal(eroded_by_diamond(mask, passes), shrunk)
    closed = ndimage.binary_erosion(grown, iterations=passes)
    np.testing.assert_array_equal(closed_by_diamond(mask, passes), closed)


@pytest.mark.parametrize("name", _masks())
def test_holes_are_filled_as_scipys(name):
    mask = _masks()[name]
    np.testing.assert_array_equal(without_holes(mask), ndimage.binary_fill_holes(mask))


def test_a_hole_that_is_open_at_a_corner_only_is_filled():
    mask = np.ones((5, 5), dtype=bool)
    mask[2, 2] = mask[1, 1] = mask[0, 0] = False
    filled = without_holes(mask)
    np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(mask))
    assert filled[2, 2]
    assert not filled[0, 0]
