"""Stars whose middle is saturated."""

import numpy as np

from hst_assets.photometry.psf.saturated_stars import fills_saturated


def test_a_star_of_half_the_light_of_saturated_pixels_may_fill_them_and_a_fainter_one_not():
    peaks = np.array([-10.0, 30_000.0, 40_000.0])
    assert fills_saturated(peaks, 70_000.0).tolist() == [False, False, True]


def test_a_star_without_light_fills_no_pixels_of_whatever_level():
    assert not fills_saturated(-1.0, -100.0)
