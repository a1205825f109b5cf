import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hst_assets.detection import image_planes
from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import TangentPlane


def test_an_image_without_sky_coordinates_is_refused(tmp_path):
    path = tmp_path / "plain.fits"
    fits.PrimaryHDU(np.ones((20, 20), "f4")).writeto(path)
    with pytest.raises(UnusableInput, match="no image with a celestial WCS"):
        image_planes.reference_plane(path)


def test_positions_are_those_of_the_wcs_of_each_sources_own_plane():
    wcs_of = {1: TangentPlane(10.0, 0.0, 1.0).wcs(), 4: TangentPlane(20.0, 0.0, 1.0).wcs()}
    table = Table({"x": [0.0, -36.0, 0.0], "y": [0.0, 0.0, 7.2], "extver": [4, 1, 7]})
    sky = image_planes.sky_positions(table, wcs_of)
    # 36 arcsec are 0.01 degree; nothing is known of a plane without a WCS.
    assert sky[:2].ravel() == pytest.approx([20.0, 0.0, 10.01, 0.0], abs=1e-9)
    assert np.isnan(sky[2]).all()
