"""Counts of pixels against scipy's convolution."""

import numpy as np
import pytest
from scipy import signal

from hst_assets.hap.quicker.cosmic_ray_masks import Counting

HOW = {"boundary": "symm", "mode": "same"}


@pytest.mark.parametrize("size", [1, 3, 5])
def test_squares_of_ones_are_counted_as_by_scipy(size):
    mask = np.random.default_rng(8).random((40, 53)) < 0.6
    kernel = np.ones((size, size), dtype=np.uint16)
    expected = signal.convolve2d(mask, kernel, **HOW)
    counts = Counting.convolve2d(mask, kernel, **HOW)
    assert counts.dtype == expected.dtype
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize(
    "kernel", [np.zeros((1, 1)), np.eye(3), np.ones((2, 2)), np.ones((3, 5), dtype=np.uint16)]
)
def test_other_kernels_are_left_to_scipy(kernel):
    mask = np.random.default_rng(8).random((40, 53)) < 0.6
    counts = Counting.convolve2d(mask, kernel, **HOW)
    np.testing.assert_array_equal(counts, signal.convolve2d(mask, kernel, **HOW))
