"""DAOFIND without a loop over its stars."""

import numpy as np
import pytest
from photutils.detection import DAOStarFinder, daofinder

from hst_assets.detection.star_finder import BorderlessStarFinder

LIMITS = {"threshold": 4.0, "fwhm": 2.0, "sharplo": 0.2, "sharphi": 1.2}


@pytest.fixture
def image():
    """Noise, with stars up to the edges and corners."""
    generator = np.random.default_rng(5)
    y, x = np.mgrid[:80, :120]
    data = generator.normal(0, 1, y.shape)
    for _ in range(60):
        at_x, at_y = generator.uniform(0, 119), generator.uniform(0, 79)
        data += 40 * np.exp(-0.5 * ((x - at_x) ** 2 + (y - at_y) ** 2) / 0.85**2)
    return data


def test_the_stars_are_those_of_photutils_to_the_last_bit(image):
    mask = np.zeros(image.shape, bool)
    mask[30:50, 40:70] = True
    ours = BorderlessStarFinder(**LIMITS)(image, mask=mask)
    theirs = DAOStarFinder(**LIMITS, exclude_border=True)(image, mask=mask)
    assert len(ours) > 20
    for name in theirs.colnames:
        assert np.array_equal(ours[name], theirs[name], equal_nan=True), name


def test_no_star_is_cut_out_by_itself(image, monkeypatch):
    def refuse(*_args, **_keywords):
        raise AssertionError("a star was cut out by itself")

    monkeypatch.setattr(daofinder, "extract_array", refuse)
    assert len(BorderlessStarFinder(**LIMITS)(image)) > 20
