"""Pixels near stars that one exposure alone has too bright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.star_search import fit_field
from hst_assets.photometry.psf.struck_pixels import mask_struck
from hst_assets_tests.photometry.psf.small_fields import (
    DITHERS,
    SmallField,
    field,
    jittered,
    matched,
)

SIDE = 80
#: Which star is hit, how far from its middle, and with how many electrons: 9 standard deviations.
STAR, OFFSET, HIT_E = 5, (1, 2), 900.0


@pytest.fixture(scope="module")
def small() -> SmallField:
    """16 stars on three images of one epoch."""
    x, y, counts = jittered(4, 20.0, faintest=20_000, brightest=50_000)
    return field(x, y, counts, side=SIDE, n_images=3)


def hit(small: SmallField, images: tuple[int, ...], *, days: float = 0.0) -> SmallField:
    """The field with a pixel beside a star too bright on some images, the second of another day."""
    made = [*small.images]
    for k in images:
        data = made[k].data_e.copy()
        row, column = pixel(small, k)
        data[row, column] += HIT_E
        made[k] = replace(made[k], data_e=data)
    made[1] = replace(made[1], mjd=made[1].mjd + days)
    return replace(small, images=made)


def pixel(small: SmallField, k: int) -> tuple[int, int]:
    x, y = small.x[STAR] + DITHERS[k][0], small.y[STAR] + DITHERS[k][1]
    return round(y) + OFFSET[1], round(x) + OFFSET[0]


def fitted(some: SmallField) -> FieldFit:
    return fit_field(some.stack(), some.box)


def test_a_pixel_that_one_image_has_too_bright_is_masked(small: SmallField) -> None:
    fit = fitted(hit(small, (1,)))
    n = mask_struck(fit)
    assert not fit.stack.good[1][pixel(small, 1)]
    assert fit.residual_e[1][pixel(small, 1)] == 0
    assert n == np.count_nonzero(~fit.stack.good)
    assert n <= 3  # the pixel, and chance beside it
    assert fit.stack.good[[0, 2]].all()


def test_without_the_pixel_the_star_is_measured_better(small: SmallField) -> None:
    fit = fitted(hit(small, (1,)))
    (star,) = matched(fit.stars.x, fit.stars.y, small.x[[STAR]], small.y[[STAR]])
    before = fit.counts()[1, star] / small.counts[STAR] - 1
    mask_struck(fit)
    fit.sweep(4)
    after = fit.counts()[1, star] / small.counts[STAR] - 1
    assert abs(after) < 0.6 * abs(before)


def test_what_all_images_have_is_the_psf_and_stays(small: SmallField) -> None:
    fit = fitted(hit(small, (0, 1, 2)))
    mask_struck(fit)
    assert all(fit.stack.good[k][pixel(small, k)] for k in range(3))


def test_another_epoch_cannot_tell(small: SmallField) -> None:
    fit = fitted(hit(small, (1,), days=100.0))
    mask_struck(fit)
    assert fit.stack.good[1][pixel(small, 1)]


def test_a_single_image_cannot_tell(small: SmallField) -> None:
    some = hit(small, (1,))
    assert mask_struck(fitted(replace(some, images=some.images[1:2]))) == 0
