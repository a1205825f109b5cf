"""Stars that do not vanish from a difference, of Gaussians whose sums are known."""

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.light_curve.stack_aperture import StackAperture
from hst_assets.photometry.light_curve.vanished_stars import left_of_stars

UVIS = DETECTORS["wfc3_uvis"]
SCALE, NOISE, SIDE = 0.04, 0.02, 420
NARROW = StackAperture(scale_arcsec=SCALE, sigma_arcsec=0.048, radius_arcsec=0.144)
FLUX = 400.0
#: Weights of 1.2 pixels on a Gaussian of s pixels sum to 1.44 / (1.44 + s^2) of it; what is beyond
#: 3.6 pixels is less than a thousandth.
S2 = (0.048 / 0.04) ** 2


def stars(places, widths):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    for (x, y), sigma in zip(places, widths, strict=True):
        r2 = (columns - x) ** 2 + (rows - y) ** 2
        image += FLUX / (2 * np.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2))
    return image


def left(places, widths, *, seed=3, **more):
    """What is left of stars that are one pixel wide on the template and so wide on the epoch."""
    rng = np.random.default_rng(seed)
    template, epoch = (
        image + rng.normal(0, NOISE, image.shape)
        for image in (stars(places, np.ones(len(places))), stars(places, widths))
    )
    chosen = {
        "usable": np.ones(template.shape, dtype=bool),
        "aperture": NARROW,
        "detector": UVIS,
        "noise_factor": lambda _weights: 1.0,
        **more,
    }
    error = np.full(template.shape, NOISE * np.sqrt(2))
    return left_of_stars(epoch - template, error, template, **chosen)


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(6)
    grid = np.arange(45, 400, 65.0)
    return [(x, y) for x in grid for y in grid] + rng.uniform(-0.5, 0.5, (36, 2))


def test_stars_of_other_widths_leave_what_the_weights_see_of_them(places):
    """Half are 3 % wider and half 3 % narrower: each has lost or won the same share of its sum."""
    widths = np.where(np.arange(36) % 2, 1.03, 0.97)
    share = S2 / (S2 + widths**2)
    expected = np.median(np.abs(share * (S2 + 1) / S2 - 1)) / 0.6745
    assert expected > 0.03
    assert left(places, widths) == pytest.approx(expected, rel=0.1)


def test_stars_that_are_alike_leave_their_photons_alone(places):
    """Noise: 0.028 times the root of 1.44 pi, of 236; by 36 stars two thirds of it may be left."""
    noise = 0.028 * np.sqrt(1.44 * np.pi) / 236
    assert left(places, np.ones(36)) < noise


def test_noise_is_taken_off_as_the_weights_have_it(places):
    """Were it so many times as large, it would explain all that is left; and no star is left."""
    widths = np.where(np.arange(36) % 2, 1.002, 0.998)
    plain = left(places, widths)
    assert plain > 1e-3
    assert left(places, widths, noise_factor=lambda _weights: 15.0) < 0.8 * plain
    assert np.isnan(left(places, widths, noise_factor=lambda _weights: 1e3))


def test_of_few_stars_it_is_not_known(places):
    assert np.isnan(left(places[:7], np.full(7, 1.03)))


def test_saturated_stars_tell_nothing(places):
    """All but seven are: it is not known."""
    usable = np.ones((SIDE, SIDE), dtype=bool)
    for x, y in places[7:]:
        usable[round(y), round(x)] = False
    assert np.isnan(left(places, np.full(36, 1.03), usable=usable))
    assert np.isfinite(left(places, np.full(36, 1.03)))
