import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, Sip
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.exposures.footprint import (
    EDGE_TOLERANCE_PIX,
    chip_polygon,
    field_centre,
    format_footprint,
    parse_footprint,
    position_angle_deg,
    signed_distance_arcsec,
)
from hst_assets.exposures.header import read_exposure
from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import unit_vectors

SCALE = 0.05  # arcsec
SHAPE = (200, 400)
PLACES = [
    (150.0, 2.0),
    (0.0, 0.0),
    (359.9999, -30.0),
    (0.0001, 60.0),
    (77.0, 90.0),
    (12.0, -89.9999),
]


def make_wcs(ra, dec, *, shape=SHAPE, pa=0.0, sip=None):
    wcs = WCS(naxis=2)
    suffix = "-SIP" if sip is not None else ""
    wcs.wcs.ctype = [f"RA---TAN{suffix}", f"DEC--TAN{suffix}"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    angle = np.radians(pa)
    rotation = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = rotation * SCALE / 3600
    if sip is not None:
        wcs.sip = Sip(sip, sip.T.copy(), None, None, wcs.wcs.crpix)
    return wcs


def pixel_to_sky(wcs):
    return lambda x, y: wcs.all_pix2world(x, y, 0)


def polygon_at(ra, dec, **options):
    shape = options.get("shape", SHAPE)
    return chip_polygon(pixel_to_sky(make_wcs(ra, dec, **options)), shape)


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_the_corners_are_the_outer_pixel_corners(ra, dec):
    wcs = make_wcs(ra, dec, pa=33)
    polygon = chip_polygon(pixel_to_sky(wcs), SHAPE)
    corners = SkyCoord(
        *wcs.all_pix2world([-0.5, 399.5, 399.5, -0.5], [-0.5, -0.5, 199.5, 199.5], 0), unit="deg"
    )
    outline = SkyCoord(*polygon.T, unit="deg")
    for corner in corners:
        assert corner.separation(outline).min() < 1 * u.microarcsecond * 10


def test_an_undistorted_chip_needs_few_points():
    assert len(polygon_at(150, 2)) == 16


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.0, 80.0)])
def test_a_distorted_edge_is_followed_within_the_tolerance(ra, dec):
    sip = np.zeros((4, 4))
    sip[2, 0], sip[0, 2], sip[1, 1], sip[3, 0] = 8e-6, 5e-6, 6e-6, 2e-10
    shape = (2048, 4096)
    wcs = make_wcs(ra, dec, shape=shape, sip=sip, pa=120)
    polygon = chip_polygon(pixel_to_sky(wcs), shape)
    step = np.linspace(-0.5, 4095.5, 3001)
    edges = [(step, np.full_like(step, y)) for y in (-0.5, 2047.5)]
    worst = 0.0
    for x, y in edges:
        sky = np.column_stack(wcs.all_pix2world(x, y, 0))
        worst = max(worst, *(abs(signed_distance_arcsec([polygon], *point)) for point in sky[::50]))
    assert worst / SCALE < 0.5  # pixels
    assert EDGE_TOLERANCE_PIX < 0.5
    assert len(polygon) > 16  # the corners alone would not do


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("depth_pix", [-400.0, -3.0, -0.6, 0.6, 3.0, 90.0])
def test_the_signed_distance_is_that_of_the_plane(ra, dec, depth_pix):
    """A point some pixels inside or outside the middle of the lower edge."""
    wcs = make_wcs(ra, dec, pa=70)
    polygon = chip_polygon(pixel_to_sky(wcs), SHAPE)
    point = wcs.all_pix2world(199.5, -0.5 + depth_pix, 0)
    depth = signed_distance_arcsec([polygon], *map(float, point))
    # The tangent plane departs from the sphere by 1e-8 of the distance over a field of 20 arcsec.
    assert depth == pytest.approx(depth_pix * SCALE, abs=1e-5)


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_the_far_side_of_the_sky_is_outside(ra, dec):
    assert signed_distance_arcsec([polygon_at(ra, dec)], (ra + 180) % 360, -dec) < -179 * 3600


def test_beyond_the_plane_the_distance_is_the_separation():
    polygon = polygon_at(100.0, 0.0)
    depth = signed_distance_arcsec([polygon], 130.0, 0.0)
    assert depth == pytest.approx(-30 * 3600, abs=15)  # half a field


def test_the_gap_between_two_chips_is_outside_both():
    lower = polygon_at(150.0, 2.0)
    upper = polygon_at(150.0, 2.0 + 204 * SCALE / 3600)
    middle = 2.0 + 102 * SCALE / 3600
    assert signed_distance_arcsec([lower, upper], 150.0, middle) == pytest.approx(
        -2 * SCALE, abs=1e-4
    )
    assert signed_distance_arcsec([lower, upper], 150.0, 2.0) > 0


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("pa", [0.0, 37.0, 200.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_polygon_runs_counter_clockwise_on_the_sky(ra, dec, pa, mirrored):
    wcs = make_wcs(ra, dec, pa=pa)
    if mirrored:
        wcs.wcs.cd = wcs.wcs.cd @ np.diag([-1, 1])
    polygon = SkyCoord(*chip_polygon(pixel_to_sky(wcs), SHAPE).T, unit="deg")
    centre = SkyCoord(ra, dec, unit="deg")
    angles = centre.position_angle(polygon).deg
    # Counter-clockwise with East to the left is the sense of growing position angle.
    assert np.sum((np.diff(angles, append=angles[0]) + 180) % 360 - 180) == pytest.approx(360)


@pytest.mark.parametrize("pa", [0.0, 15.5, 90.0, 179.0, 300.0])
@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.0, -60.0), (359.9999, 40.0)])
def test_the_position_angle_is_that_of_the_y_axis(ra, dec, pa):
    wcs = make_wcs(ra, dec, pa=pa)
    below, above = (SkyCoord(*wcs.all_pix2world(199.5, y, 0), unit="deg") for y in (99.0, 100.0))
    truth = below.position_angle(above).deg
    found = position_angle_deg(pixel_to_sky(wcs), SHAPE)
    assert (found - truth + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)
    assert (found - pa + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_the_field_centre_is_the_middle(ra, dec):
    found = SkyCoord(*field_centre([polygon_at(ra, dec)]), unit="deg")
    assert found.separation(SkyCoord(ra, dec, unit="deg")) < 0.1 * SCALE * u.arcsec
    assert 0 <= field_centre([polygon_at(ra, dec)])[0] < 360


def square(side_deg, *, extra=0):
    """A square about (40, 0), one side of which has `extra` more points."""
    half = side_deg / 2
    corners = [(40 - half, -half), (40 + half, -half), (40 + half, half), (40 - half, half)]
    more = [(40 - half + side_deg * k / (extra + 1), -half) for k in range(1, extra + 1)]
    return np.array([corners[0], *more, *corners[1:]])


@pytest.mark.parametrize("turn", [1, -1])
def test_more_points_on_a_side_do_not_pull_the_centre(turn):
    ra, dec = field_centre([square(0.04, extra=63)[::turn]])
    # The mean of the vertices is 60 arcsec off.
    assert (ra - 40) * 3600 == pytest.approx(0.0, abs=1e-3)
    assert dec * 3600 == pytest.approx(0.0, abs=1e-3)


def test_chips_weigh_by_their_area():
    small = square(0.02) + np.array([0.0, 0.09])
    _, dec = field_centre([square(0.04), small])
    assert dec == pytest.approx(0.09 / 5, abs=1e-6)  # areas 4 to 1


def test_the_centre_of_a_concave_outline_is_that_of_its_area():
    # A square of 2 less its upper right quarter, about (40, 0): hundredths of a degree.
    corners = [(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)]
    polygon = np.array(corners) * 0.01 + [40.0, 0.0]
    expected = 40.0 - 0.01 / 6
    assert field_centre([polygon]) == pytest.approx((expected, -0.01 / 6), abs=1e-7)


def test_points_have_their_mean_as_the_centre():
    points = [np.array([[10.0, 0.0]]), np.array([[12.0, 0.0]])]
    assert field_centre(points) == pytest.approx((11.0, 0.0))


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "acs_hrc_47tuc/j8bt06nyq_flt.fits",
        "wfc3_uvis_2013fy27/idsj02axq_flc.fits",
        "wfc3_ir_gj1214/ibxy01z8q_flt.fits",
        "wfpc2_omegacen/u40x010hm_c0m.fits",
    ],
)
def test_the_centre_of_a_real_field_is_the_mean_of_its_pixels(real_data, name):
    """By a grid of pixels through the WCS of each chip, each weighing as the pixel's area."""
    exposure = read_exposure(real_data / name)
    vectors, weights = [], []
    with fits.open(real_data / name) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for chip in exposure.chips:
            wcs = WCS(hdus["SCI", chip.extver].header, fobj=hdus)
            ny, nx = chip.shape
            x, y = np.meshgrid((np.arange(60) + 0.5) * nx / 60, (np.arange(60) + 0.5) * ny / 60)
            x, y = x.ravel() - 0.5, y.ravel() - 0.5
            steps = [wcs.all_pix2world(x + dx, y + dy, 0) for dx, dy in ((0, 0), (1, 0), (0, 1))]
            here, right, above = (unit_vectors(np.column_stack(step)) for step in steps)
            area = np.linalg.norm(np.cross(right - here, above - here), axis=1)
            vectors.append(here)
            weights.append(area * nx * ny)
    middle = np.average(np.vstack(vectors), axis=0, weights=np.concatenate(weights))
    expected = SkyCoord(*middle, representation_type="cartesian")
    found = SkyCoord(*exposure.field_centre_deg, unit="deg")
    # The outline keeps within 0.2 pixel of the edge.
    assert found.separation(expected) < 0.2 * exposure.detector.pixel_scale_arcsec * u.arcsec


def test_a_wcs_without_positions_is_refused():
    def nowhere(x, y):
        return np.full_like(x, np.nan), y

    with pytest.raises(UnusableInput, match="no position for part of the edge"):
        chip_polygon(nowhere, SHAPE)


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 359.9999), st.floats(-90, 90)), min_size=3, max_size=20),
        min_size=1,
        max_size=4,
    )
)
def test_footprints_are_read_as_they_were_written(polygons):
    written = [np.array(polygon) for polygon in polygons]
    read = parse_footprint(format_footprint(written))
    assert len(read) == len(written)
    for one, other in zip(read, written, strict=True):
        np.testing.assert_allclose(one, other, atol=6e-8)  # half of the last decimal


def test_the_archives_own_spelling_is_read():
    (polygon,) = parse_footprint("POLYGON ICRS  10.5 -3 10.6 -3 10.6 -2.9  10.5 -2.9")
    assert polygon.shape == (4, 2)


@pytest.mark.parametrize(
    "text", ["", "CIRCLE ICRS 1 2 3", "POLYGON ICRS 1 2 3", "POLYGON ICRS 1 2 3 4 5 6 x", "POLYGON"]
)
def test_what_is_no_footprint_is_refused(text):
    with pytest.raises(UnusableInput, match="not a footprint"):
        parse_footprint(text)
