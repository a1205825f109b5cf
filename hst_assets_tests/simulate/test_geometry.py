import numpy as np
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.simulate.geometry import (
    Pointing,
    Subarray,
    astropy_wcs,
    chip_views,
    pixel_area,
    wcs_keywords,
)

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]


def _cd(keywords):
    return np.array([[keywords[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])


def test_wfpc2_chips_lie_where_a_real_header_has_them():
    # u40x010hm (GO-6941), pipeline WCS of sad1946fu; PA_V3 and VAFACTOR of its header. CD in
    # deg/pixel. V3 at the aim point and at the telescope's axis differ: 0.1 degree is allowed.
    real = {
        1: (201.8223864495, -47.5063616253, 4.24147e-06, 1.191905e-05, 1.191481e-05, -4.22802e-06),
        2: (
            201.8226279095,
            -47.5231201287,
            2.614889e-05,
            -9.0216e-06,
            -9.02555e-06,
            -2.614907e-05,
        ),
        3: (
            201.7935907770,
            -47.5160807627,
            -9.17297e-06,
            -2.608836e-05,
            -2.609166e-05,
            9.17400e-06,
        ),
        4: (201.8041041640, -47.4959583677, -2.601358e-05, 9.42829e-06, 9.43128e-06, 2.602055e-05),
    }
    pointing = Pointing(real[3][0], real[3][1], 244.690994)
    for view in chip_views("wfpc2"):
        # The aim pixel is the reference pixel of WF3.
        keywords = wcs_keywords("wfpc2", view, pointing, velocity_aberration=0.9999572)
        ra, dec, *cd = real[view.extver]
        east = (keywords["CRVAL1"] - ra) * np.cos(np.radians(dec)) * 3600
        north = (keywords["CRVAL2"] - dec) * 3600
        assert np.hypot(east, north) < 0.3
        np.testing.assert_allclose(_cd(keywords).ravel(), cd, atol=0.002 * 2.6e-5)


def test_uvis_chips_lie_as_far_apart_as_in_a_real_header():
    # A full-frame F555W flc with PA_V3 194.955307; CRVAL of its two chips.
    first, second = (137.86461550675, -64.904104846804), (137.81795794134, -64.915638646857)
    views = chip_views("wfc3_uvis")
    keywords = wcs_keywords("wfc3_uvis", views[1], Pointing(*first, 194.955307))
    east = (keywords["CRVAL1"] - second[0]) * np.cos(np.radians(second[1])) * 3600
    north = (keywords["CRVAL2"] - second[1]) * 3600
    assert np.hypot(east, north) < 0.2
    orientation = np.degrees(np.arctan2(keywords["CD1_2"], keywords["CD2_2"]))
    assert orientation == pytest.approx(-120.2097, abs=0.15)


@pytest.mark.parametrize("key", KEYS)
def test_the_aim_pixel_is_at_the_pointing(key):
    pointing = Pointing(150.1, 2.2, 33.0)
    subarrays = [None] if key == "wfpc2" else [None, Subarray(300, 200, 512, 400)]
    for subarray in subarrays:
        view = chip_views(key, subarray)[2 if key == "wfpc2" else 0]
        wcs = astropy_wcs(view, wcs_keywords(key, view, pointing, subarray=subarray))
        x, y = (view.crpix[0] - 1, view.crpix[1] - 1) if subarray is None else (255.5, 199.5)
        ra, dec = wcs.all_pix2world(x, y, 0)
        assert np.hypot(ra - 150.1, dec - 2.2) * 3600 < 0.002


@pytest.mark.parametrize("key", KEYS)
def test_pixel_area_is_that_of_the_pixel_on_the_sky(key):
    # The pixel's corners through the WCS, an independent way; second-order terms within a
    # pixel are far below 1e-5.
    for view in chip_views(key):
        wcs = astropy_wcs(view, wcs_keywords(key, view, Pointing(150.1, 0.0, 12.0)))
        x = np.array([5.0, view.nx / 2, view.nx - 9.0])
        y = np.array([8.0, view.ny / 3, view.ny - 4.0])
        corners = [wcs.all_pix2world(x + dx, y + dy, 0) for dx, dy in _CORNERS]
        ra, dec = np.array(corners).transpose(1, 0, 2) * 3600
        ra *= np.cos(np.radians(dec.mean() / 3600))
        area = 0.5 * np.abs(
            sum(ra[i] * dec[(i + 1) % 4] - ra[(i + 1) % 4] * dec[i] for i in range(4))
        )
        np.testing.assert_allclose(pixel_area(view, x, y), area / view.scale_arcsec**2, rtol=1e-4)


_CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


def test_distortion_matters_on_every_detector():
    for key in KEYS:
        view = chip_views(key)[0]
        areas = pixel_area(view, np.array([0.0, view.nx - 1.0]), np.array([0.0, view.ny - 1.0]))
        assert np.ptp(areas) > 0.002


def test_a_displaced_pointing_moves_by_true_angles():
    moved = Pointing(359.99999, 60.0, 350.0).displaced(0.4, -0.2, 0.003)
    assert moved.ra_deg == pytest.approx(359.99999 + 0.8 / 3600 - 360.0, abs=1e-10)
    assert moved.dec_deg == pytest.approx(60.0 - 0.2 / 3600, abs=1e-12)
    assert moved.pa_v3_deg == pytest.approx(350.003)


@pytest.mark.parametrize(
    ("key", "subarray"),
    [
        ("wfc3_ir", Subarray(600, 0, 512, 512)),
        ("acs_wfc", Subarray(0, 0, 0, 10)),
        ("acs_hrc", Subarray(0, 0, 10, 10, extver=2)),
        ("wfpc2", Subarray(0, 0, 100, 100)),
    ],
)
def test_a_subarray_off_the_chip_is_refused(key, subarray):
    with pytest.raises(BadConfiguration, match="not a part of"):
        chip_views(key, subarray)
