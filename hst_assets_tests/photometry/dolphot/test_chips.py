"""The file of a chip, and where the target is on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.detection.image_planes import read_wcs
from hst_assets.photometry.dolphot.chips import (
    chip_cards,
    joined_header,
    position_on_chip,
    write_chip,
)
from hst_assets.photometry.dolphot.detector_rules import ReadMode
from hst_assets.photometry.dolphot.masks import MaskedImage

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "real"
UVIS = REAL / "wfc3_uvis_2013fy27" / "idsj02axq_flc.fits"
needs_real_data = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exposures in {REAL}"),
]


@pytest.fixture
def science() -> fits.Header:
    """SIP terms that bend by 40 pixels at the corner of the chip."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["CRVAL1"], header["CRVAL2"] = 150.1, 2.2
    header["CRPIX1"], header["CRPIX2"] = 500.0, 500.0
    header["CD1_1"], header["CD2_2"] = -1.1e-5, 1.1e-5
    header["A_ORDER"], header["A_2_0"] = 2, 1.6e-4
    header["B_ORDER"], header["B_2_0"] = 2, 1.6e-4
    return header


def test_the_target_is_found_with_all_of_the_distortion(science: fits.Header) -> None:
    wcs = read_wcs(science, fits.HDUList())
    ra, dec = (float(each) for each in wcs.all_pix2world(990.0, 10.0, 0))
    x, y, inside = position_on_chip(wcs, (1000, 1000), ra, dec)
    assert (x, y, inside) == (pytest.approx(990.0, abs=1e-3), pytest.approx(10.0, abs=1e-3), True)
    linear = wcs.wcs_world2pix(ra, dec, 0)
    assert float(linear[0]) > 1000  # by which it would be off the chip


@pytest.mark.parametrize(
    ("x", "inside"), [(-0.49, True), (-0.51, False), (999.49, True), (999.51, False)]
)
def test_a_chip_ends_at_the_edges_of_its_pixels(
    science: fits.Header, x: float, inside: bool
) -> None:
    wcs = read_wcs(science, fits.HDUList())
    ra, dec = (float(each) for each in wcs.all_pix2world(x, 500.0, 0))
    assert position_on_chip(wcs, (1000, 1000), ra, dec)[2] is inside


def test_a_target_far_off_is_on_no_chip(science: fits.Header) -> None:
    wcs = read_wcs(science, fits.HDUList())
    for ra, dec in ((150.5, 2.2), (150.1, -40.0), (330.1, -2.2)):
        assert not position_on_chip(wcs, (1000, 1000), ra, dec)[2]


@pytest.mark.parametrize("path", [pytest.param(UVIS, marks=needs_real_data)])
def test_lookup_tables_count_for_the_target_and_are_not_handed_on(
    path: Path, tmp_path: Path
) -> None:
    with fits.open(path) as hdus:
        wcs = read_wcs(hdus["SCI", 1].header, hdus)
        ra, dec = (float(each) for each in wcs.all_pix2world(100.0, 200.0, 0))
        joined = joined_header(hdus[0].header, hdus["SCI", 1].header)
    x, y, _ = position_on_chip(wcs, (512, 513), ra, dec)
    assert (x, y) == (pytest.approx(100.0, abs=1e-3), pytest.approx(200.0, abs=1e-3))
    assert not [key for key in joined if key.startswith(("CPDIS", "D2IMDIS", "DP1", "DP2"))]
    # The chip alone still has the SIP polynomials: off by the tables, 0.01 to 0.1 pixel.
    masked = MaskedImage(np.zeros((512, 513), np.float32), -1.0, 9.0, 0, 0, 0)
    cards = chip_cards(masked, ReadMode(1.0, 3.1), exptime_s=200.0, mjd=58270.0, tag=None)
    write_chip(tmp_path / "chip.fits", masked.data, joined, cards)
    alone = read_wcs(fits.getheader(tmp_path / "chip.fits"), fits.HDUList())
    found = np.array(alone.all_world2pix(ra, dec, 0))
    assert np.hypot(*(found - (100.0, 200.0))) < 0.2


def test_cards_of_the_extension_win_and_dolphots_win_over_both(tmp_path: Path) -> None:
    primary, extension = fits.Header(), fits.Header()
    primary["EXTEND"], primary["NEXTEND"], primary["EXPTIME"] = True, 6, 100.0
    primary["FILTER"], primary["LONG"] = "F606W", "x" * 120
    primary["HIERARCH HST123 ALIGNOK"] = True
    primary["HISTORY"] = "calibrated"
    extension["XTENSION"], extension["EXPTIME"], extension["CD1_1"] = "IMAGE", 50.0, 1e-5
    masked = MaskedImage(np.ones((3, 4), np.float32), -2.5, 99.0, 0, 0, 0)
    cards = chip_cards(
        masked,
        ReadMode(1.0, 3.1),
        exptime_s=200.0,
        mjd=58270.5,
        tag=("DOL_WFC3", 2),
        offset=(0, 1539),
        n_combined=2,
    )
    path = tmp_path / "chip.fits"
    write_chip(path, masked.data, joined_header(primary, extension), cards)
    with fits.open(path) as hdus:
        assert len(hdus) == 1
        header = hdus[0].header
    expected = {
        "EXPTIME": 200.0,
        "EXPTIME0": 100.0,
        "CD1_1": 1e-5,
        "FILTER": "F606W",
        "RDNOISE": 3.1,
        "GAIN": 1.0,
        "BADPIX": -2.5,
        "SATURATE": 99.0,
        "MJD-OBS": 58270.5,
        "DOL_WFC3": 2,
        "DOL_OFFY": 1539,
        "NEXTEND": 0,
        "BITPIX": -32,
        "HST123 ALIGNOK": True,
        "LONG": "x" * 120,
    }
    assert {key: header[key] for key in expected} == expected
    assert "DOL_OFFX" not in header
    assert "XTENSION" not in header


def test_a_matrix_in_other_words_becomes_cd_which_alone_dolphot_reads() -> None:
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0, CRVAL2=2.0)
    header.update(CRPIX1=20.0, CRPIX2=30.0, CDELT1=-1e-5, CDELT2=1e-5)
    header.update(PC1_1=0.8, PC1_2=-0.6, PC2_1=0.6, PC2_2=0.8)
    joined = joined_header(fits.Header(), header)
    assert [joined[name] for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")] == pytest.approx(
        [-8e-6, 6e-6, 6e-6, 8e-6]
    )
    assert "CDELT1" not in joined
    assert "PC1_1" not in joined
    # Both say the same of the sky, to rounding.
    there, here = (WCS(each).all_pix2world(7.0, 9.0, 0) for each in (header, joined))
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-12)
