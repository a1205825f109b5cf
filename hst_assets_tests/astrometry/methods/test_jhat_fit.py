"""What JHAT is given; JHAT itself is run in test_jhat.py."""

import math

import numpy as np
import pytest

from hst_assets.astrometry.methods.jhat_fit import (
    _Plane,
    _read_pairs,
    _slopes,
    _solution,
    _within_reach,
)
from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import TangentPlane


@pytest.fixture
def points():
    return np.random.default_rng(2).uniform(-300, 300, (50, 2))


def test_a_place_on_the_image_is_that_point_of_the_sky(points):
    plane = TangentPlane(359.99, -30.0, scale_arcsec=0.04)
    image = _Plane.around(plane, points)
    sky = image.wcs.all_pix2world(image.place(points), 0)
    np.testing.assert_allclose(plane.project(sky), points, atol=1e-6)


def test_no_star_is_in_the_border_that_jhat_leaves_out(points):
    image = _Plane.around(TangentPlane(10.0, 60.0, scale_arcsec=0.04), points)
    places = image.place(points)
    assert places.min() > 40
    assert np.all(places < np.array([image.nx, image.ny]) - 40)


def test_rotations_reach_the_limit_in_steps_that_a_star_at_the_edge_does_not_notice():
    for side in (512, 4300):
        slopes = _slopes(0.1, side)
        assert slopes["slope_min"] == pytest.approx(-math.radians(0.1), rel=1e-5)
        step = -2 * slopes["slope_min"] / slopes["slope_Nsteps"]
        assert step * side / 2 <= 0.1


def test_only_stars_with_a_reference_star_in_reach_are_given():
    stars = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 9.0]])
    reference = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(_within_reach(stars, reference, 10), [0, 2])
    assert len(_within_reach(stars, np.zeros((0, 2)), 10)) == 0


def test_products_that_are_not_there_are_no_result(tmp_path):
    with pytest.raises(UnusableInput, match="no aligned image"):
        _solution(tmp_path)
    with pytest.raises(UnusableInput, match="no list of its matches"):
        _read_pairs(tmp_path)
