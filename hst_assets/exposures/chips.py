"""What the header of one chip of an exposure says: its WCS, its outline, its zero point.

Pixel coordinates count from 0 at the centre of the first pixel. Zero points give the magnitude of
a source of one BUNIT a second: electrons for ACS and WFC3, DN for WFPC2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from hst_assets.detectors import Detector
from hst_assets.exposures import footprint
from hst_assets.exposures.keywords import number, text
from hst_assets.exposures.limits import refuse_unbounded_wcs
from hst_assets.exposures.photometry import (
    Photometry,
    ab_zero_point,
    photometry_of,
    st_zero_point,
)
from hst_assets.exposures.quadrants import columns_behind
from hst_assets.failures import UnusableInput
from hst_assets.sky_geometry import pixel_scale_arcsec, separation_deg

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Chip", "read_chip"]

_CHIP_KEYWORD = {"ACS": "CCDCHIP", "WFC3": "CCDCHIP", "WFPC2": "DETECTOR"}
#: A WCS whose pixels differ from the detector's by more than this factor is not believed.
#: (WFPC2's registry scale is that of the wide-field chips; the PC's is 0.46 of it.)
_SCALE_FACTOR = 3.0
_SMALLEST_SIDE_PIX = 8


@dataclass(frozen=True)
class Chip:
    """One SCI extension of an exposure.

    Attributes
    ----------
    extver : int
        EXTVER of the extension.
    number : int
        CCDCHIP, or DETECTOR of WFPC2 (1 is the PC); 1 where the detector has one chip.
    shape : tuple of int
        (ny, nx).
    polygon : ndarray, shape (n, 2)
        RA and Dec in degrees of its outline, distortion included.
    passband_polygon : ndarray, shape (n, 2), or None
        Outline of the part that lies behind the exposure's own filter: all of it, but for quad
        filters; None where no part does.
    pa_deg : float
        Position angle of its y axis, degrees East of North.
    wcsname : str
        Name of the WCS solution; empty where none is named.
    photometry : Photometry
        Its inverse sensitivity and pivot wavelength, and whether they are those of its filter.
    """

    extver: int
    number: int
    shape: tuple[int, int]
    polygon: footprint.Array
    passband_polygon: footprint.Array | None
    pa_deg: float
    wcsname: str
    photometry: Photometry

    @property
    def zp_ab(self) -> float:
        """AB zero point; NaN where the header has none, or that of another filter."""
        return ab_zero_point(self.photometry.flam, self.photometry.plam)

    @property
    def zp_st(self) -> float:
        """ST zero point; NaN where the header has none, or that of another filter."""
        return st_zero_point(self.photometry.flam)


def read_chip(hdu: Any, hdus: fits.HDUList, primary: Mapping[str, Any], detector: Detector) -> Chip:
    """Read one chip of an exposure that is open.

    Parameters
    ----------
    hdu : ImageHDU
        Its SCI extension.
    hdus : HDUList
        The whole file, for the lookup tables of its distortion.
    primary : mapping
        The primary header.
    detector : Detector
        Of the exposure.

    Raises
    ------
    UnusableInput
        If it is no image of a chip of this detector, or its WCS cannot be used or not be true.
    """
    header = hdu.header
    label = f"SCI,{hdu.ver}"
    shape = _chip_shape(header, detector, label)
    wcs = _wcs(header, hdus, label)

    def pixel_to_sky(x: footprint.Array, y: footprint.Array) -> tuple[Any, Any]:
        ra, dec = wcs.all_pix2world(x, y, 0)
        return ra, dec

    _check_scale(wcs, detector, label)
    polygon = footprint.chip_polygon(pixel_to_sky, shape)
    _check_extent(polygon, shape, detector, label)
    chip = header.get(_CHIP_KEYWORD[detector.instrument], 1)
    first, end = columns_behind(primary, header, shape[1])
    return Chip(
        extver=int(hdu.ver),
        number=chip if isinstance(chip, int) and 1 <= chip <= detector.n_chips else 1,
        shape=shape,
        polygon=polygon,
        passband_polygon=(
            footprint.chip_polygon(lambda x, y: pixel_to_sky(x + first, y), (shape[0], end - first))
            if end > first
            else None
        ),
        pa_deg=footprint.position_angle_deg(pixel_to_sky, shape),
        wcsname=text(header, "WCSNAME", ""),
        photometry=photometry_of(header, primary, detector),
    )


def _chip_shape(header: Mapping[str, Any], detector: Detector, label: str) -> tuple[int, int]:
    if header.get("NAXIS") != 2:
        raise UnusableInput(f"{label} holds no image (NAXIS is {header.get('NAXIS')})")
    shape = int(header["NAXIS2"]), int(header["NAXIS1"])
    limit = detector.full_shape
    if min(shape) < _SMALLEST_SIDE_PIX or shape[0] > limit[0] or shape[1] > limit[1]:
        raise UnusableInput(
            f"{label} has {shape[1]} x {shape[0]} pixels; a chip of {detector.instrument}/"
            f"{detector.detector} has at most {limit[1]} x {limit[0]}"
        )
    binning = header.get("BINAXIS1", 1), header.get("BINAXIS2", 1)
    if any(isinstance(factor, int) and factor > 1 for factor in binning):
        raise UnusableInput(f"binned on board ({binning[0]} x {binning[1]}) is not supported")
    return shape


def _wcs(header: fits.Header, hdus: fits.HDUList, label: str) -> WCS:
    """The full WCS of a chip: SIP, NPOL and D2IM where the file carries them."""
    from astropy.wcs import WCS
    from astropy.wcs.wcs import FITSFixedWarning

    try:
        for keyword in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
            number(header, keyword)
        refuse_unbounded_wcs(header)
    except UnusableInput as error:
        raise UnusableInput(f"{label}: {error.what}") from error
    if abs(header["CRVAL1"]) > 360.0 or abs(header["CRVAL2"]) > 90.0:
        raise UnusableInput(
            f"{label}: its WCS is not on the sky: CRVAL is {header['CRVAL1']}, {header['CRVAL2']}"
        )
    if not str(header.get("CTYPE1", "")).startswith("RA---"):
        raise UnusableInput(f"{label}: keyword CTYPE1 is {header.get('CTYPE1')!r}, not a sky WCS")
    if "CD1_1" not in header and "PC1_1" not in header and "CDELT1" not in header:
        raise UnusableInput(f"{label}: keyword CD1_1 is missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header, fobj=hdus)
    except (ValueError, TypeError, KeyError, IndexError, AssertionError, MemoryError) as error:
        # WcsError derives from ValueError; the others, MemoryError included, come from lookup
        # tables that are not there or are described wrongly.
        raise UnusableInput(f"{label}: its WCS cannot be used: {error}") from error
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise UnusableInput(f"{label}: its WCS is not one of the sky")
    return wcs


def _check_scale(wcs: WCS, detector: Detector, label: str) -> None:
    scale_arcsec = pixel_scale_arcsec(wcs)
    ratio = scale_arcsec / detector.pixel_scale_arcsec
    if not 1.0 / _SCALE_FACTOR < ratio < _SCALE_FACTOR:
        raise UnusableInput(
            f"{label}: its WCS has pixels of {scale_arcsec:.4g} arcsec; those of "
            f"{detector.instrument}/{detector.detector} are {detector.pixel_scale_arcsec} arcsec"
        )


def _check_extent(
    polygon: footprint.Array, shape: tuple[int, int], detector: Detector, label: str
) -> None:
    """A reference pixel or a distortion from nowhere leaves the scale as it is, not the outline."""
    extent_arcsec = 3600.0 * float(separation_deg(polygon, polygon[0]).max())
    nominal_arcsec = math.hypot(*shape) * detector.pixel_scale_arcsec
    if not 1.0 / _SCALE_FACTOR < extent_arcsec / nominal_arcsec < _SCALE_FACTOR:
        raise UnusableInput(
            f"{label}: its WCS makes the chip {extent_arcsec:.4g} arcsec large; "
            f"{shape[1]} x {shape[0]} pixels of {detector.instrument}/{detector.detector} are "
            f"{nominal_arcsec:.4g} arcsec from corner to corner"
        )
