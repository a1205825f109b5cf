"""Fit an exposure's WCS to sky positions with tweakwcs, all chips moved as one.

For child processes (see `hst_assets.isolation`). The fit is made on the tangent plane of the
exposure (`hst_assets.sky_geometry.TangentPlane`), whose pixels are the detector's: tweakwcs
takes lengths in pixels of whatever plane it is given.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.methods.fit import Fit, same_wcs
from hst_assets.detection import image_planes
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings

__all__ = ["WCS_NAME", "fit_to_catalog"]

WCS_NAME = "CATALOG-HST_ASSETS"


def fit_to_catalog(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
) -> Fit:
    """Fit the exposure and write its WCS to a copy; see `FitTool` in `methods.fit`.

    Raises
    ------
    UnusableInput
        If too few stars agree on an offset, or there is no usable fit.
    """
    name = field.copy.science.name
    image = field.plane.project(image_planes.sky_positions(fitted, field.wcs_of))
    reference = field.plane.project(reference_sky)
    _, offset = matching.offset_peak(image, reference, search=search_pix, radius=tolerance)
    paired, partner = matching.nearest(image + offset, reference, tolerance)
    if len(paired) < how.min_objects:
        raise UnusableInput(
            f"{len(paired)} stars agree on an offset (minimum {how.min_objects})", where=name
        )
    matrix, shift, used = matching.fit_linear(
        image[paired], reference[partner], how.fit_geometry, name=name
    )
    paired, partner = paired[used], partner[used]
    aligned = folder / name
    shutil.copyfile(field.copy.science, aligned)
    _write_wcs(aligned, field, matrix, shift)
    if same_wcs(field.copy.science, aligned):
        raise UnusableInput("the fit did not change the header", where=name)
    worst = _largest_rms(reference[partner] - image[paired] @ matrix.T - shift)
    return Fit(aligned, paired, partner, worst, worst)


def _largest_rms(residuals: NDArray[np.float64]) -> float:
    """RMS along the direction in which it is largest: the plane is not turned as the chips are."""
    return math.sqrt(float(np.linalg.eigvalsh(residuals.T @ residuals / len(residuals))[-1]))


def _write_wcs(
    path: Path, field: Field, matrix: NDArray[np.float64], shift: NDArray[np.float64]
) -> None:
    """Move every chip by the same motion of the plane; distortions stay as they are."""
    from drizzlepac import updatehdr
    from stwcs.wcsutil import HSTWCS
    from tweakwcs.correctors import FITSWCSCorrector

    plane_wcs = field.plane.wcs()
    plane_wcs.pixel_shape = (1000, 1000)  # tweakwcs wants one; nothing depends on it
    plane = FITSWCSCorrector(plane_wcs)
    with fits.open(path, mode="update", memmap=False) as hdus:
        for extver in field.wcs_of:
            number = hdus.index_of(("SCI", extver))
            chip = FITSWCSCorrector(HSTWCS(hdus, ext=("SCI", extver)))
            chip.set_correction(matrix, shift, ref_tpwcs=plane)
            updatehdr.update_wcs(hdus, number, chip.wcs, wcsname=WCS_NAME, reusename=True)
