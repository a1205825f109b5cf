"""Image planes with their masks and WCS, read from exposures and from drizzled images.

Positions are 0-based pixels (the centre of the first pixel is 0, 0) of the plane named by
``extver``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.failures import UnusableInput

__all__ = [
    "Plane",
    "exposure_planes",
    "read_wcs",
    "reference_plane",
    "science_extensions",
    "sky_positions",
    "wcs_by_extver",
]

#: DQ bit of hot pixels in WFC3/UVIS and ACS; elsewhere it means something else.
_HOT_BIT = 16


@dataclass(frozen=True)
class Plane:
    """One image plane ready for source finding.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Pixel values in the file's own unit.
    bad : ndarray of bool, shape (ny, nx)
        Pixels that must not contribute.
    saturated : ndarray of bool, shape (ny, nx)
        Saturated pixels; a star that holds one is left out.
    cosmic : ndarray of bool, shape (ny, nx)
        Pixels known to hold a cosmic ray or a hot pixel.
    wcs : `~astropy.wcs.WCS`
        With all distortions.
    extver : int
        EXTVER of the plane.
    """

    data: NDArray[np.float64]
    bad: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    cosmic: NDArray[np.bool_]
    wcs: WCS
    extver: int


def science_extensions(hdus: fits.HDUList) -> list[int]:
    """EXTVER of the SCI extensions, in file order."""
    return [int(hdu.ver) for hdu in hdus if hdu.name == "SCI"]


def exposure_planes(science: Path, quality: Path, detector: Detector) -> list[Plane]:
    """The SCI planes of an exposure with their masks and WCS.

    Parameters
    ----------
    science, quality : `~pathlib.Path`
        The files that hold the SCI and the DQ planes: one and the same, but for WFPC2.
    detector : Detector
        Says what the flags mean.

    Raises
    ------
    UnusableInput
        If there is no SCI plane, or one without an image, a celestial WCS, or flags of its shape.
    """
    with fits.open(science, memmap=False) as hdus:
        versions = science_extensions(hdus)
        if not versions:
            raise UnusableInput("no SCI extension", where=science)
        with fits.open(quality, memmap=False) as flags:
            return [_exposure_plane(hdus, flags, ver, detector) for ver in versions]


def _exposure_plane(
    science: fits.HDUList, quality: fits.HDUList, extver: int, detector: Detector
) -> Plane:
    hdu = science["SCI", extver]
    data, wcs = _image_with_wcs(hdu, science)
    name = next((each for each in _quality_names(detector) if (each, extver) in quality), None)
    stored = None if name is None else quality[name, extver].data
    flags = np.zeros(data.shape, np.int32) if stored is None else stored.astype(np.int32)
    if flags.shape != data.shape:
        raise UnusableInput(
            f"{name},{extver} has the shape {flags.shape}, SCI {data.shape}",
            where=quality.filename(),
        )
    hot = 0 if detector.has_separate_dq or detector.is_infrared else _HOT_BIT
    return Plane(
        data=data,
        bad=((flags & detector.dq_bad & ~detector.dq_saturated) != 0) | ~np.isfinite(data),
        saturated=(flags & detector.dq_saturated) != 0,
        cosmic=(flags & (detector.dq_cosmic_ray | hot)) != 0,
        wcs=wcs,
        extver=extver,
    )


def _image_with_wcs(hdu: Any, hdus: fits.HDUList) -> tuple[NDArray[np.float64], WCS]:
    stored = getattr(hdu, "data", None)  # an HDU of which astropy makes nothing has none
    where, name = hdus.filename(), f"{hdu.name},{hdu.ver}"
    if stored is None or stored.ndim != 2 or stored.size == 0:
        raise UnusableInput(f"{name} holds no image", where=where)
    try:
        wcs = read_wcs(hdu.header, hdus)
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableInput(f"{name} has no WCS: {error}", where=where) from error
    if not wcs.has_celestial:
        raise UnusableInput(f"{name} has no celestial WCS", where=where)
    return np.array(stored, dtype=np.float64), wcs


def _quality_names(detector: Detector) -> tuple[str, ...]:
    """EXTNAME of data quality: c1m files call it SDQ, or SCI."""
    return ("SDQ", "DQ", "SCI") if detector.has_separate_dq else ("DQ",)


def reference_plane(path: Path) -> Plane:
    """The image plane of a reference: SCI of a drizzle product, or the first image with a WCS.

    Pixels without weight (WHT 0) or without value are masked. The file is only read.

    Raises
    ------
    UnusableInput
        If the file holds no two-dimensional image with a celestial WCS.
    """
    with fits.open(path, memmap=False) as hdus:
        hdu = _reference_hdu(hdus)
        if hdu is None:
            raise UnusableInput(
                "no image with a celestial WCS",
                where=path,
                next_step="Give a FITS image whose SCI or primary HDU has a RA/Dec WCS",
            )
        data = np.array(hdu.data, dtype=np.float64)
        bad = ~np.isfinite(data)
        weight = hdus["WHT", 1].data if ("WHT", 1) in hdus else None
        if weight is not None and weight.shape == data.shape:
            bad |= ~(weight > 0)
        else:
            bad |= data == 0  # outside of a drizzle's footprint
        nothing = np.zeros(data.shape, dtype=bool)
        return Plane(data, bad, nothing, nothing, read_wcs(hdu.header, hdus), extver=1)


def _reference_hdu(hdus: fits.HDUList) -> Any:
    first = [hdu for hdu in hdus if hdu.name == "SCI"]
    for hdu in [*first, *hdus]:
        if not getattr(hdu, "is_image", False) or hdu.data is None or hdu.data.ndim != 2:
            continue
        if read_wcs(hdu.header, hdus).has_celestial:
            return hdu
    return None


def read_wcs(header: fits.Header, hdus: fits.HDUList) -> WCS:
    """The WCS of an extension with its look-up tables; astropy's header repairs are silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header, fobj=hdus)


def wcs_by_extver(path: Path) -> dict[int, WCS]:
    """The WCS of each SCI extension of a file."""
    with fits.open(path, memmap=False) as hdus:
        return {int(hdu.ver): read_wcs(hdu.header, hdus) for hdu in hdus if hdu.name == "SCI"}


def sky_positions(table: Table, wcs_of: dict[int, WCS]) -> NDArray[np.float64]:
    """RA and Dec (ICRS, deg), shape (n, 2), of sources by the WCS of their plane."""
    sky = np.full((len(table), 2), np.nan)
    versions = np.asarray(table["extver"])
    for extver, wcs in wcs_of.items():
        rows = versions == extver
        if rows.any():
            sky[rows] = np.column_stack(
                wcs.all_pix2world(np.asarray(table["x"])[rows], np.asarray(table["y"])[rows], 0)
            )
    return sky
