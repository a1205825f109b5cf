"""How much larger a star's error is because its neighbours and all places are fitted, too.

For each star the normal equations of itself and its nearest neighbours are set up, with a
brightness and a place for each, on all images together; the inverse has the marginal variance of
its brightness. Its ratio to the variance with all else known is the same on all images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.star_light import star_stamp

__all__ = ["error_inflation"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Neighbours that count, the nearest first: those beyond are hardly correlated with the star.
_MOST_NEIGHBOURS = 6
#: How well a place is known before it is fitted, pixels of the reference: stars were found there.
_PLACE_PIX = 1.0


def error_inflation(
    stack: ImageStack,
    weight: Planes,
    x: Floats,
    y: Floats,
    counts_e: Floats,
    *,
    fit_radius_pix: int,
    scale: float,
) -> Floats:
    """Marginal error of each star's brightness over its error with all else known.

    Parameters
    ----------
    stack : ImageStack
        The images.
    weight : ndarray of float32, shape (k, ny, nx)
        One over the variance; 0 of pixels that are not fitted.
    x, y : ndarray, shape (n,)
        Places on the reference.
    counts_e : ndarray, shape (k, n)
        Electrons of each star on each image.
    fit_radius_pix : int
        Pixels within so many of a star are fitted.
    scale : float
        Pixels of the finest image in one of the reference.

    Returns
    -------
    ndarray, shape (n,)
        At least 1.
    """
    n = len(x)
    if n == 0:
        return np.empty(0)
    near, known = _neighbours(x, y, (2 * fit_radius_pix + 1) / scale)
    pairs = near[known]
    owners = np.repeat(np.arange(n), known.sum(axis=1))
    own = np.zeros((n, 3, 3))
    shared = np.zeros((len(pairs), 3, 3))
    optics = stack.optics
    side = 2 * fit_radius_pix + 1
    stamps = np.empty((n, 3, side, side), dtype=np.float32)
    corners = np.empty((n, 2), dtype=np.int64)
    for k in range(len(stack)):
        _all_stamps(
            k, optics.lattice, optics.knots, optics.splines, optics.cells, optics.cell_pix,
            optics.origin, optics.middle, x, y, counts_e[k], fit_radius_pix, stamps, corners,
        )  # fmt: skip
        ny, nx = stack.shapes[k]
        _products(stamps, corners, weight[k], ny, nx, owners, pairs, own, shared)
    starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    return np.asarray(_inflations(own, shared, starts, pairs))


def _neighbours(x: Floats, y: Floats, reach: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The nearest others of each star, and which of them are within reach."""
    places = np.column_stack([x, y])
    n = min(_MOST_NEIGHBOURS + 1, len(x))
    distance, index = KDTree(places).query(places, k=np.arange(1, n + 1))
    known = np.isfinite(distance) & (distance < reach) & (index != np.arange(len(x))[:, None])
    return index.astype(np.int64), known


@compiled
def _all_stamps(
    k: int,
    lattice: Any,
    knots: Any,
    splines: Any,
    cells: Any,
    cell_pix: Any,
    origin: Any,
    middle: int,
    x: Any,
    y: Any,
    counts: Any,
    radius: int,
    stamps: Any,
    corners: Any,
) -> None:
    """PSF and its slopes with the place, times the star's counts, about each star of image k."""
    work = np.empty((4, 4))
    for s in range(x.size):
        flux = max(counts[s], 1e-6)
        star_stamp(
            k,
            lattice,
            knots,
            splines,
            cells,
            cell_pix,
            origin,
            middle,
            x[s],
            y[s],
            radius,
            stamps[s],
            corners[s],
            work,
        )
        for a in range(3):
            for j in range(stamps.shape[2]):
                for i in range(stamps.shape[3]):
                    stamps[s, a, j, i] *= flux


@compiled
def _products(
    stamps: Any,
    corners: Any,
    weight: Any,
    ny: int,
    nx: int,
    owners: Any,
    pairs: Any,
    own: Any,
    shared: Any,
) -> None:
    """Add the sums of weighted products of stamps of one image, of each star and of each pair."""
    side = stamps.shape[2]
    for s in range(stamps.shape[0]):
        _add_products(stamps, corners, weight, ny, nx, s, s, side, own[s])
    for p in range(pairs.size):
        _add_products(stamps, corners, weight, ny, nx, owners[p], pairs[p], side, shared[p])


@compiled
def _add_products(
    stamps: Any, corners: Any, weight: Any, ny: int, nx: int, s: int, t: int, side: int, into: Any
) -> None:
    x0, x1 = corners[s, 0], corners[t, 0]
    y0, y1 = corners[s, 1], corners[t, 1]
    first_x, last_x = max(x0, x1, 0), min(x0 + side, x1 + side, nx)
    first_y, last_y = max(y0, y1, 0), min(y0 + side, y1 + side, ny)
    if last_x <= first_x or last_y <= first_y:
        return
    for a in range(3):
        for b in range(3):
            total = 0.0
            for row in range(first_y, last_y):
                for column in range(first_x, last_x):
                    total += (
                        weight[row, column]
                        * stamps[s, a, row - y0, column - x0]
                        * stamps[t, b, row - y1, column - x1]
                    )
            into[a, b] += total


@compiled
def _inflations(own: Any, shared: Any, starts: Any, pairs: Any) -> Any:
    """Marginal over conditional error of each star's brightness."""
    n = own.shape[0]
    inflation = np.ones(n)
    for s in range(n):
        if own[s, 0, 0] <= 0.0:
            continue
        m = 1 + starts[s + 1] - starts[s]
        members = np.empty(m, dtype=np.int64)
        members[0] = s
        members[1:] = pairs[starts[s] : starts[s + 1]]
        normal = np.zeros((3 * m, 3 * m))
        for g in range(m):
            _set_own(normal, g, own[members[g]])
            for p in range(starts[members[g]], starts[members[g] + 1]):
                _set_shared(normal, g, members, pairs[p], shared[p])
        right = np.zeros(3 * m)
        right[0] = 1.0
        ratio = np.linalg.solve(normal, right)[0] * own[s, 0, 0]
        if ratio > 1.0:
            inflation[s] = math.sqrt(ratio)
    return inflation


@compiled
def _set_own(normal: Any, g: int, products: Any) -> None:
    """A star's own part of the normal equations, with what is known before the fit."""
    for a in range(3):
        for b in range(3):
            normal[3 * g + a, 3 * g + b] = products[a, b]
    normal[3 * g + 1, 3 * g + 1] += 1.0 / _PLACE_PIX**2
    normal[3 * g + 2, 3 * g + 2] += 1.0 / _PLACE_PIX**2
    # A star that is hardly seen could have any brightness: it is no worse than 100 %.
    normal[3 * g, 3 * g] += 1.0 if g > 0 else 0.0
    for a in range(3):
        normal[3 * g + a, 3 * g + a] *= 1.0 + 1e-10


@compiled
def _set_shared(normal: Any, g: int, members: Any, other: int, products: Any) -> None:
    """What a star shares with another, if that is one of the members."""
    for h in range(members.size):
        if members[h] == other:
            for a in range(3):
                for b in range(3):
                    normal[3 * g + a, 3 * h + b] = products[a, b]
                    normal[3 * h + b, 3 * g + a] = products[a, b]
