import numpy as np

from hst_assets.photometry.light_curve.separate_fits import Fit, planned_fits


def planned(x, source_of, sources_apart_pix=5.0, apart_pix=2.5):
    return planned_fits(
        np.array(x, float),
        np.zeros(len(x)),
        source_of,
        sources_apart_pix=sources_apart_pix,
        apart_pix=apart_pix,
    )


def test_places_far_from_each_other_share_a_fit():
    plan = planned([0, 20, 3.5, 23.5], [0, 1, 0, 1])
    assert plan.fits == (Fit((0, 1, 2, 3), ()),)
    assert (plan.same_as, plan.hidden) == ((0, 1, 2, 3), ())


def test_sources_at_one_place_are_measured_once():
    plan = planned([0, 0.4, 3.5, 3.9], [0, 1, 0, 1])
    assert plan.fits == (Fit((0, 2), ()),)
    assert plan.same_as == (0, 0, 2, 2)


def test_close_sources_are_measured_apart_each_with_its_own_places_and_with_far_sources():
    plan = planned([0, 4, 30, -3.5, 7.5], [0, 1, 2, 0, 1])
    assert plan.fits == (Fit((0, 2, 3), ()), Fit((1, 4), (2,)))


def test_places_too_near_to_each_other_are_measured_beside_their_source():
    plan = planned([0, 20, 8, 9, 12], [0, 1, 0, 1, 0])
    assert plan.fits == (Fit((0, 1, 2, 4), ()), Fit((3,), (0, 1)))


def test_upon_another_source_nothing_is_measured():
    plan = planned([0, 20, 19], [0, 1, 0])
    assert plan.hidden == (2,)
    assert plan.fits == (Fit((0, 1), ()),)


def test_a_place_that_is_nowhere_is_in_nobody_s_way():
    plan = planned([0, np.nan, 3.5], [0, 1, 0])
    assert plan.fits == (Fit((0, 1, 2), ()),)
