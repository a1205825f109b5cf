"""Where stars are looked for, and which are found where pixels are wide for the PSF."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.image_stack import ImageStack, image_stack
from hst_assets.photometry.psf.star_search import fit_field, lattice_over
from hst_assets_tests.photometry.psf.small_fields import (
    BAND,
    SmallField,
    field,
    jittered,
    matched,
    narrow_psf,
    psf,
    shifted_map,
)
from hst_assets_tests.photometry.psf.star_frames import READ_NOISE_E, SKY_E

NARROW = "wfc3_ir F160W"
NOTHING = (np.empty(0), np.empty(0), np.empty(0))


def of_two(first: str, second: str, scale_of_second: float = 1.0) -> ImageStack:
    """A stack of an image of each band, the second with pixels of another size."""
    images = field(*NOTHING, side=60, bands=(first, second)).images
    images[1] = replace(images[1], pixel_map=shifted_map(0.0, 0.0, 60, scale=scale_of_second))
    return image_stack(images, {BAND: psf(), NARROW: narrow_psf()}, box=(5.0, 40.0, 5.0, 40.0))


@pytest.mark.parametrize(
    ("stack", "n_points"),
    [
        (of_two(BAND, BAND), 1),
        (of_two(NARROW, NARROW), 2),
        # Whichever comes first.
        (of_two(BAND, NARROW), 2),
        (of_two(NARROW, BAND), 2),
        # Half of a pixel of WFC3/IR is wider than a pixel of WFC3/UVIS.
        (of_two(BAND, NARROW, 0.31), 1),
    ],
)
def test_points_are_as_near_as_the_narrowest_psf_demands(stack, n_points, monkeypatch):
    steps = []

    def seen(*arguments, fine):
        steps.append(fine)
        return lattice_over(*arguments, fine=fine)

    monkeypatch.setattr("hst_assets.photometry.psf.star_search.lattice_over", seen)
    fit_field(stack, (5.0, 40.0, 5.0, 40.0), bright_only=True)
    assert steps == [n_points]


def test_a_lattice_may_have_more_points_than_pixels():
    stack = of_two(BAND, BAND)
    once, twice = (lattice_over(stack, (5.0, 40.0, 5.0, 30.0), fine=fine) for fine in (1, 2))
    assert (once.step, once.nx, once.ny) == (1.0, 36, 26)
    assert (twice.step, twice.nx, twice.ny) == (0.5, 71, 51)


@pytest.fixture(scope="module")
def faint() -> SmallField:
    """144 stars on four dithered images with wide pixels, at a signal-to-noise ratio of 6."""
    side = 192
    share = narrow_psf().at(*np.meshgrid(np.arange(-4.0, 5), np.arange(-4.0, 5)))
    noise = np.sqrt((SKY_E + READ_NOISE_E**2) / np.sum(share**2))
    x, y, _ = jittered(12, 16.0, faintest=1, brightest=2)
    counts = np.full(len(x), 6.0 * noise / np.sqrt(4))
    return field(x, y, counts, side=side, n_images=4, star_psf=narrow_psf())


def test_faint_stars_between_wide_pixels_are_found(faint):
    fit = fit_field(faint.stack(), (0.0, 191.0, 0.0, 191.0), sky_is_known=True)
    found = matched(fit.stars.x, fit.stars.y, faint.x, faint.y, within=1.0)
    # 0.96; with the filter of the pixel's middle alone, 0.79.
    assert np.mean(found >= 0) > 0.9
    # Noise has a peak of 3.5 in one of some 4000 independent places.
    assert len(fit.stars) - np.sum(found >= 0) < 0.15 * len(faint.x)
