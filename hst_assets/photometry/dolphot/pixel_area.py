"""Pixel areas: what turns a flat-fielded pixel's counts into a flux.

Flat fields make a uniform sky uniform, so that a point source's counts are too many where pixels
are small on the sky, by the ratio of areas (Kalirai et al. 2010, ISR WFC3 2010-08). DOLPHOT's
programs multiply by a map of areas, which are files of their own; here they are computed from the
distortion in the header, unless the user names a file.

An area is the determinant of the map from pixels to the tangent plane: the linear terms of the
IDCTAB (OCX10 to OCY11, which neither an alignment nor the velocity aberration has changed; of files
without them, the CD matrix) and the derivatives of the SIP polynomials. Look-up tables (NPOL, D2IM)
are left out, as they are in the maps of STScI.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from hst_assets.exposures.keywords import number
from hst_assets.failures import BadConfiguration, UnusableInput

__all__ = ["has_distortion", "map_of_file", "pixel_areas", "subarray_offset"]

_ARCSEC_PER_DEG = 3600.0
_LINEAR = ("OCX10", "OCX11", "OCY10", "OCY11")


def has_distortion(header: Mapping[str, Any]) -> bool:
    """Whether a header has SIP polynomials."""
    return "A_ORDER" in header and "B_ORDER" in header


def subarray_offset(header: Mapping[str, Any]) -> tuple[int, int]:
    """Columns and rows of the full chip before a subarray's first pixel (LTV1, LTV2).

    Of WFC3/IR the chip has 1014 by 1014 pixels, without those of its border that see no light.
    """
    return round(-number(header, "LTV1", 0.0)), round(-number(header, "LTV2", 0.0))


def pixel_areas(
    header: Mapping[str, Any], shape: tuple[int, int], *, unit_arcsec: float | None = None
) -> NDArray[np.float64]:
    """The area of each pixel of a chip on the sky.

    Parameters
    ----------
    header : mapping
        Of the SCI extension, also of a subarray: its distortion is about its own CRPIX.
    shape : tuple of int
        (ny, nx).
    unit_arcsec : float, optional
        Side of the square that has area 1, arcsec; by default the pixel in the middle has it.

    Returns
    -------
    ndarray (ny, nx)
        Positive. Without SIP polynomials all areas are the same.

    Raises
    ------
    UnusableInput
        If the header has no usable linear terms, or an area is not positive.
    """
    x = np.arange(1.0, shape[1] + 1.0) - number(header, "CRPIX1")
    y = np.arange(1.0, shape[0] + 1.0) - number(header, "CRPIX2")
    relative = _stretch(header, x, y)
    if unit_arcsec is None:
        middle = (shape[1] + 1) / 2 - number(header, "CRPIX1")
        low = (shape[0] + 1) / 2 - number(header, "CRPIX2")
        areas = relative / _stretch(header, np.array([middle]), np.array([low]))[0, 0]
    else:
        areas = relative * (_linear_area(header) / unit_arcsec**2)
    if not (np.isfinite(areas).all() and areas.min() > 0):
        raise UnusableInput("the distortion in the header folds the chip: an area is not positive")
    return np.asarray(areas)


def _linear_area(header: Mapping[str, Any]) -> float:
    """Area of the pixel at CRPIX, square arcsec."""
    if all(key in header for key in _LINEAR):
        a, b, c, d = (number(header, key) for key in _LINEAR)
        return abs(a * d - b * c)
    a, b, c, d = (number(header, key, 0.0) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    area = abs(a * d - b * c) * _ARCSEC_PER_DEG**2
    if not area > 0:
        raise UnusableInput("the header has neither a CD matrix nor linear terms of its distortion")
    return area


def _stretch(
    header: Mapping[str, Any], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Determinant of the SIP map at all pairs of x and y, relative to CRPIX: shape (y, x)."""
    if not has_distortion(header):
        return np.ones((y.size, x.size))
    a, b = _sip(header, "A"), _sip(header, "B")
    ax, ay = _slopes(a, x, y)
    bx, by = _slopes(b, x, y)
    ax += 1.0
    by += 1.0
    ax *= by
    ay *= bx
    ax -= ay
    return ax


def _sip(header: Mapping[str, Any], letter: str) -> NDArray[np.float64]:
    order = int(number(header, f"{letter}_ORDER"))
    if not 0 <= order <= 9:
        raise UnusableInput(f"{letter}_ORDER is {order}: SIP polynomials have orders up to 9")
    terms = np.zeros((order + 1, order + 1))
    for p in range(order + 1):
        for q in range(order + 1 - p):
            terms[p, q] = number(header, f"{letter}_{p}_{q}", 0.0)
    return terms


def _slopes(
    terms: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Derivatives of a polynomial (terms by power of x, of y) with x and with y, shape (y, x)."""
    powers = np.arange(terms.shape[0])
    xs, ys = x[:, None] ** powers, y[:, None] ** powers
    along_x = np.zeros_like(xs)
    along_x[:, 1:] = powers[1:] * xs[:, :-1]
    along_y = np.zeros_like(ys)
    along_y[:, 1:] = powers[1:] * ys[:, :-1]
    return ys @ (along_x @ terms).T, along_y @ (xs @ terms).T


def map_of_file(
    path: Path, shape: tuple[int, int], *, offset: tuple[int, int]
) -> NDArray[np.float64]:
    """The areas of a chip's pixels from a map of the full chip.

    Parameters
    ----------
    path : `~pathlib.Path`
        A FITS file; its first two-dimensional image is the map.
    shape : tuple of int
        (ny, nx) of the chip or subarray.
    offset : tuple of int
        Columns and rows of the map before its first pixel.

    Returns
    -------
    ndarray (ny, nx)
        Cut to the subarray.

    Raises
    ------
    BadConfiguration
        If the file is no such map, or does not cover the chip.
    """
    step = "Name another file in dolphot_inputs.pixel_area_maps, or none"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="File may have been truncated")
            with fits.open(path, memmap=False) as hdus:
                planes = [hdu.data for hdu in hdus if getattr(hdu, "is_image", False)]
    except (OSError, TypeError, ValueError, AstropyUserWarning) as error:
        raise BadConfiguration(
            f"the pixel-area map cannot be read: {error}", where=path, next_step=step
        ) from error
    maps = [np.squeeze(plane) for plane in planes if plane is not None]
    maps = [plane for plane in maps if plane.ndim == 2]
    if not maps:
        raise BadConfiguration("no two-dimensional image in it", where=path, next_step=step)
    x, y = offset
    rows, columns = slice(max(y, 0), y + shape[0]), slice(max(x, 0), x + shape[1])
    cut: NDArray[np.float64] = maps[0][rows, columns].astype(np.float64)
    if min(x, y) < 0 or cut.shape != shape:
        raise BadConfiguration(
            f"the map of {maps[0].shape} pixels does not cover {shape} from {offset[::-1]}",
            where=path,
            next_step=step,
        )
    if not (np.isfinite(cut).all() and cut.min() > 0):
        raise BadConfiguration("an area in it is not positive", where=path, next_step=step)
    return cut
