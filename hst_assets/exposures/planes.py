"""Planes of a chip that are not what they seem: empty ones, and constant ones without data.

Of several chips one may have failed, and hold nothing: the others are used.

An extension whose pixels all have one value may have a header alone, with the size in NPIX1 and
NPIX2 and the value in PIXVALUE (ISR ACS 2002-01, "constant-valued data"). Neither AstroDrizzle nor
TweakReg reads that, so copies that are worked on have it written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput

__all__ = ["chips_with_data", "constant_plane", "is_empty", "plane_shape", "repair_planes"]

#: Largest side that a header without data may announce.
_LARGEST_SIDE_PIX = 8192
#: DQ bit of a bad detector pixel, on every detector: among no detector's good bits.
_BAD_PIXEL = 4
_QUALITY = ("DQ", "SDQ", "SCI")
_KINDS = {"DQ": np.int16, "SDQ": np.int16, "ERR": np.float32}


def plane_shape(hdu: Any) -> tuple[int, ...]:
    """Shape of an image (ny, nx), also of a constant one; () where there is none."""
    if hdu.data is not None:
        return tuple(hdu.data.shape)
    constant = constant_plane(hdu)
    return () if constant is None else constant.shape


def constant_plane(hdu: Any) -> NDArray[Any] | None:
    """The pixels of an extension that has only a header; None where it announces none.

    Parameters
    ----------
    hdu : HDU
        Without data.

    Returns
    -------
    ndarray, shape (NPIX2, NPIX1), or None
        Of 16-bit integers for DQ, of 32-bit floats for ERR.

    Raises
    ------
    UnusableInput
        If size or value make no sense.
    """
    header = hdu.header
    if "NPIX1" not in header and "NPIX2" not in header:
        return None
    label = f"{hdu.name},{hdu.ver}"
    sides = header.get("NPIX2"), header.get("NPIX1")
    if not all(type(side) is int and 0 < side <= _LARGEST_SIDE_PIX for side in sides):
        raise UnusableInput(
            f"{label} has no pixels, and NPIX1 and NPIX2 are {sides[1]}, {sides[0]}"
        )
    value = header.get("PIXVALUE")
    kind = np.dtype(_KINDS.get(hdu.name, np.float32))
    if not _fits(value, kind):
        raise UnusableInput(f"{label} has no pixels, and PIXVALUE is {value!r}")
    return np.full(sides, value, dtype=kind)


def _fits(value: object, kind: np.dtype[Any]) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return False
    limits = np.iinfo(kind) if kind.kind == "i" else np.finfo(kind)
    return bool(limits.min <= value <= limits.max) and (kind.kind == "f" or value == int(value))


def is_empty(hdu: Any) -> bool:
    """Whether an image is zero or not finite everywhere.

    Of a chip with light, only the row in its middle is read.
    """
    shape: tuple[int, ...] = getattr(hdu, "shape", ())
    if len(shape) != 2 or 0 in shape:
        return True
    middle = shape[0] // 2
    pixels = hdu.data if hdu.fileinfo() is None else hdu.section
    return not (_has_value(pixels[middle : middle + 1, :]) or _has_value(pixels[:, :]))


def _has_value(pixels: NDArray[Any]) -> bool:
    return bool(np.any(np.isfinite(pixels) & (pixels != 0)))


def chips_with_data(hdus: Sequence[Any]) -> list[Any]:
    """The SCI extensions that hold anything: one chip of several may have failed.

    Parameters
    ----------
    hdus : sequence of HDU
        Of an open file.

    Returns
    -------
    list of HDU
        All of them where none holds anything, or where there is one only: then the exposure is of
        no use, and whoever reads its pixels says so.
    """
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    if len(science) < 2:
        return science
    return [hdu for hdu in science if not is_empty(hdu)] or science


def repair_planes(hdus: fits.HDUList, quality: fits.HDUList) -> bool:
    """Write out constant planes, and flag all pixels of a chip that holds nothing.

    Parameters
    ----------
    hdus : HDUList
        An exposure; changed.
    quality : HDUList
        What has its DQ planes: the same, or WFPC2's c1m; changed.

    Returns
    -------
    bool
        Whether anything was to be done.

    Raises
    ------
    UnusableInput
        If a header that stands for a plane makes no sense.
    """
    lists = [hdus] if quality is hdus else [hdus, quality]
    # All of them: each is to be repaired.
    written = [_write_out(each) for each in lists]
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    filled = chips_with_data(science)
    names = ("DQ",) if quality is hdus else _QUALITY
    dead = [hdu.ver for hdu in science if hdu not in filled]
    for plane in quality:
        if plane.name in names and plane.ver in dead and plane.data is not None:
            plane.data |= plane.data.dtype.type(_BAD_PIXEL)
    return any(written) or bool(dead)


def _write_out(hdus: fits.HDUList) -> bool:
    changed = False
    for index, hdu in enumerate(hdus):
        if index == 0 or hdu.name not in _KINDS or hdu.header.get("NAXIS") != 0:
            continue
        plane = constant_plane(hdu)
        if plane is not None:
            hdus[index] = _image_like(hdu, plane)
            changed = True
    return changed


def _image_like(hdu: Any, data: NDArray[Any]) -> fits.ImageHDU:
    """An extension with the header of a constant one, and its pixels."""
    header = hdu.header.copy()
    for keyword in ("NPIX1", "NPIX2", "PIXVALUE"):
        header.remove(keyword, ignore_missing=True)
    return fits.ImageHDU(data, header, name=hdu.name, ver=hdu.ver)
