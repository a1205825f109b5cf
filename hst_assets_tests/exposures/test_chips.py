import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.exposures.header import read_exposure


def test_chips_carry_the_number_of_the_header(exposure_file):
    def swap(hdus):
        hdus["SCI", 1].header["CCDCHIP"], hdus["SCI", 2].header["CCDCHIP"] = 2, 1

    exposure = read_exposure(exposure_file("wfc3_uvis", n_chips=2, edit=swap))
    assert [(chip.extver, chip.number) for chip in exposure.chips] == [(1, 2), (2, 1)]


def test_the_full_distortion_enters_the_footprint(exposure_file):
    """A lookup table (NPOL) that moves every pixel by 3 moves the outline by 3 pixels."""

    def with_tables(hdus):
        for axis, shift_pix in ((1, 3.0), (2, 0.0)):
            table = fits.ImageHDU(np.full((3, 3), shift_pix, "float32"), name="WCSDVARR", ver=axis)
            table.header.update({"CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 1.0, "CRVAL2": 1.0})
            table.header.update({"CDELT1": 25, "CDELT2": 20})
            hdus.append(table)
            header = hdus["SCI"].header
            header[f"CPDIS{axis}"] = "LOOKUP"
            for field in (f"EXTVER: {axis}.0", "NAXES: 2.0", "AXIS.1: 1.0", "AXIS.2: 2.0"):
                header.append((f"DP{axis}", field))
        hdus[0].header["NEXTEND"] = len(hdus) - 1

    path = exposure_file("acs_hrc", edit=with_tables)
    with fits.open(path) as hdus:
        moved = read_exposure(path).chips[0].polygon
        core = WCS(hdus["SCI"].header, fobj=hdus)
    x, y = core.wcs_world2pix(*moved.T, 0)  # the linear part alone
    # NPOL corrections are added to the pixel position before the linear transformation.
    assert (x.min(), x.max()) == pytest.approx((2.5, 52.5), abs=0.01)
    assert (y.min(), y.max()) == pytest.approx((-0.5, 39.5), abs=0.01)
