import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.astrometry.cross_validation import cross_validate, parts_of
from hst_assets.astrometry.matching import Motion
from hst_assets_tests.astrometry.conftest import Sky, rotation_matrix


@given(st.integers(0, 500), st.sampled_from([0.1, 0.25, 0.5]), st.text(min_size=1))
def test_parts_are_of_one_size_and_the_same_every_time(n, fraction, seed):
    part = parts_of(n, fraction, seed)
    counts = np.bincount(part, minlength=round(1 / fraction))
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(part, parts_of(n, fraction, seed))


def test_parts_differ_between_exposures():
    assert not np.array_equal(parts_of(200, 0.25, "iaaa01abq"), parts_of(200, 0.25, "iaaa01acq"))


def checked(image, after, reference, geometry="rshift", search=25):
    part = parts_of(len(image), 0.25, "iaaa01abq")
    return cross_validate(image, after, reference, part, geometry, search=search, radius=1.0)


def true_motion(sky):
    """What carries the exposure's stars to their places."""
    return Motion(
        rotation_matrix(sky.turn), 500 + sky.shift - 500 * rotation_matrix(sky.turn).sum(0)
    )


def test_every_true_star_is_found_by_a_fit_without_it():
    sky = Sky(1, common=12, cosmic=20, deeper=20, turn=0.05)
    check = checked(sky.image, true_motion(sky)(sky.image), sky.reference)
    assert set(range(12)) <= set(check.found.tolist())
    assert np.array_equal(check.partner[check.found < 12], check.found[check.found < 12])
    # 0.1 px a star, nine stars a fit.
    assert check.drift < 0.15
    assert np.abs(np.median(check.residual, axis=0)).max() < 0.15


def test_unrelated_lists_predict_no_more_than_chance():
    image, reference = Sky.unrelated(3, 200, 400)
    check = checked(image, image, reference)
    # 200 stars, 400 on 1000 x 1000 pixels, within one pixel: 0.25 by chance.
    assert len(check.found) <= 4


def test_a_written_fit_that_is_not_what_the_stars_say_is_adrift():
    sky = Sky(2, common=60, cosmic=0)
    wrong = true_motion(sky)(sky.image) + np.array([0.6, 0.0])
    assert checked(sky.image, wrong, sky.reference).drift == pytest.approx(0.6, abs=0.05)


def test_lists_too_short_for_any_fit_find_nothing():
    few = np.array([[1.0, 1.0], [400.0, 7.0]])
    check = checked(few, few, few + 0.1)
    assert len(check.found) == 0
    assert np.isnan(check.drift)
