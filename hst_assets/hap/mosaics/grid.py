"""The pixel grid of sky cells: where a layer lies on it, and how large it is.

All sky cells of a projection cell share one tangent plane: one CRVAL, and in the fine layers
CRPIX that differ by whole pixels. A layer is cut to the bounding box of its exposures. The grid is
that of drizzlepac 3.11 (``cell_utils.ProjectionCell``, ``SkyCell``), read from its table
``pars/allsky_cells.fits`` without importing it; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.failures import MissingTool
from hst_assets.hap.mosaics.layers import PIXEL_SCALES_ARCSEC, MosaicInput, Scale

__all__ = ["extent_of", "sky_cell_wcs"]


def sky_cell_wcs(skycell: str, scale: Scale) -> WCS:
    """The WCS of a whole sky cell; its ``pixel_shape`` is (nx, ny).

    Parameters
    ----------
    skycell : str
        Such as ``skycell-p1234x05y06``.
    scale : str
        ``fine`` or ``coarse``.

    Raises
    ------
    MissingTool
        If drizzlepac is not installed.
    """
    cell = skycell.removeprefix("skycell-")
    number, column, row = int(cell[1:5]), int(cell[6:8]), int(cell[9:11])
    grid = _grid()
    band = grid["bands"][grid["bands"]["PROJCELL"] <= number][-1]
    ratio = grid["scale"] / PIXEL_SCALES_ARCSEC[scale]
    size = np.array([int(band["XCELL"]), int(band["YCELL"])])
    step = (size / grid["n_cells"] + 0.5).astype(int)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [
        (number - int(band["PROJCELL"])) * 360.0 / int(band["NBAND"]),
        float(band["DEC"]),
    ]
    wcs.wcs.crpix = (size / 2.0 + 0.5 - (np.array([column, row]) - 1) * step) * ratio
    pixel = grid["scale"] / ratio / 3600.0
    wcs.wcs.cd = [[-pixel, 0.0], [0.0, pixel]]
    wcs.pixel_shape = tuple(int(n) for n in (step + 2 * grid["overlap"]) * ratio)
    return wcs


@cache
def _grid() -> dict[str, Any]:
    package = find_spec("drizzlepac")
    if package is None or package.origin is None:
        raise MissingTool(
            "the table of sky cells is part of drizzlepac",
            where="drizzlepac",
            next_step="pip install drizzlepac",
        )
    with fits.open(Path(package.origin).parent / "pars" / "allsky_cells.fits") as hdus:
        header = hdus[0].header
        return {
            "bands": np.array(hdus[1].data),
            "scale": float(header["PC_SCALE"]),
            "n_cells": int(header["SC_NXY"]),
            "overlap": int(header["SC_OLAP"]),
        }


def extent_of(exposures: Iterable[MosaicInput], skycell: str, scale: Scale) -> tuple[int, int]:
    """About how many pixels the bounding box of exposures has in a sky cell.

    Parameters
    ----------
    exposures : iterable of MosaicInput
        Of one that does not tell its outline, the whole sky cell is assumed.
    skycell : str
        The sky cell.
    scale : str
        ``fine`` or ``coarse``.

    Returns
    -------
    tuple of int
        Pixels in x and y; within a few of the true ones, which need the distortion.
    """
    wcs = sky_cell_wcs(skycell, scale)
    limit = np.array(wcs.pixel_shape)
    corners = []
    for one in exposures:
        if not one.outlines:
            return int(limit[0]), int(limit[1])
        corners += [corner for outline in one.outlines for corner in outline]
    pixels = np.clip(wcs.all_world2pix(np.array(corners), 0), 0, limit - 1)
    nx, ny = np.ptp(pixels, axis=0).astype(int) + 1
    return int(nx), int(ny)
