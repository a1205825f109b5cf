"""Images in arrays of one shape: filling, weights and optics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.image_stack import image_stack
from hst_assets_tests.photometry.psf.small_fields import SmallField, field, psf
from hst_assets_tests.photometry.psf.star_frames import READ_NOISE_E, SKY_E, pixel_psf

NO_STARS = (np.empty(0), np.empty(0), np.empty(0))


@pytest.fixture(scope="module")
def small() -> SmallField:
    return field(*NO_STARS, side=40, bands=("F606W", "F814W"))


def test_smaller_images_are_filled_up_with_pixels_that_do_not_count(small: SmallField) -> None:
    image = small.images[1]
    cut = {name: getattr(image, name)[:30, :25] for name in ("data_e", "good", "saturated")}
    cut |= {name: getattr(image, name)[:30, :25] for name in ("sky_e", "area")}
    stack = replace(small, images=[small.images[0], replace(image, **cut)]).stack()
    assert stack.data_e.shape == (2, 40, 40)
    assert stack.good[1].sum() == 30 * 25
    assert stack.shapes.tolist() == [[40, 40], [30, 25]]


def test_a_pixel_that_is_no_number_is_not_good(small: SmallField) -> None:
    data = small.images[0].data_e.copy()
    data[3, 5] = np.nan
    stack = replace(small, images=[replace(small.images[0], data_e=data)]).stack()
    assert not stack.good[0, 3, 5]
    assert stack.data_e[0, 3, 5] == 0
    assert stack.good.sum() == 40 * 40 - 1


def test_images_of_a_band_share_it(small: SmallField) -> None:
    again = replace(small.images[0], name="again")
    stack = replace(small, images=[*small.images, again]).stack()
    assert stack.bands == ("F606W", "F814W")
    assert stack.band_of.tolist() == [0, 1, 0]


def test_the_variance_has_sky_stars_and_read_noise(small: SmallField) -> None:
    stack = small.stack()
    model = np.full_like(stack.data_e, 200.0)
    expected = SKY_E + 200.0 + READ_NOISE_E**2
    np.testing.assert_allclose(stack.variance_e2(stack.sky_e, model), expected, rtol=1e-4)


def test_a_model_below_zero_takes_no_noise_away(small: SmallField) -> None:
    stack = small.stack()
    below = np.full_like(stack.data_e, -50.0)
    np.testing.assert_array_equal(
        stack.variance_e2(stack.sky_e, below), stack.variance_e2(stack.sky_e, 0 * below)
    )


def test_weights_are_zero_where_a_pixel_is_not_good(small: SmallField) -> None:
    good = small.images[0].good.copy()
    good[7, 8] = False
    stack = replace(small, images=[replace(small.images[0], good=good)]).stack()
    weight = stack.weight(stack.sky_e, np.zeros_like(stack.sky_e))
    assert weight[0, 7, 8] == 0
    assert weight[0, 8, 7] == pytest.approx(1 / (SKY_E + READ_NOISE_E**2), rel=1e-4)


def test_knots_reach_beyond_the_box(small: SmallField) -> None:
    optics = small.stack().optics
    first_x, first_y, step = optics.lattice
    ny, nx = optics.knots.shape[1:3]
    assert first_x <= small.box[0]
    assert first_y <= small.box[2]
    assert first_x + step * (nx - 1) >= small.box[1]
    assert first_y + step * (ny - 1) >= small.box[3]


def test_one_psf_of_many_images_is_kept_once(small: SmallField) -> None:
    assert len(small.stack().optics.splines) == 1
    two = image_stack(small.images, [psf(), pixel_psf(10)], box=small.box)
    assert len(two.optics.splines) == 2
    assert two.optics.cells[:, 0].tolist() == [0, 1]


def test_psfs_of_different_radii_are_refused(small: SmallField) -> None:
    with pytest.raises(ValueError, match="one radius"):
        image_stack(small.images, [psf(), pixel_psf(8)], box=small.box)
