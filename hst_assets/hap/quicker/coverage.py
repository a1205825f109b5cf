"""Masks of what an image covers, filled, grown, shrunk and smoothed in less time.

``cell_utils.SkyFootprint`` of drizzlepac 3.11 does so to masks of whole images with scipy's general
functions, which look at a structure around each pixel: most of the time that ``S_REGION`` of a
drizzled image takes. Growing and shrinking by pluses is a question of the distance along rows and
columns, holes are regions that touch no edge of the frame, and a smoothed mask differs from the
mask near outlines only. The masks are the same. Only child processes use this, through
`hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from hst_assets.compiling import compiled_in_order

__all__ = ["CoverageMasks", "filled", "grown", "shrunk", "smoothed"]

Mask = NDArray[np.bool_]

#: A byte holds one step more.
_FURTHEST = 254
#: Pixels along the side of a part that is smoothed by itself.
_SIDE = 64
#: ``gaussian_filter`` of scipy ends at so many standard deviations.
_TRUNCATE = 4.0


class CoverageMasks:
    """In place of `scipy.ndimage` in ``drizzlepac.haputils.cell_utils``."""

    label = staticmethod(ndimage.label)
    find_objects = staticmethod(ndimage.find_objects)

    @staticmethod
    def binary_fill_holes(mask: ArrayLike) -> Mask:
        """As `filled`."""
        return filled(np.asarray(mask) != 0)

    @staticmethod
    def binary_dilation(mask: ArrayLike, iterations: int = 1) -> Mask:
        """As `grown`."""
        return grown(np.asarray(mask) != 0, iterations)

    @staticmethod
    def binary_erosion(mask: ArrayLike, iterations: int = 1) -> Mask:
        """As `shrunk`."""
        return shrunk(np.asarray(mask) != 0, iterations)

    @staticmethod
    def gaussian_filter(values: NDArray[Any], sigma: float) -> NDArray[Any]:
        """As `smoothed`, of a mask in numbers."""
        return smoothed(values, sigma)


def filled(mask: Mask) -> Mask:
    """As `scipy.ndimage.binary_fill_holes`, of an image.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask.
    """
    regions, n_regions = ndimage.label(~mask)
    is_hole = np.ones(n_regions + 1, dtype=np.bool_)
    for edge in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        is_hole[edge] = False
    is_hole[0] = True  # the mask itself
    whole: Mask = is_hole[regions]
    return whole


def grown(mask: Mask, n_steps: int) -> Mask:
    """As `scipy.ndimage.binary_dilation` with so many iterations, by a plus of five pixels.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask; nothing is outside.
    n_steps : int
        How far, 1 to 254.

    Raises
    ------
    ValueError
        If it is further: steps are counted in one byte.
    """
    return _within(mask, _counted(n_steps), False)  # noqa: FBT003 - numba's have no keywords only


def shrunk(mask: Mask, n_steps: int) -> Mask:
    """As `scipy.ndimage.binary_erosion` with so many iterations, by a plus of five pixels.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
        The mask; it shrinks from the edges of the frame, too.
    n_steps : int
        How far, 1 to 254.

    Raises
    ------
    ValueError
        If it is further: steps are counted in one byte.
    """
    left: Mask = ~_within(~mask, _counted(n_steps), True)  # noqa: FBT003
    return left


def _counted(n_steps: int) -> int:
    if not 1 <= n_steps <= _FURTHEST:
        raise ValueError(f"steps are counted between 1 and {_FURTHEST}, not {n_steps}")
    return n_steps


@compiled_in_order
def _within(mask: Mask, n_steps: int, outside: bool) -> Mask:  # noqa: FBT001
    """Which pixels are not further from the mask than so many steps along rows and columns."""
    ny, nx = mask.shape
    beyond = n_steps + 1
    edge = 0 if outside else beyond
    steps = np.empty((ny, nx), dtype=np.uint8)  # what passes through memory is what takes time
    row = np.full(nx, edge)
    for y in range(ny):
        beside = edge
        for x in range(nx):
            beside = 0 if mask[y, x] else min(min(beside, row[x]) + 1, beyond)
            row[x] = beside
            steps[y, x] = beside
    row[:] = edge
    near = steps.view(np.bool_)
    for y in range(ny - 1, -1, -1):
        beside = edge
        for x in range(nx - 1, -1, -1):
            beside = min(np.int64(steps[y, x]), min(beside, row[x]) + 1)
            row[x] = beside
            near[y, x] = beside <= n_steps
    return near


def smoothed(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    """As `scipy.ndimage.gaussian_filter`, but that parts that are all 0 or all 1 stay as they are.

    scipy's differ from 1 by what rounding leaves, some 1e-7.

    Parameters
    ----------
    values : ndarray of float, shape (ny, nx)
        A mask in numbers.
    sigma : float
        Pixels.
    """
    reach = int(_TRUNCATE * sigma + 0.5)
    result = values.copy()
    ny, nx = values.shape
    for y in range(0, ny, _SIDE):
        for x in range(0, nx, _SIDE):
            y0, x0 = max(y - reach, 0), max(x - reach, 0)
            around = values[y0 : y + _SIDE + reach, x0 : x + _SIDE + reach]
            first = around[0, 0]
            if first in {0, 1} and (around == first).all():
                continue
            part = ndimage.gaussian_filter(around, sigma=sigma, truncate=_TRUNCATE)
            own = result[y : y + _SIDE, x : x + _SIDE]
            own[...] = part[y - y0 :, x - x0 :][: own.shape[0], : own.shape[1]]
    return result
