"""Masks of what an image covers, as drizzlepac 3.11's HAP code forms them, in less time.

HAP closes the gaps of a mask, and shrinks it, with structures of hundreds of pixels or in tens of
passes, on whole frames: for ``S_REGION`` of each drizzled image, for its sky cells, and to flag
sources near edges. Diamonds are distances along rows and columns, squares are runs along rows and
then columns: the masks are the same. Only child processes use this, through
`hst_assets.hap.shortcuts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "closed_by_diamond",
    "dilated_by_diamond",
    "edge_mask",
    "eroded_by_diamond",
    "extract_mask",
    "without_holes",
]

Mask = NDArray[np.bool_]

#: ``SkyFootprint.extract_mask`` closes the mask in so many passes.
_CLOSING_PASSES = 11
#: ``hla_flag_filter.make_mask_array`` grows by squares of 25 pixels and shrinks by 31, inside a
#: frame of 13.
_GROWN_BY, _SHRUNK_BY, _FRAME = 25, 31, 13


def dilated_by_diamond(mask: Mask, passes: int) -> Mask:
    """As ``scipy.ndimage.binary_dilation(mask, iterations=passes)``.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask.
    passes : int
        So many pixels along rows and columns it grows.
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=bool)
    if mask.all():
        return np.ones(mask.shape, dtype=bool)
    grown: Mask = ndimage.distance_transform_cdt(~mask, metric="taxicab") <= passes
    return grown


def eroded_by_diamond(mask: Mask, passes: int) -> Mask:
    """As ``scipy.ndimage.binary_erosion(mask, iterations=passes)``: nothing is beyond the edges.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask.
    passes : int
        So many pixels along rows and columns it shrinks.
    """
    framed = np.pad(mask, 1)
    distance = ndimage.distance_transform_cdt(framed, metric="taxicab")
    shrunk: Mask = distance[1:-1, 1:-1] > passes
    return shrunk


def closed_by_diamond(mask: Mask, passes: int) -> Mask:
    """What is left when a mask grows and then shrinks by as many pixels.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask.
    passes : int
        So many pixels.
    """
    return eroded_by_diamond(dilated_by_diamond(mask, passes), passes)


def without_holes(mask: Mask) -> Mask:
    """As ``scipy.ndimage.binary_fill_holes(mask)``.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask. A hole is what cannot be reached from an edge along rows and columns.
    """
    labels, n_labels = ndimage.label(~mask)
    outside = np.zeros(n_labels + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False  # the mask itself
    filled: Mask = ~outside[labels]
    return filled


def extract_mask(footprint: Any, filename: str) -> None:
    """In place of ``cell_utils.SkyFootprint.extract_mask``.

    Parameters
    ----------
    footprint : SkyFootprint
        drizzlepac's object.
    filename : str
        A drizzled image.
    """
    with fits.open(filename) as hdus:
        image = hdus["SCI", 1].data if len(hdus) > 1 else hdus[0].data
        covered = ~np.isnan(image) if np.isnan(image).any() else image != 0
    filled = without_holes(covered)
    footprint.total_mask = filled | closed_by_diamond(filled, _CLOSING_PASSES)
    footprint.members += [filename]
    footprint.find_footprint()
    footprint.find_bounded_wcs()


def edge_mask(drizzled: str) -> NDArray[np.int16]:
    """In place of ``hla_flag_filter.make_mask_array``: 1 near edges and outside, else 0.

    Parameters
    ----------
    drizzled : str
        A drizzled image.
    """
    with fits.open(drizzled) as hdus:
        covered = np.isfinite(hdus[1].data) & (hdus[1].data != 0)
    framed = np.pad(covered, _FRAME).view(np.uint8)
    for lines in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
        size = _GROWN_BY if lines is ndimage.maximum_filter1d else _SHRUNK_BY
        for axis in (0, 1):
            framed = lines(framed, size, axis=axis, mode="constant", cval=0)
    inside = framed[_FRAME:-_FRAME, _FRAME:-_FRAME]
    near: NDArray[np.int16] = (inside == 0).astype(np.int16)
    return near
