"""Fit an exposure's WCS to sky positions with tweakwcs, all chips moved as one.

For child processes (see `hst_assets.isolation`). The fit is made on the tangent plane of the
exposure (`hst_assets.astrometry.matching.TangentPlane`), whose pixels are the detector's: tweakwcs
takes lengths in pixels of whatever plane it is given.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching, sources
from hst_assets.astrometry.field import Field
from hst_assets.astrometry.methods.fit import Fit, same_wcs
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings

__all__ = ["WCS_NAME", "fit_to_catalog"]

WCS_NAME = "CATALOG-HST_ASSETS"

#: Stars further from the fit than so many times its RMS are left out, in so many rounds.
_CLIP_SIGMA, _CLIP_ROUNDS = 3.0, 3


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
    """Fit the exposure and write its WCS to a copy; see `FitTool` in `methods.fit`."""
    name = field.copy.science.name
    image = field.plane.project(sources.sky_positions(fitted, field.wcs_of))
    reference = field.plane.project(reference_sky)
    _, offset = matching.offset_peak(image, reference, search=search_pix, radius=tolerance)
    paired, partner = matching.nearest(image + offset, reference, tolerance)
    if len(paired) < how.min_objects:
        raise UnusableInput(
            f"{len(paired)} stars agree on an offset, {how.min_objects} needed", where=name
        )
    with _numerics_refused(name):
        matrix, shift, used = _linear_fit(image[paired], reference[partner], how.fit_geometry)
    paired, partner = paired[used], partner[used]
    aligned = folder / name
    shutil.copyfile(field.copy.science, aligned)
    _write_wcs(aligned, field, matrix, shift)
    if same_wcs(field.copy.science, aligned):
        raise UnusableInput("the fit left the header as it was", where=name)
    worst = _largest_rms(reference[partner] - image[paired] @ matrix.T - shift)
    return Fit(aligned, paired, partner, worst, worst)


def _largest_rms(residuals: NDArray[np.float64]) -> float:
    """RMS along the direction in which it is largest: the plane is not turned as the chips are."""
    return math.sqrt(float(np.linalg.eigvalsh(residuals.T @ residuals / len(residuals))[-1]))


def _linear_fit(
    image: NDArray[np.float64], reference: NDArray[np.float64], geometry: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Matrix and shift that carry image to reference, and which pairs were not clipped."""
    from tweakwcs.linearfit import iter_linear_fit

    fit = iter_linear_fit(
        reference,
        image,
        fitgeom=geometry,
        nclip=_CLIP_ROUNDS,
        sigma=(_CLIP_SIGMA, "rmse"),
    )
    matrix = np.asarray(fit["matrix"], dtype=float)
    # tweakwcs turns about the middle of the stars: here about the origin.
    shift = np.asarray(fit["shift"], dtype=float) + fit["center"] - matrix @ fit["center"]
    return matrix, shift, np.asarray(fit["fitmask"], dtype=bool)


def _write_wcs(
    path: Path, field: Field, matrix: NDArray[np.float64], shift: NDArray[np.float64]
) -> None:
    """Move every chip by the same motion of the plane; distortions stay as they are."""
    from drizzlepac import updatehdr
    from stwcs.wcsutil import HSTWCS
    from tweakwcs.correctors import FITSWCSCorrector

    plane = FITSWCSCorrector(_plane_wcs(field.plane))
    with fits.open(path, mode="update", memmap=False) as hdus:
        for extver in field.wcs_of:
            number = hdus.index_of(("SCI", extver))
            chip = FITSWCSCorrector(HSTWCS(hdus, ext=("SCI", extver)))
            chip.set_correction(matrix, shift, ref_tpwcs=plane)
            updatehdr.update_wcs(hdus, number, chip.wcs, wcsname=WCS_NAME, reusename=True)


def _plane_wcs(plane: matching.TangentPlane) -> WCS:
    """The plane as a WCS whose pixels, counted from 0, are the plane's positions."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [plane.ra_deg, plane.dec_deg]
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.cd = np.diag([-1.0, 1.0]) * plane.scale_arcsec / 3600
    wcs.pixel_shape = (1000, 1000)  # tweakwcs wants one; nothing depends on it
    wcs.wcs.set()
    return wcs


@contextmanager
def _numerics_refused(name: str) -> Iterator[None]:
    """What the numerics raise on lists that they cannot fit speaks of the exposure."""
    from tweakwcs.linearfit import NotEnoughPointsError, SingularMatrixError

    try:
        yield
    except (ArithmeticError, ValueError, NotEnoughPointsError, SingularMatrixError) as error:
        raise UnusableInput(
            f"there is no fit: {type(error).__name__}: {error}", where=name
        ) from error
