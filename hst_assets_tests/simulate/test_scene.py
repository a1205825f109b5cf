import numpy as np
import pytest

from hst_assets.simulate.scene import ScenePlan, Transient, magnitude_in, make_scene

PLAN = ScenePlan(radius_arcsec=40.0, n_stars=500, n_isolated=20, n_galaxies=15)


def _distances(table, ra, dec):
    east = (np.asarray(table["ra"]) - ra) * 3600 * np.cos(np.radians(dec))
    return np.hypot(east, (np.asarray(table["dec"]) - dec) * 3600)


def test_the_same_seed_gives_the_same_sky_and_another_seed_another():
    first, again, other = (make_scene(PLAN, 10.0, -30.0, seed=seed) for seed in (3, 3, 4))
    for name in first.stars.colnames:
        assert np.array_equal(first.stars[name], again.stars[name])
    assert not np.array_equal(first.stars["ra"], other.stars["ra"])


def test_nothing_lies_near_an_isolated_star_or_a_place_kept_clear():
    scene = make_scene(PLAN, 10.0, -30.0, seed=3, keep_clear=[(5.0, 5.0)])
    everything = np.concatenate([scene.stars["ra"], scene.galaxies["ra"]])
    everything = {
        "ra": everything,
        "dec": np.concatenate([scene.stars["dec"], scene.galaxies["dec"]]),
    }
    for star in scene.stars[:20]:
        nearest = np.sort(_distances(everything, star["ra"], star["dec"]))[1]
        assert nearest >= PLAN.isolation_arcsec * (1 - 1e-6)
    ra = 10.0 + 5.0 / 3600 / np.cos(np.radians(-30.0))
    assert _distances(everything, ra, -30.0 + 5.0 / 3600).min() >= PLAN.isolation_arcsec * (
        1 - 1e-6
    )


def test_field_stars_keep_a_minimum_distance():
    plan = ScenePlan(radius_arcsec=20.0, n_stars=150, n_isolated=0, min_separation_arcsec=1.0)
    stars = make_scene(plan, 10.0, 0.0, seed=3).stars
    assert len(stars) > 100
    for index, star in enumerate(stars):
        assert np.sort(_distances(stars, star["ra"], star["dec"]))[1] >= 1.0 - 1e-6, index


def test_faint_stars_are_more_frequent_as_the_slope_says():
    plan = ScenePlan(n_stars=20000, n_isolated=0, slope=0.3, magnitudes=(18.0, 26.0))
    m_ref = np.asarray(make_scene(plan, 10.0, 0.0, seed=3).stars["m_ref"])
    assert m_ref.min() >= 18.0
    assert m_ref.max() <= 26.0
    counts = [np.count_nonzero((m_ref > low) & (m_ref < low + 1)) for low in (23.0, 24.0, 25.0)]
    # Ratio 10**0.3 = 2.0 a magnitude; 5 sigma of Poisson on about 2500.
    assert counts[1] / counts[0] == pytest.approx(2.0, rel=0.12)
    assert counts[2] / counts[1] == pytest.approx(2.0, rel=0.12)


def test_colour_makes_red_sources_brighter_at_long_wavelengths():
    stars = make_scene(PLAN, 10.0, 0.0, seed=3).stars
    difference = magnitude_in(stars, 16000.0) - magnitude_in(stars, 8000.0)
    np.testing.assert_allclose(difference, -np.asarray(stars["colour"]))


def test_a_transient_follows_its_light_curve_and_is_absent_outside_it():
    transient = Transient(0.0, 0.0, ((100.0, 22.0), (110.0, 20.0)), colour=0.5)
    assert transient.magnitude(105.0, 8000.0) == pytest.approx(21.0)
    assert transient.magnitude(105.0, 4000.0) == pytest.approx(21.5)
    assert np.isnan(transient.magnitude(99.0, 8000.0))
    assert np.isnan(transient.magnitude(111.0, 8000.0))
