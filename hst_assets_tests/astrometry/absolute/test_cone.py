"""Circles on the sky: what they hold and cover, also across 0 h and at the pole."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from hst_assets.astrometry.absolute.cone import Cone


@pytest.mark.parametrize(("ra", "dec"), [(150.1, 2.2), (0.001, -30.0), (20.0, 89.97)])
def test_separations_are_those_of_astropy(ra, dec):
    rng = np.random.default_rng(1)
    sky = np.column_stack([rng.uniform(0, 360, 50), np.degrees(np.arcsin(rng.uniform(-1, 1, 50)))])
    sky[:5] = np.array([ra, dec]) + rng.normal(0, 0.01, (5, 2))
    expected = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(*sky.T, unit="deg")).arcmin
    assert Cone(ra, dec, 5).separations_arcmin(sky) == pytest.approx(expected, abs=1e-9)


def test_a_cone_holds_the_outlines_with_an_arcminute_to_spare():
    corner = np.array([[150.0, 2.0 + 7.3 / 60]])
    cone = Cone.around([corner], ra_deg=150.0, dec_deg=2.0)
    assert cone.radius_arcmin == 9  # 7.3 and the margin, in whole arcminutes
    assert cone.contains(corner).all()


def test_no_cone_is_too_small_for_a_field_that_holds_its_centre():
    # The diagonal of ACS/WFC, the largest field, is 4.8 arcmin.
    assert Cone.around([], ra_deg=150.0, dec_deg=2.0).radius_arcmin >= 5.8


def test_a_cone_covers_what_lies_wholly_inside():
    cone = Cone(0.0, 0.0, 10)
    assert cone.covers(Cone(359.95, 0.0, 7))
    assert not cone.covers(Cone(359.95, 0.0, 8))
    assert cone.covers(cone)


def test_it_comes_back_from_a_record():
    cone = Cone(150.1, 2.2, 6)
    assert Cone(**cone.as_json()) == cone
