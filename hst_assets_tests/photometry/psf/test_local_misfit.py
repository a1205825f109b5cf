"""Errors grow by what is left about a star, and by nothing where that is noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.image_stack import image_stack
from hst_assets.photometry.psf.local_misfit import misfit_prior, misfit_scale
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets_tests.star_fields import make_field
from hst_assets_tests.star_scenes import Scene, shots

SIDE = 200
BOX = (0.0, SIDE - 1.0, 0.0, SIDE - 1.0)


def fitted(*, bands: int = 1) -> FieldFit:
    """Forty stars on a flat sky, three exposures a band, fitted with the true PSF."""
    taken = tuple(
        shot for camera in ("wfc3_uvis", "wfc3_uvis_blue")[:bands] for shot in shots(3, camera)
    )
    sky = make_field(Scene(40, shots=taken, shape=(SIDE, SIDE), faintest_e=500.0), 4)
    psfs = {band: sky.psf(band) for band in dict.fromkeys(each.band for each in sky.images)}
    return fit_field(image_stack(sky.images, psfs, box=BOX), BOX)


@pytest.fixture(scope="module")
def flat() -> FieldFit:
    return fitted()


def with_more(fit: FieldFit, factor: np.ndarray | float) -> FieldFit:
    """The fit with so many times as much left."""
    return replace(fit, residual_e=(fit.residual_e * factor).astype(np.float32))


def test_noise_hardly_enlarges_errors(flat: FieldFit) -> None:
    scale = misfit_scale(flat, BOX)
    assert scale.shape == (1, len(flat.stars))
    assert (scale >= 1).all()
    # Of simulated sparse fields the mean is 1.02.
    assert scale.mean() < 1.05
    assert np.median(scale) < 1.03


def test_errors_grow_as_what_is_left_does(flat: FieldFit) -> None:
    scale = misfit_scale(with_more(flat, 4.0), BOX)
    # What a star's fit takes of the noise is allowed for, or the ratio would be some 0.85 of it;
    # the larger one of two ratios is up to 1.1 times the true one in the mean.
    assert np.sqrt(np.mean(scale**2)) == pytest.approx(4.0, rel=0.12)


def test_what_is_left_elsewhere_does_not_count(flat: FieldFit) -> None:
    """With the prior of the field given, as a window of a tile has it."""
    more, prior = with_more_in_half(flat), misfit_prior(flat, BOX)
    before, after = (misfit_scale(fit, BOX, prior=prior)[0] for fit in (flat, more))
    far, inside = beyond_half(flat), flat.stars.x < SIDE / 2 - 22
    assert far.sum() > 5
    np.testing.assert_array_equal(after[far], before[far])
    assert (after[inside] > 3).all()


def test_structure_elsewhere_makes_that_of_a_star_a_little_more_likely(flat: FieldFit) -> None:
    more, far = with_more_in_half(flat), beyond_half(flat)
    np.testing.assert_allclose(misfit_scale(flat, BOX)[0, far], 1.0, atol=0.05)
    # The prior is learned from all stars, of which some beyond look as if they had structure: in
    # five fields it is 1.014 to 1.032 in the median, and above 1.1 for 8 to 23 % of the stars.
    assert 1.0 < np.median(misfit_scale(more, BOX)[0, far]) < 1.05


def with_more_in_half(fit: FieldFit) -> FieldFit:
    """The fit with five times as much left in the lower half of X."""
    factor = np.ones(fit.residual_e.shape, dtype=np.float32)
    factor[:, :, : SIDE // 2] = 5.0
    return with_more(fit, factor)


def beyond_half(fit: FieldFit) -> np.ndarray:
    """Which stars see nothing of it.

    Twelve pixels are looked at, four are filtered, and images are dithered by five.
    """
    return fit.stars.x > SIDE / 2 + 22


def test_each_band_has_its_own() -> None:
    fit = fitted(bands=2)
    factor = np.where(fit.stack.band_of == 1, 4.0, 1.0)[:, None, None]
    scale = misfit_scale(with_more(fit, factor), BOX)
    assert np.median(scale[0]) < 1.1
    assert np.median(scale[1]) > 3.0


def test_a_band_without_an_image_in_the_window_enlarges_nothing() -> None:
    fit = fitted(bands=2)
    only = np.flatnonzero(fit.stack.band_of == 0)
    stack = replace(fit.stack, bands=(*fit.stack.bands, "NONE"))
    assert len(only) == 3
    scale = misfit_scale(replace(fit, stack=stack), BOX)
    np.testing.assert_array_equal(scale[2], 1.0)
    np.testing.assert_array_equal(scale[:2], misfit_scale(fit, BOX))


def test_errors_of_stars_that_are_fitted_by_their_wings_are_left(flat: FieldFit) -> None:
    wide = np.arange(len(flat.stars)) < 3
    fit = replace(with_more(flat, 4.0), stars=replace(flat.stars, wide=wide))
    scale = misfit_scale(fit, BOX)[0]
    np.testing.assert_array_equal(scale[wide], 1.0)
    assert (scale[~wide] > 2.0).all()


def test_some_of_the_stars(flat: FieldFit) -> None:
    rows = np.array([7, 2])
    np.testing.assert_array_equal(misfit_scale(flat, BOX, rows), misfit_scale(flat, BOX)[:, rows])


def test_pixels_that_are_not_good_say_nothing(flat: FieldFit) -> None:
    good = flat.stack.good.copy()
    good[:, 100:] = False
    left = np.where(good, flat.residual_e, 0).astype(np.float32)
    half = replace(flat, stack=replace(flat.stack, good=good), residual_e=left)
    scale = misfit_scale(half, BOX)[0]
    assert np.isfinite(scale).all()
    np.testing.assert_array_equal(scale[flat.stars.y > 130], 1.0)
