"""Probabilities of chance coincidence, against how often it happens."""

import math

import numpy as np
import pytest

from hst_assets.counterpart.chance import chance_probability, surroundings_of


def test_the_probability_is_how_often_a_circle_holds_a_star():
    """Of 4,000 places a share scatters by 0.008 at most: three times that."""
    rng = np.random.default_rng(1)
    places = rng.uniform(-20, 20, (4000, 2))
    strewn = rng.uniform(-25, 25, (2500, 2))
    apart = np.hypot(*(places[:, None] - strewn).transpose(2, 0, 1)).min(axis=1)
    probability = chance_probability(0.0, 0.5, 2500 / 50**2)
    assert np.mean(apart < 0.5) == pytest.approx(probability, abs=0.024)


def test_the_error_circle_counts_where_the_candidate_is_nearer():
    assert chance_probability(0.01, 0.3, 1.0) == chance_probability(0.3, 0.3, 1.0)
    assert chance_probability(0.5, 0.3, 1.0) > chance_probability(0.3, 0.3, 1.0)


def test_densities_are_of_the_ring_and_of_sources_as_bright():
    east = np.array([0.0, 1.0, 2.0, 3.0, 50.0, 60.0, 70.0])
    flux = np.array([9.0, 1.0, 2.0, 3.0, 9.0, 9.0, 1.0])
    around = surroundings_of(east, 0 * east, flux, inner_arcsec=0.5, outer_arcsec=10.0)
    area = math.pi * (100 - 0.25)
    assert around.density() == pytest.approx(3.5 / area)
    assert around.density(2.0) == pytest.approx(2.5 / area)


def test_half_a_ring_that_was_not_looked_at_does_not_count():
    east = np.array([1.0, 2.0])
    whole, half = (
        surroundings_of(east, 0 * east, east, inner_arcsec=0, outer_arcsec=5, covered=share)
        for share in (1.0, 0.5)
    )
    assert half.density() == pytest.approx(2 * whole.density())


def test_where_nothing_is_as_bright_the_density_is_not_zero():
    around = surroundings_of(
        np.array([1.0]), np.array([0.0]), np.array([1.0]), inner_arcsec=0.0, outer_arcsec=10.0
    )
    assert around.density(5.0) == pytest.approx(0.5 / (100 * math.pi))


def test_a_ring_that_is_empty_by_chance_does_not_make_a_bright_source_rare():
    """Of 9 stars a ring every third is bright: 3; where none is by chance, it is no third of that.

    The field's other 900 stars tell that share; by the number in the ring alone it were a sixth.
    """
    rng = np.random.default_rng(5)
    stated = []
    for _ in range(3000):
        angle, apart = rng.uniform(0, 2 * math.pi, 9), rng.uniform(1.0, 9.9, 9)
        far = np.full(900, 30.0)
        east = np.concatenate([apart * np.cos(angle), far])
        north = np.concatenate([apart * np.sin(angle), far])
        flux = np.where(rng.random(909) < 1 / 3, 5.0, 1.0)
        around = surroundings_of(east, north, flux, inner_arcsec=0.5, outer_arcsec=10.0)
        if not np.any(around.flux >= 5.0):
            stated.append(around.density(5.0) * around.area_arcsec2)
    assert len(stated) > 30  # (2/3)^9 = 2.6 %
    # 4 / (4 + 3.5) of the 3.5 that are expected, and the rest of the half star that is seen.
    assert np.mean(stated) == pytest.approx(2.1, abs=0.1)
