"""Pixel areas: of real headers against the sky, and a user's maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.photometry.dolphot.pixel_area import (
    has_distortion,
    map_of_file,
    pixel_areas,
    subarray_offset,
)

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "real"
needs_real_data = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exposures in {REAL}"),
]
FILES = {
    "wfc3_uvis": "wfc3_uvis_2013fy27/idsj02axq_flc.fits",
    "wfc3_ir": "wfc3_ir_gj1214/ibxy01z8q_flt.fits",
    "acs_hrc": "acs_hrc_47tuc/j8bt06nyq_flt.fits",
    "wfpc2": "wfpc2_omegacen/u40x010hm_c0m.fits",
}
SIP = {
    "CRPIX1": 20.0,
    "CRPIX2": 30.0,
    "CD1_1": 1e-5,
    "CD2_2": 1.2e-5,
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 1e-4,
    "A_1_1": -2e-4,
    "B_0_2": 3e-4,
}


def on_the_sky(header: fits.Header, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Areas of pixels by the sky positions of points half a pixel about them, square arcsec."""
    plain = header.copy()
    for keyword in list(plain):
        if keyword.startswith(("CPDIS", "D2IM", "DP1", "DP2", "CPERR")):
            del plain[keyword]
    wcs = read_wcs(plain, fits.HDUList())

    def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ra, dec = wcs.all_pix2world(x, y, 0)
        return np.array([(ra - wcs.wcs.crval[0]) * np.cos(np.radians(dec)), dec]) * 3600

    along_x, along_y = plane(x + 0.5, y) - plane(x - 0.5, y), plane(x, y + 0.5) - plane(x, y - 0.5)
    return np.abs(along_x[0] * along_y[1] - along_x[1] * along_y[0])


@pytest.mark.parametrize("key", [pytest.param(key, marks=needs_real_data) for key in FILES])
def test_areas_of_real_exposures_are_those_on_the_sky(key: str) -> None:
    header = fits.getheader(REAL / FILES[key], ("SCI", 1))
    unit = DETECTORS[key].flat_scale_arcsec(header)
    shape = header["NAXIS2"], header["NAXIS1"]
    areas = pixel_areas(header, shape, unit_arcsec=unit)
    y, x = (each.ravel() for each in np.mgrid[3 : shape[0] - 3 : 9j, 3 : shape[1] - 3 : 9j])
    y, x = y.round(), x.round()
    on_sky = on_the_sky(header, x, y) / unit**2 / header.get("VAFACTOR", 1.0) ** 2
    # Velocity aberration is taken off; the rest is the curvature of the sky, 4e-7 at 160 arcsec,
    # and the third derivative of the distortion.
    np.testing.assert_allclose(areas[y.astype(int), x.astype(int)], on_sky, rtol=2e-5)


@pytest.mark.parametrize(
    ("key", "pixel"),
    [
        pytest.param("wfc3_uvis", (2072, 2046), marks=needs_real_data),
        pytest.param("wfc3_ir", (557, 557), marks=needs_real_data),
    ],
)
def test_areas_are_1_where_those_of_stsci_are(key: str, pixel: tuple[int, int]) -> None:
    """WFC3's published maps are 1 at these pixels, counted from 1 on the full chip (UVIS: 2).

    https://www.stsci.edu/hst/wfc3/pam/pixel_area_maps
    """
    header = fits.getheader(REAL / FILES[key], ("SCI", 1))
    left, below = subarray_offset(header)
    header["CRPIX1"] -= pixel[0] - left - 1
    header["CRPIX2"] -= pixel[1] - below - 1
    unit = DETECTORS[key].flat_scale_arcsec(header)
    # Their distortion is that of 2009; ours of the exposure's own IDCTAB.
    assert pixel_areas(header, (1, 1), unit_arcsec=unit)[0, 0] == pytest.approx(1.0, abs=3e-4)


def test_areas_of_a_subarray_are_those_of_its_part_of_the_chip() -> None:
    full = pixel_areas(SIP, (60, 50), unit_arcsec=0.04)
    part = {**SIP, "CRPIX1": SIP["CRPIX1"] - 7, "CRPIX2": SIP["CRPIX2"] - 11}
    cut = pixel_areas(part, (20, 30), unit_arcsec=0.04)
    np.testing.assert_allclose(cut, full[11:31, 7:37], rtol=1e-12)


def test_areas_may_be_relative_to_the_middle() -> None:
    areas = pixel_areas(SIP, (61, 51))
    assert areas[30, 25] == pytest.approx(1.0, rel=1e-12)
    assert np.ptp(areas) > 0.01


def test_without_distortion_all_areas_are_the_same() -> None:
    plain = {key: value for key, value in SIP.items() if not key.startswith(("A_", "B_"))}
    assert not has_distortion(plain)
    areas = pixel_areas(plain, (4, 3), unit_arcsec=0.04)
    np.testing.assert_allclose(areas, 1.2e-10 * 3600**2 / 0.04**2, rtol=1e-12)


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"CD1_1": 0.0}, "CD matrix"),
        ({"A_2_0": 0.5}, "folds"),
        ({"A_ORDER": 40}, "orders up to 9"),
        ({"CRPIX1": "N/A"}, "CRPIX1"),
    ],
)
def test_a_distortion_that_makes_no_sense_is_rejected(cards: dict[str, object], said: str) -> None:
    with pytest.raises(UnusableInput, match=said):
        pixel_areas({**SIP, **cards}, (60, 50), unit_arcsec=0.04)


def test_the_part_of_a_users_map_is_the_subarrays(tmp_path: Path) -> None:
    full = np.arange(1, 1 + 12 * 10, dtype=np.float32).reshape(12, 10)
    path = tmp_path / "map.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(full)]).writeto(path)
    offset = subarray_offset({"LTV1": -3.0, "LTV2": -5.0})
    assert np.array_equal(map_of_file(path, (4, 6), offset=offset), full[5:9, 3:9])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.ones((5, 5), dtype=np.float32), "does not cover"),
        (np.zeros((9, 9), dtype=np.float32), "not positive"),
        (None, "two-dimensional"),
    ],
)
def test_a_map_that_does_not_fit_is_a_bad_setting(
    tmp_path: Path, content: np.ndarray | None, said: str
) -> None:
    path = tmp_path / "map.fits"
    fits.PrimaryHDU(content).writeto(path)
    with pytest.raises(BadConfiguration, match=said):
        map_of_file(path, (4, 4), offset=(3, 3))


def test_a_map_that_is_no_fits_file_is_a_bad_setting(tmp_path: Path) -> None:
    path = tmp_path / "map.fits"
    path.write_text("areas")
    with pytest.raises(BadConfiguration, match="cannot be read"):
        map_of_file(path, (4, 4), offset=(0, 0))
