"""Directions, distances, planes and pixels on the sky, against astropy's high-level classes."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import Sip
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.sky_geometry import (
    Cone,
    TangentPlane,
    direction_of,
    pixel_area_arcsec2,
    pixel_scale_arcsec,
    separation_deg,
    unit_vectors,
)


def scattered(n: int) -> np.ndarray:
    """RA and Dec all over the sky."""
    rng = np.random.default_rng(1)
    return np.column_stack([rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))])


# ------------------------------------------------------------------- directions and distances


def test_unit_vectors_are_those_of_astropy():
    sky = scattered(50)
    expected = SkyCoord(*sky.T, unit="deg").cartesian.xyz.value.T
    np.testing.assert_allclose(unit_vectors(sky), expected, atol=1e-15)


@given(st.floats(0, 360, exclude_max=True), st.floats(-89.9, 89.9), st.floats(1e-3, 1e3))
def test_a_direction_comes_back_from_a_vector_of_any_length(ra, dec, length):
    back = direction_of(length * unit_vectors([[ra, dec]]))
    assert 0 <= back[0, 0] < 360
    # Rounding of the unit vector, at 0.1 degree from the pole 600 times that in RA.
    assert separation_deg(back, [[ra, dec]])[0] < 1e-12


def test_the_smallest_negative_angle_is_right_ascension_zero():
    assert direction_of([1.0, -1e-20, 0.0])[0] == 0.0


def test_separations_go_position_by_position_and_to_one_place():
    sky = scattered(5)
    assert separation_deg(sky, sky) == pytest.approx(np.zeros(5), abs=1e-12)
    assert separation_deg((10.0, 0.0), (10.0, 90.0)) == pytest.approx(90.0)
    assert separation_deg(sky, (0.0, 90.0)) == pytest.approx(90.0 - sky[:, 1])


# ---------------------------------------------------------------------------- tangent planes


def test_the_tangent_plane_is_astropys_gnomonic_projection():
    centre = SkyCoord(150.1, 62.2, unit="deg")
    there = centre.spherical_offsets_by(
        np.array([3.0, -40.0]) * 1e-4 * centre.ra.unit,
        np.array([20.0, 7.0]) * 1e-4 * centre.ra.unit,
    )
    plane = TangentPlane(150.1, 62.2, 0.05)
    x, y = plane.project(np.column_stack([there.ra.deg, there.dec.deg])).T
    # x grows to the west. Offsets of 0.004 deg: gnomonic and true angles agree to 1e-8.
    assert x * -0.05 / 3600 == pytest.approx([3e-4, -40e-4], rel=1e-5)
    assert y * 0.05 / 3600 == pytest.approx([20e-4, 7e-4], rel=1e-5)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 10.0), (359.995, -60.0), (120.0, 89.99)])
def test_the_plane_of_a_field_across_zero_hours_or_a_pole_touches_it_in_its_middle(ra, dec):
    middle = SkyCoord(ra, dec, unit="deg")
    corners = middle.directional_offset_by([45, 135, 225, 315] * u.deg, 80 * u.arcsec)
    sky = np.column_stack([corners.ra.deg, corners.dec.deg])
    plane = TangentPlane.about(sky, 0.05)
    assert SkyCoord(plane.ra_deg, plane.dec_deg, unit="deg").separation(middle).arcsec < 1e-3
    # Corners at 80 arcsec: on the plane they are all so far from the origin.
    assert np.hypot(*plane.project(sky).T) * 0.05 == pytest.approx([80.0] * 4, rel=1e-6)


@pytest.mark.parametrize("origin", [(0.0, 0.0), (-312.0, 57.0)])
def test_pixels_of_the_planes_wcs_are_its_points_about_the_origin(origin):
    plane = TangentPlane(359.99, -30.0, scale_arcsec=0.04)
    points = np.random.default_rng(4).uniform(-2000, 2000, (20, 2))
    sky = plane.wcs(origin).all_pix2world(points - origin, 0)
    np.testing.assert_allclose(plane.project(sky), points, atol=1e-6)


@pytest.mark.parametrize("orientation", [0.0, 37.0, -135.0, 180.0])
def test_the_y_axis_of_a_plane_lies_at_its_orientation(orientation):
    middle = SkyCoord(83.6, 22.0, unit="deg")
    along_y = middle.directional_offset_by(orientation * u.deg, 10 * u.arcsec)
    plane = TangentPlane(83.6, 22.0, 0.05, orientation)
    ((x, y),) = plane.project([[along_y.ra.deg, along_y.dec.deg]])
    assert (x, y) == pytest.approx((0.0, 200.0), abs=1e-5)


def test_pixels_of_a_turned_planes_wcs_are_its_points():
    plane = TangentPlane(0.003, 67.0, 0.13, 25.0)
    points = np.random.default_rng(4).uniform(-2000, 2000, (20, 2))
    np.testing.assert_allclose(
        plane.project(plane.wcs().all_pix2world(points, 0)), points, atol=1e-6
    )


def test_what_a_plane_cannot_show_is_nan_and_no_warning():
    plane = TangentPlane(150.0, 2.0, 0.05)
    sky = [[330.0, -2.0], [150.0, -83.5], [150.0, -81.0], [np.nan, 2.0]]
    assert np.isfinite(plane.project(sky)).all(axis=1).tolist() == [False, False, True, False]


# ------------------------------------------------------------------------------------- cones


@pytest.mark.parametrize(("ra", "dec"), [(150.1, 2.2), (0.001, -30.0), (20.0, 89.97)])
def test_separations_are_those_of_astropy(ra, dec):
    rng = np.random.default_rng(1)
    sky = np.column_stack([rng.uniform(0, 360, 50), np.degrees(np.arcsin(rng.uniform(-1, 1, 50)))])
    sky[:5] = np.array([ra, dec]) + rng.normal(0, 0.01, (5, 2))
    expected = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(*sky.T, unit="deg")).arcmin
    assert Cone(ra, dec, 5).separations_arcmin(sky) == pytest.approx(expected, abs=1e-9)


def test_a_cone_covers_what_lies_wholly_inside():
    cone = Cone(0.0, 0.0, 10)
    assert cone.covers(Cone(359.95, 0.0, 7))
    assert not cone.covers(Cone(359.95, 0.0, 8))
    assert cone.covers(cone)


def test_it_comes_back_from_a_record():
    cone = Cone(150.1, 2.2, 6)
    assert Cone(**cone.as_json()) == cone


# ------------------------------------------------------------------------------------ pixels


def test_the_scale_of_a_wcs_is_the_mean_of_its_axes():
    wcs = TangentPlane(150.0, 80.0, 0.05, 30.0).wcs()
    wcs.wcs.cd = wcs.wcs.cd @ np.diag([1.0, 1.21])
    assert pixel_scale_arcsec(wcs) == pytest.approx(0.05 * 1.1, rel=1e-12)


@pytest.mark.parametrize(("ra", "dec"), [(359.9999, 0.0), (20.0, 89.999)])
def test_the_area_of_a_pixel_is_that_of_the_distorted_sky(ra, dec):
    wcs = TangentPlane(ra, dec, 0.05).wcs()
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a = np.zeros((3, 3))
    a[2, 0] = 1e-5  # a pixel at x is 1 + 2e-5 x as wide
    wcs.sip = Sip(a, np.zeros((3, 3)), None, None, wcs.wcs.crpix)
    # Second derivatives cancel in the central difference; gnomonic stretching is 1e-8 here.
    assert pixel_area_arcsec2(wcs, 1000.0, 10.0) == pytest.approx(0.05**2 * 1.02, rel=1e-6)
