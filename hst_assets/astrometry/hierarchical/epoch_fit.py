"""Fit a drizzled epoch to the reference, and hand its motion on to the exposures it is made of.

A drizzled epoch is one plane without distortion: its fit is a linear one in its own pixels, done
with tweakwcs. Pixels of the formulae count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.methods.fit import Fit
from hst_assets.detection import image_planes
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings
from hst_assets.sky_geometry import TangentPlane

__all__ = ["as_exposure", "fit_epoch", "motion_between"]

_LINEAR_KEYS = ("CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")

Sky = NDArray[np.float64]


def as_exposure(product: Path, path: Path) -> Path:
    """Write a drizzled product in the form of a one-chip exposure.

    Parameters
    ----------
    product : `~pathlib.Path`
        With SCI and WHT; pixels without weight become NaN, which is what bad pixels are here.
    path : `~pathlib.Path`
        Where to.
    """
    plane = image_planes.reference_plane(product)
    data = np.where(plane.bad, np.nan, plane.data).astype(np.float32)
    with fits.open(product, memmap=False) as hdus:
        header = plane.wcs.to_header()
        primary = fits.PrimaryHDU()
        for key in ("INSTRUME", "DETECTOR", "EXPTIME"):
            if key in hdus[0].header:
                primary.header[key] = hdus[0].header[key]
    for key in [*header["PC*_*"], *header["CDELT*"]]:
        del header[key]
    for (row, column), value in np.ndenumerate(plane.wcs.pixel_scale_matrix):
        header[f"CD{row + 1}_{column + 1}"] = value
    science = fits.ImageHDU(data, header, name="SCI")
    # A plane of its own, for a c0m's SCI planes are searched for data quality.
    quality = fits.ImageHDU(np.zeros(data.shape, np.int16), name="DQ")
    fits.HDUList([primary, science, quality]).writeto(path)
    return path


def fit_epoch(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
) -> Fit:
    """Fit the stars of a drizzled epoch; see `hst_assets.astrometry.methods.fit.FitTool`.

    Raises
    ------
    UnusableInput
        If there are too few pairs, or they cannot be fitted.
    """
    (wcs,) = field.wcs_of.values()
    stars = np.column_stack([np.asarray(fitted["x"], float), np.asarray(fitted["y"], float)])
    reference = np.column_stack(wcs.wcs_world2pix(*reference_sky.T, 0))
    _, guess = matching.offset_peak(stars, reference, search=search_pix, radius=tolerance)
    star, match = matching.nearest(stars + guess, reference, tolerance)
    if len(star) < max(how.min_objects, 3):
        raise UnusableInput(f"{len(star)} pairs on the drizzled epoch: too few for a fit")
    matrix, offset, kept = matching.fit_linear(
        stars[star], reference[match], how.fit_geometry, name=field.rootname
    )
    aligned = _write(field.copy.science, folder, wcs, matrix, offset)
    left = reference[match] - (stars[star] @ matrix.T + offset)
    rms_x, rms_y = np.sqrt(np.mean(left[kept] ** 2, axis=0))
    return Fit(aligned, star[kept], match[kept], float(rms_x), float(rms_y))


def _write(
    science: Path, folder: Path, wcs: WCS, matrix: NDArray[np.float64], offset: NDArray[np.float64]
) -> Path:
    """Copy the epoch with the WCS that has at pixel p what the old one has at matrix p + offset."""
    old_crpix = np.asarray(wcs.wcs.crpix) - 1
    try:
        crpix = np.linalg.solve(matrix, old_crpix - offset) + 1
    except np.linalg.LinAlgError as error:
        raise UnusableInput("the fit of the drizzled epoch has no inverse") from error
    cd = wcs.pixel_scale_matrix @ matrix
    if not (np.all(np.isfinite(crpix)) and np.all(np.isfinite(cd))):
        raise UnusableInput("the fit of the drizzled epoch is not finite")
    values = dict(zip(_LINEAR_KEYS, [*crpix, *cd.ravel()], strict=True))
    path = folder / science.name
    with fits.open(science, memmap=False) as hdus:
        hdus["SCI"].header.update({key: float(value) for key, value in values.items()})
        hdus.writeto(path)
    return path


def motion_between(before: Path, after: Path) -> tuple[Callable[[Sky], Sky], float, float, float]:
    """How the sky moves from the WCS of one file of an epoch to that of another.

    Parameters
    ----------
    before, after : `~pathlib.Path`
        The epoch as `as_exposure` wrote it, and as `fit_epoch` did.

    Returns
    -------
    motion : callable
        RA and Dec (deg, shape (n, 2)) by the old WCS to those by the new one.
    shift_ra_arcsec, shift_dec_arcsec : float
        Motion of the epoch's middle (RA times cos Dec).
    rotation_deg : float
        Rotation, x (west) to y (north), as `hst_assets.astrometry.gate.FitNumbers` has it.

    Raises
    ------
    UnusableInput
        If the motion is not finite.
    """
    (old,) = image_planes.wcs_by_extver(before).values()
    (new,) = image_planes.wcs_by_extver(after).values()

    def motion(sky: Sky) -> Sky:
        return np.column_stack(new.wcs_pix2world(*old.wcs_world2pix(*sky.T, 0), 0))

    nx, ny = old.pixel_shape
    corners = np.array([[0, 0], [nx - 1, 0], [nx - 1, ny - 1], [0, ny - 1]], float)
    sky = np.column_stack(old.wcs_pix2world(*corners.T, 0))
    plane = TangentPlane.about(sky, 1.0)
    shift, rotation, _ = matching.rigid_motion(plane.project(sky), plane.project(motion(sky)))
    if not all(map(math.isfinite, (*shift, rotation))):
        raise UnusableInput("the shift of the drizzled epoch is not finite", where=after)
    return motion, -float(shift[0]), float(shift[1]), rotation
