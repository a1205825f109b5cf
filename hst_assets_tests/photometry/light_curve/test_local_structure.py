import numpy as np
import pytest

from hst_assets.photometry.light_curve.local_structure import places_about, structure_ujy
from hst_assets_tests.photometry.light_curve.measured_places import measured_places

NONE = np.empty(0)
ALL = slice(0, 18)


def test_places_are_two_rings_of_equal_triangles():
    ((x, y),) = places_about(np.array([50.0]), np.array([40.0]), NONE, NONE, finest_pix=2.0)
    far = np.hypot(x - 50, y - 40)
    assert len(x) == 18
    assert (far.min(), far.max()) == pytest.approx((7.0, 14.0))
    apart = np.hypot(x[:, None] - x, y[:, None] - y)[np.triu_indices(18, 1)]
    assert apart.min() == pytest.approx(7.0)


def test_places_on_stars_and_on_other_places_are_left_out():
    both = places_about(
        np.array([50.0, 53.5]), np.array([40.0, 40.0]), np.array([46.6]), np.array([40.0]),
        finest_pix=1.0,
    )  # fmt: skip
    assert [len(x) for x, _ in both] == [16, 16]


def test_about_a_place_that_is_nowhere_there_is_none():
    none, some = places_about(
        np.array([np.nan, 5.0]), np.array([1.0, 5.0]), NONE, NONE, finest_pix=1.0
    )
    assert (len(none[0]), len(some[0])) == (0, 18)


def test_noise_is_no_structure():
    """Of 300 empty surroundings hardly any have some; chi-squared of 18 above 36: one in 140."""
    rng = np.random.default_rng(2)
    found = [
        structure_ujy(measured_places(rng.normal(0, 0.1, 18), 0.1), np.array([0]), ALL, flag_mask=7)
        for _ in range(300)
    ]
    assert np.count_nonzero(found) <= 9


def test_structure_is_what_scatters_beyond_the_errors():
    """Fluxes of 2 and errors of 0.1 in two exposures: the means scatter by 2, to 30 %."""
    rng = np.random.default_rng(3)
    flux = rng.normal(0, 2.0, 18) + rng.normal(0, 0.1, (2, 18))
    told = measured_places(flux, 0.1)
    assert structure_ujy(told, np.array([0, 1]), ALL, flag_mask=7) == pytest.approx(2.0, rel=0.3)


def test_too_few_places_tell_nothing():
    told = measured_places([5.0, 5, 5, 5], 0.1)
    assert structure_ujy(told, np.array([0]), slice(0, 4), flag_mask=7) == 0
