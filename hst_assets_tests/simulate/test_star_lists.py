from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.matching import nearest
from hst_assets.detection.image_planes import wcs_by_extver
from hst_assets.detectors import DETECTORS
from hst_assets.simulate.geometry import Subarray
from hst_assets.simulate.star_lists import (
    ListPlan,
    make_star_lists,
    median_error_pix,
    write_headers,
)
from hst_assets.sky_geometry import TangentPlane

PART = Subarray(1000, 500, 1024, 1024)
PLAN = ListPlan("wfc3_uvis", 200, subarray=PART, seed=3)
SCALE = DETECTORS["wfc3_uvis"].pixel_scale_arcsec


@pytest.fixture(scope="module")
def header_wcs(tmp_path_factory):
    path = write_headers("wfc3_uvis", tmp_path_factory.mktemp("headers"), subarray=PART)
    with fits.open(path) as hdus:
        assert hdus["SCI", 1].data.shape == (1024, 1024)
        assert not hdus["SCI", 1].data.any()
    return wcs_by_extver(path)


def offsets(lists, wcs_of):
    """Reference minus exposure of the nearest pairs, in pixels east and north."""
    (wcs,) = wcs_of.values()
    here = wcs.all_pix2world(np.column_stack([lists.stars["x"], lists.stars["y"]]), 0)
    plane = TangentPlane.about(here, SCALE)
    a, b = nearest(plane.project(here), plane.project(lists.reference_sky), 8.0)
    out = plane.project(lists.reference_sky)[b] - plane.project(here)[a]
    return out * [-1, 1]


def test_an_exposure_without_error_lies_on_its_reference(header_wcs):
    lists = make_star_lists(PLAN, header_wcs)
    assert len(lists.stars) == len(lists.reference_sky) == len(lists.truth) == 200
    assert np.abs(np.median(offsets(lists, header_wcs), axis=0)).max() < 0.03
    assert median_error_pix(header_wcs, lists.truth, SCALE) < 1e-4
    assert (np.diff(lists.stars["snr"]) <= 0).all()


def test_a_pointing_error_is_what_the_reference_says(header_wcs):
    plan = replace(PLAN, error_arcsec=(0.1, -0.06))
    lists = make_star_lists(plan, header_wcs)
    east, north = np.median(offsets(lists, header_wcs), axis=0) * SCALE
    assert (east, north) == pytest.approx((0.1, -0.06), abs=0.002)
    assert median_error_pix(header_wcs, lists.truth, SCALE) == pytest.approx(
        np.hypot(0.1, 0.06) / SCALE, rel=0.01
    )


def test_a_second_population_lies_where_it_was_put_and_is_not_in_the_truth(header_wcs):
    plan = replace(PLAN, second_share=0.4, second_offset_pix=(3.0, 0.0))
    lists = make_star_lists(plan, header_wcs)
    assert len(lists.truth) == 120
    east = offsets(lists, header_wcs)[:, 0]
    assert np.count_nonzero(np.abs(east - 3.0) < 1.0) == pytest.approx(80, abs=5)
    doubled = make_star_lists(replace(plan, second="doubled"), header_wcs)
    assert len(doubled.truth) == 200
    assert len(doubled.reference_sky) == 280


def test_unrelated_lists_share_nothing(header_wcs):
    lists = make_star_lists(replace(PLAN, related=False), header_wcs)
    # 200 stars on 1024 x 1024 pixels, within one pixel: 0.1 by chance.
    assert np.count_nonzero(np.hypot(*offsets(lists, header_wcs).T) < 1.0) <= 3


def test_stars_of_a_layout_lie_as_it_says(header_wcs):
    corner = make_star_lists(replace(PLAN, layout="corner"), header_wcs).truth
    assert np.ptp(corner["x"]) < 260
    assert np.ptp(corner["y"]) < 260
    lattice = make_star_lists(replace(PLAN, layout="lattice", lattice_pix=64.0), header_wcs).truth
    assert np.asarray(lattice["x"]) % 64 == pytest.approx(0)
    cluster = make_star_lists(replace(PLAN, layout="cluster"), header_wcs).truth
    assert np.median(np.abs(cluster["x"] - np.median(cluster["x"]))) < 120


def test_a_threshold_leaves_the_significant(header_wcs):
    plan = replace(PLAN, n_spurious=100, n_exposure_only=100, n_reference_only=50)
    lists = make_star_lists(plan, header_wcs)
    assert (len(lists.stars), len(lists.reference_sky)) == (400, 250)
    found = lists.above(10.0, brightest=4000)
    assert 0 < len(found) < 400
    assert found["snr"].min() >= 10.0
    assert len(lists.above(10.0, brightest=20)) == 20
