from __future__ import annotations

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.star_photometry import StarComparison, compare_stars
from hst_assets_tests.imaging.star_grid import FRAME, INSIDE, stars

UVIS = DETECTORS["wfc3_uvis"]


def compared(first: np.ndarray, second: np.ndarray) -> StarComparison:
    return compare_stars(first, second, INSIDE, scale_arcsec=FRAME.scale_arcsec, detector=UVIS)


def test_stars_of_two_images_are_compared() -> None:
    found = compared(stars(), stars(1.1))
    assert found.n_stars == 9
    assert found.flux_ratio == pytest.approx(1.1, abs=0.005)
    assert np.hypot(*found.offset_pix) < 0.01


def test_cosmic_rays_on_either_image_are_no_stars() -> None:
    first, second = stars(), stars()
    first[20:180:40, 75] += 50.0
    second[20:180:40, 125] += 50.0
    found = compared(first, second)
    assert found.n_stars == 9
    assert found.flux_ratio == pytest.approx(1.0, abs=0.005)


def test_too_few_stars_give_no_figures() -> None:
    empty = np.random.default_rng(3).normal(0.3, 0.01, FRAME.shape).astype(np.float32)
    found = compared(empty, empty)
    assert (found.offset_pix, found.flux_ratio, found.n_stars) == (None, None, 0)
