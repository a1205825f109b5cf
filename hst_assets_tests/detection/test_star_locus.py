"""Stars among galaxies, by their moments."""

import numpy as np
import pytest

from hst_assets.detection.star_locus import star_locus

PSF = 0.6  # variance of stars, pixels squared
LIMITS = {"narrowest": 0.3, "widest": 1.5, "fewest": 10}


def stars(rng, n, *, shape=((PSF, 0.0), (0.0, PSF)), error=0.05):
    """One shape, within 5 per cent of noise."""
    noise = rng.normal(0, error * PSF, (n, 2, 2))
    return np.asarray(shape) + (noise + np.swapaxes(noise, 1, 2)) / 2


def galaxies(rng, n, *, size=1.0, spread=0.3):
    """Of axis ratios from 0.25 to 1 and all directions, under the point spread function.

    Their variances without it, geometric mean of the axes, are about `size`; `spread` is the
    scatter of the natural logarithm.
    """
    area, ratio = size * np.exp(rng.normal(0, spread, n)), rng.uniform(0.25, 1.0, n)
    angle = rng.uniform(0, np.pi, n)
    axes = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=-1)
    axes = axes.reshape(n, 2, 2)
    light = np.stack([area / ratio, area * ratio], axis=-1)
    return PSF * np.eye(2) + np.swapaxes(axes, 1, 2) @ (light[:, :, None] * axes)


def located(moments, of_chips=None):
    return star_locus(moments, moments if of_chips is None else of_chips, **LIMITS)


@pytest.fixture(params=range(5))
def rng(request):
    return np.random.default_rng(request.param)


def test_stars_alone_are_the_stars(rng):
    locus = located(stars(rng, 60))
    assert not locus.reason
    assert len(locus.chosen) == 60


def test_a_few_galaxies_are_left_out(rng):
    locus = located(np.concatenate([stars(rng, 60), galaxies(rng, 30)]))
    assert np.isin(np.arange(60), locus.chosen).all()
    assert np.count_nonzero(locus.chosen >= 60) < 10


def test_among_many_galaxies_the_stars_are_the_smallest(rng):
    locus = located(np.concatenate([galaxies(rng, 100), stars(rng, 20)]))
    assert not locus.reason
    # All stars, and the few galaxies that are as small.
    assert np.count_nonzero(locus.chosen >= 100) == 20
    assert np.count_nonzero(locus.chosen < 100) < 10


@pytest.mark.parametrize("n_stars", [0, 5])
def test_galaxies_without_enough_stars_are_not_taken_for_them(rng, n_stars):
    locus = located(np.concatenate([galaxies(rng, 100), stars(rng, n_stars)]))
    assert "may be galaxies" in locus.reason or "have the same size" in locus.reason


@pytest.mark.parametrize("error", [0.05, 0.3])
def test_trailed_stars_are_stars_even_if_each_differs(rng, error):
    trailed = np.array([[PSF, 0.3 * PSF], [0.3 * PSF, 3 * PSF]])
    locus = located(stars(rng, 40, shape=trailed, error=error))
    assert not locus.reason


def test_stars_that_trail_along_the_axes_of_their_chips_are_stars(rng):
    along_y = stars(rng, 40, shape=np.diag([PSF, 3 * PSF]))
    turned = along_y[:, ::-1, ::-1]
    sky, chips = np.concatenate([along_y, turned]), np.concatenate([along_y, along_y])
    assert not located(sky, chips).reason
    assert located(sky, sky).reason


def test_stars_out_of_focus_are_stars(rng):
    assert not located(stars(rng, 40, shape=np.eye(2) * 2.5)).reason


def test_what_is_smaller_than_any_star_is_not_one(rng):
    specks = stars(rng, 20, shape=np.eye(2) * 0.1, error=0.01)
    locus = located(np.concatenate([galaxies(rng, 100), specks]))
    assert locus.reason


def test_few_sources_are_no_locus():
    locus = located(stars(np.random.default_rng(1), 9))
    assert locus.reason == "9 stars stand alone, 10 needed"
