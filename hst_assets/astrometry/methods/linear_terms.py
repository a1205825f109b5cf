"""Write a motion of the sky into the linear WCS terms of an exposure, chip by chip.

CRVAL and the CD matrix carry the motion; CRPIX and every distortion (SIP, NPOL, D2IM) stay as they
are. Pixels count from 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import TangentPlane

__all__ = ["MAX_MISFIT_PIX", "move_linear_terms"]

#: A motion that the linear terms cannot hold to this, anywhere on a chip, is not written.
MAX_MISFIT_PIX = 0.01
#: Points on a side of the grid over a chip on which they are solved for.
_GRID = 12

Sky = NDArray[np.float64]


def move_linear_terms(science: Path, motion: Callable[[Sky], Sky], *, wcs_name: str) -> float:
    """Give every SCI extension of an exposure a WCS that is the old one, moved.

    Parameters
    ----------
    science : `~pathlib.Path`
        A working copy; it is changed. The old WCS is kept as an alternate one.
    motion : callable
        Where the sky at RA and Dec (deg, shape (n, 2)) by the old WCS is by the new one.
    wcs_name : str
        Value of WCSNAME.

    Returns
    -------
    misfit : float
        The largest distance, in pixels, between the motion and the headers that were written.

    Raises
    ------
    UnusableInput
        If the motion is no shift, rotation, scale or shear to `MAX_MISFIT_PIX`; then nothing was
        written.
    """
    from drizzlepac import updatehdr
    from stwcs.wcsutil import HSTWCS

    with fits.open(science, mode="update", memmap=False) as hdus:
        numbers = [number for number, hdu in enumerate(hdus) if hdu.name == "SCI"]
        solved = [_solve(hdus[number], hdus, motion) for number in numbers]
        misfit = max(each[2] for each in solved)
        # Written so that NaN is beyond the limit.
        if not misfit <= MAX_MISFIT_PIX:
            raise UnusableInput(
                f"the fit cannot be written into the header: it is off by {misfit:.3f} px",
                where=science,
            )
        for number, (crval, cd, _) in zip(numbers, solved, strict=True):
            new = HSTWCS(hdus, ext=number)
            new.wcs.crval, new.wcs.cd = crval, cd
            new.wcs.set()
            with warnings.catch_warnings():  # of SIP terms, which stay in the header
                warnings.filterwarnings("ignore", "Some non-standard WCS keywords", AstropyWarning)
                updatehdr.update_wcs(hdus, number, new, wcsname=wcs_name, reusename=True)
    return float(misfit)


def _solve(
    hdu: Any, hdus: fits.HDUList, motion: Callable[[Sky], Sky]
) -> tuple[Sky, NDArray[np.float64], float]:
    """CRVAL and CD that carry a chip's sky where the motion does, and their misfit in pixels.

    Behind the distortions a chip is a gnomonic projection about CRVAL: with CRVAL moved, the CD
    matrix is a linear least-squares problem.
    """
    wcs = read_wcs(hdu.header, hdus)
    pixels = _grid(hdu.data.shape)
    moved = motion(np.column_stack(wcs.all_pix2world(*pixels.T, 0)))
    (crval,) = motion(np.atleast_2d(wcs.wcs.crval))
    focal = np.column_stack(wcs.pix2foc(*pixels.T, 0)) + 1 - wcs.wcs.crpix
    west_north = TangentPlane(crval[0], crval[1], scale_arcsec=3600.0).project(moved)
    sky_deg = west_north * [-1, 1]
    cd_transposed, *_ = np.linalg.lstsq(focal, sky_deg, rcond=None)
    off = (sky_deg - focal @ cd_transposed) @ np.linalg.inv(cd_transposed)
    return crval, cd_transposed.T, float(np.max(np.hypot(*off.T)))


def _grid(shape: tuple[int, int]) -> NDArray[np.float64]:
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
    return np.column_stack([x.ravel(), y.ravel()])
