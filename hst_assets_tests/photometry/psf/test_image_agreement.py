"""Images of a filter that do not agree on the magnitudes of their stars."""

from __future__ import annotations

import numpy as np

from hst_assets.photometry.psf.image_agreement import disagreements
from hst_assets_tests.photometry.psf.measured_stars import cataloged_image, measured_stars

COUNTS = np.geomspace(2e3, 2e5, 40)
IMAGES = [cataloged_image("a"), cataloged_image("b", exptime_s=1000.0)]


def told(*, factor: float = 1.0, n: int = 40, **more) -> list[str]:
    """Stars on an image and on one of twice its exposure time, where they have `factor` of it."""
    lost = more.pop("transfer_mag", None)
    counts = np.array([COUNTS[:n], 2 * factor * COUNTS[:n]])
    stars = measured_stars(counts, np.sqrt(counts), **more)
    return disagreements(stars, IMAGES, transfer_mag=lost)


def test_images_that_agree_are_not_mentioned():
    assert told() == []
    assert told(factor=10 ** (-0.4 * 0.04)) == []


def test_an_image_that_is_off_is_told():
    (text,) = told(factor=10 ** (-0.4 * 0.1))
    assert "40 stars are 0.10 mag fainter on b_flc.chip1 than on a_flc.chip1" in text


def test_aperture_corrections_count():
    correction = np.array([0.0, -0.2])
    (text,) = told(aperture_correction_mag=correction)
    assert "0.20 mag brighter on b_flc.chip1 than on a_flc.chip1" in text
    assert "(-0.200, +0.000)" in text
    assert told(factor=10 ** (-0.4 * 0.2), aperture_correction_mag=correction) == []


def test_lost_charge_that_was_corrected_is_none():
    lost = np.array([np.zeros(40), np.full(40, -0.1)])
    assert told(factor=10 ** (-0.4 * 0.1), transfer_mag=lost) == []


def test_a_few_stars_tell_nothing_and_that_is_said():
    (line,) = told(factor=0.5, n=19)
    assert "not checked" in line
    assert "shares 19 bright stars" in line
    (line,) = told(factor=0.5, flag=np.full((2, 40), 1))
    assert "shares 0 bright stars" in line
