"""Motions written into the headers of simulated exposures with one chip and with four."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.methods.linear_terms import MAX_MISFIT_PIX, move_linear_terms
from hst_assets.detection.image_planes import wcs_by_extver
from hst_assets.failures import UnusableInput
from hst_assets.simulate.plans import small_plan
from hst_assets.sky_geometry import TangentPlane
from hst_assets_tests.astrometry.conftest import rotation_matrix

#: The sky moves by this much, turns and grows.
SHIFT_ARCSEC, TURN_DEG, SCALE = np.array([0.7, -0.4]), 0.08, 1.0005
DISTORTION = ("A_", "B_", "AP_", "BP_", "CPDIS", "DP", "D2IM", "CRPIX", "CTYPE", "NAXIS")


@pytest.fixture(scope="module", params=["wfc3_uvis", "wfpc2"])
def exposure(request, simulated):
    plan = small_plan(request.param, n_exposures=1)
    return simulated(plan).science_files()[0], (plan.ra_deg, plan.dec_deg)


@pytest.fixture
def copy(exposure, tmp_path):
    return shutil.copyfile(exposure[0], tmp_path / exposure[0].name)


def motion_about(middle):
    """Shift, turn and stretch the sky about a point of it."""
    plane = TangentPlane(*middle, scale_arcsec=1.0)

    def motion(sky):
        moved = plane.project(sky) @ rotation_matrix(TURN_DEG) * SCALE + SHIFT_ARCSEC
        return unproject(plane, moved)

    return motion


def unproject(plane, points):
    """The inverse of `TangentPlane.project`."""
    xi, eta = np.radians(points * [-1, 1] * plane.scale_arcsec / 3600).T
    dec0 = np.radians(plane.dec_deg)
    ra = np.arctan2(xi, np.cos(dec0) - eta * np.sin(dec0))
    dec = np.arctan2(
        (eta * np.cos(dec0) + np.sin(dec0)) * np.cos(ra), np.cos(dec0) - eta * np.sin(dec0)
    )
    return np.column_stack([plane.ra_deg + np.degrees(ra), np.degrees(dec)])


def test_every_chip_has_the_motion_and_nothing_else(exposure, copy):
    raw, middle = exposure
    motion = motion_about(middle)
    before = wcs_by_extver(raw)
    misfit = move_linear_terms(copy, motion, wcs_name="MOVED")
    after = wcs_by_extver(copy)
    assert after.keys() == before.keys()
    rng = np.random.default_rng(1)
    for extver, wcs in after.items():
        x, y = rng.uniform(0, 500, (2, 300))
        wanted = motion(np.column_stack(before[extver].all_pix2world(x, y, 0)))
        got = np.column_stack(wcs.all_pix2world(x, y, 0))
        plane = TangentPlane(*middle, scale_arcsec=0.04)
        off = np.hypot(*(plane.project(got) - plane.project(wanted)).T)
        # Between the points of the grid as on them.
        assert off.max() < MAX_MISFIT_PIX
        assert misfit < MAX_MISFIT_PIX
    assert off.max() > 0  # not a comparison of a file with itself


def test_distortion_pixels_and_the_rest_of_the_header_stay(exposure, copy):
    move_linear_terms(copy, motion_about(exposure[1]), wcs_name="MOVED")
    with fits.open(exposure[0]) as old, fits.open(copy) as new:
        for hdu in [hdu for hdu in old if hdu.name == "SCI"]:
            moved = new["SCI", hdu.ver]
            assert moved.header["WCSNAME"] == "MOVED"
            assert moved.header["CD1_2"] != hdu.header["CD1_2"]
            distortion = [key for key in hdu.header if key.startswith(DISTORTION)]
            assert distortion
            for key in distortion:
                assert moved.header[key] == hdu.header[key], key
            np.testing.assert_array_equal(moved.data, hdu.data)


def test_the_old_wcs_is_kept_as_an_alternate_one(exposure, copy):
    move_linear_terms(copy, motion_about(exposure[1]), wcs_name="MOVED")
    old, new = fits.getheader(exposure[0], "SCI", 1), fits.getheader(copy, "SCI", 1)
    names = {key: new[key] for key in new if key.startswith("WCSNAME") and key != "WCSNAME"}
    (letter,) = (key[-1] for key, name in names.items() if name == old["WCSNAME"])
    assert new[f"CRVAL1{letter}"] == pytest.approx(old["CRVAL1"], abs=1e-10)


def test_a_motion_that_is_not_linear_is_refused_and_nothing_is_written(exposure, copy):
    def bent(sky):
        return sky + 0.02 * (sky - np.array(exposure[1])) ** 2 * 3600 / 0.5

    with pytest.raises(UnusableInput, match="cannot be written into the header"):
        move_linear_terms(copy, bent, wcs_name="MOVED")
    assert copy.read_bytes() == exposure[0].read_bytes()
