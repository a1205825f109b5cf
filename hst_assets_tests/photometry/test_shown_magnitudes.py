"""What is drawn of a band: magnitudes of Vega, or those that are known without its zero point."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.psf.catalog_files import CatalogedImage, catalog_of_stars
from hst_assets.photometry.quality_cuts import cuts_of
from hst_assets.photometry.shown_magnitudes import shown_magnitudes
from hst_assets.settings import Settings
from hst_assets_tests.photometry.psf.measured_stars import measured_stars

#: Two exposures of 100 and 300 s: 10 and 20 counts a second, and a star that is not there.
COUNTS = [[1000.0, 2000.0, -5.0], [3000.0, 6000.0, 3.0]]
ERRORS = [[10.0, 20.0, 10.0], [30.0, 60.0, 10.0]]


def images(zero_point_mag: float) -> list[CatalogedImage]:
    first = CatalogedImage(
        alias="iaaa01a1q_flc.chip1",
        detector=DETECTORS["wfc3_uvis"],
        filter="F606W",
        exptime_s=100.0,
        mjd=55000.0,
        gain=1.0,
        chip_code=1,
        zero_point_mag=zero_point_mag,
    )
    return [first, replace(first, alias="iaaa01a2q_flc.chip1", exptime_s=300.0)]


def shown(zero_point_mag: float, *zero_points: dict[str, float | None]):
    stars = measured_stars(COUNTS, ERRORS)
    catalog = catalog_of_stars(stars, images(zero_point_mag), flag_mask=7)
    (band,) = bands_of(catalog.columns)
    return shown_magnitudes(catalog, cuts_of(Settings().quality_cuts), band, zero_points)


def test_magnitudes_of_vega_are_shown_where_there_are_any():
    found = shown(26.0)
    assert found.system == "Vega"
    assert found.mag == pytest.approx([23.5, 26 - 2.5 * math.log10(20), math.nan], nan_ok=True)


def test_without_vegas_zero_point_they_are_ab():
    """Mean zero point by exposure time: (26.0 + 3 x 26.4) / 4 = 26.3, less 0.1."""
    told = [
        {"ab_mag": 26.0, "aperture_correction_mag": -0.1},
        {"ab_mag": 26.4, "aperture_correction_mag": -0.1},
    ]
    found = shown(math.nan, *told)
    assert found.system == "AB"
    assert found.mag == pytest.approx([23.7, 26.2 - 2.5 * math.log10(20), math.nan], nan_ok=True)


@pytest.mark.parametrize("told", [[], [{"ab_mag": None, "aperture_correction_mag": -0.1}] * 2])
def test_without_any_zero_point_they_are_instrumental(told):
    found = shown(math.nan, *told)
    assert found.system == "instrumental"
    assert found.mag == pytest.approx([-2.5, -2.5 * math.log10(20), math.nan], nan_ok=True)
    assert np.isnan(found.mag[2])
