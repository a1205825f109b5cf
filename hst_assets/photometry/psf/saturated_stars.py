"""Stars whose middle is saturated: where they are, and the light around them that no PSF has.

A star is placed by the shape of its saturated pixels: the middle of the part that is no bleeding
trail, or, where the trail is all there is, the row where the light beside it is brightest. Its
flux is fitted to its wings, on many pixels more than that of other stars. What shines beyond the
radius of the PSF is taken off as sky, by its mean at each distance.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening, label, uniform_filter1d
from scipy.spatial import KDTree

from hst_assets.photometry.psf.image_stack import ImageStack

__all__ = ["fills_saturated", "halo_of", "saturated_seeds", "with_trail_ends"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Seeds of several images so near are one star, pixels of the reference.
_SAME_PIX = 3.0
#: What shines beyond the PSF is followed so far.
_HALO_PIX = 36
_RING_PIX = 2.0
_CLIP = 2.5
#: A star has at least this share of the light of the saturated pixels at its place, or is another
#: beside them.
_AS_BRIGHT = 0.5


def with_trail_ends(saturated: Mask) -> Mask:
    """Saturated pixels and the one above and below them, which has part of what overflows."""
    grown: Mask = binary_dilation(saturated, np.ones((3, 1), dtype=bool))
    return grown


def fills_saturated(peak_e: Any, saturated_e: float) -> Any:
    """Whether stars are so bright that saturated pixels at their places may be theirs: no trail is.

    Parameters
    ----------
    peak_e : float or ndarray
        Electrons of the stars' brightest pixels by their PSFs.
    saturated_e : float
        Electrons of the saturated pixels, their median.
    """
    return peak_e > max(_AS_BRIGHT * saturated_e, 0.0)


def saturated_seeds(stack: ImageStack) -> tuple[Floats, Floats]:
    """Places of saturated stars.

    Parameters
    ----------
    stack : ImageStack
        The images.

    Returns
    -------
    x, y : ndarray, shape (n,)
        On the reference; good to a pixel or two.
    """
    places: list[Floats] = []
    for k in range(len(stack)):
        ny, nx = stack.shapes[k]
        saturated = stack.saturated[k, :ny, :nx]
        if not saturated.any():
            continue
        light = np.where(stack.good[k], stack.data_e[k] - stack.sky_e[k], 0)[:ny, :nx]
        on_image = np.array(_places_of(saturated, light)).reshape(-1, 2)
        places.extend(_on_reference(stack, k, on_image))
    if not places:
        return np.empty(0), np.empty(0)
    x, y = np.array(places).T
    keep = np.ones(len(x), dtype=bool)
    for a, b in sorted(KDTree(np.column_stack([x, y])).query_pairs(_SAME_PIX)):
        if keep[a]:
            keep[b] = False
    return x[keep], y[keep]


def _places_of(saturated: Mask, light: Planes) -> list[tuple[float, float]]:
    """X and Y of the stars of an image by its saturated pixels."""
    cores, n_cores = label(binary_opening(saturated, np.ones((3, 3), dtype=bool)))
    blobs, n_blobs = label(saturated, np.ones((3, 3), dtype=int))
    places, has_core = [], np.zeros(n_blobs + 1, dtype=bool)
    for core, (rows, columns) in _pixels_of(cores, n_cores):
        del core
        has_core[blobs[rows, columns]] = True
        width = np.bincount(rows - rows.min())
        wide = np.isin(rows - rows.min(), np.flatnonzero(width >= 0.7 * width.max()))
        places.append((float(columns[wide].mean()), float(np.median(rows[wide]))))
    for blob, (rows, columns) in _pixels_of(blobs, n_blobs):
        if not has_core[blob]:
            places.append(_of_trail(rows, columns, light))
    return places


def _pixels_of(labels: NDArray[Any], n: int) -> list[tuple[int, tuple[Any, Any]]]:
    """Rows and columns of each of n labels."""
    rows, columns = np.nonzero(labels)
    of = labels[rows, columns]
    order = np.argsort(of, kind="stable")
    edges = np.searchsorted(of[order], np.arange(1, n + 2))
    return [
        (k + 1, (rows[order[a:b]], columns[order[a:b]])) for k, (a, b) in enumerate(pairwise(edges))
    ]


def _of_trail(
    rows: NDArray[np.int64], columns: NDArray[np.int64], light: Planes
) -> tuple[float, float]:
    """The middle of a few pixels; of a trail, the row with the most light on either side."""
    x, y = float(columns.mean()), float(rows.mean())
    if len(np.unique(rows)) < 5:
        return x, y
    beside = np.concatenate([columns.min() - np.arange(1, 4), columns.max() + np.arange(1, 4)])
    beside = beside[(beside >= 0) & (beside < light.shape[1])]
    every = np.arange(rows.min(), rows.max() + 1)
    by_row = uniform_filter1d(light[every][:, beside].sum(axis=1).astype(float), 5)
    return x, float(every[np.argmax(by_row)])


def _on_reference(stack: ImageStack, k: int, places: Floats) -> Floats:
    """Places of an image on the reference: the nearest knot, then Newton's steps by the slopes."""
    knots = stack.optics.knots[k]
    x0, y0, step = stack.optics.lattice
    _, at = KDTree(knots.reshape(-1, 2)).query(places)
    j, i = np.unravel_index(at, knots.shape[:2])
    j, i = np.minimum(j, knots.shape[0] - 2), np.minimum(i, knots.shape[1] - 2)
    along, up = knots[j, i + 1] - knots[j, i], knots[j + 1, i] - knots[j, i]
    apart = places - knots[j, i]
    determinant = along[:, 0] * up[:, 1] - along[:, 1] * up[:, 0]
    u = (apart[:, 0] * up[:, 1] - apart[:, 1] * up[:, 0]) / determinant
    v = (along[:, 0] * apart[:, 1] - along[:, 1] * apart[:, 0]) / determinant
    return np.column_stack([x0 + step * (i + u), y0 + step * (j + v)])


def halo_of(residual: Planes, good: Mask, x: float, y: float, *, first_pix: int) -> tuple[Any, Any]:
    """What shines around a star beyond the square that its PSF fills, alike in all directions.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        What is left of an image.
    good : ndarray of bool, shape (ny, nx)
        Pixels that count.
    x, y : float
        The star's place on it.
    first_pix : int
        Half the side of the square, pixels.

    Returns
    -------
    part : tuple of slice
        Rows and columns about the star; empty off the image.
    light : ndarray of float32
        Electrons of the pixels of the part.
    """
    ny, nx = residual.shape
    reach = first_pix + _HALO_PIX
    part = tuple(
        slice(min(max(round(at) - reach, 0), n), max(min(round(at) + reach + 1, n), 0))
        for at, n in ((y, ny), (x, nx))
    )
    rows, columns = np.ogrid[part]
    distance = np.hypot(columns - x, rows - y)
    ring = np.floor((distance - first_pix) / _RING_PIX).astype(int)
    beyond = np.maximum(abs(columns - round(x)), abs(rows - round(y))) > first_pix
    usable = good[part] & beyond & (distance < reach)
    level = np.zeros(int(_HALO_PIX / _RING_PIX) + 1)
    for at in range(len(level)):
        values = residual[part][usable & (ring == at)]
        if len(values) >= 12:
            level[at] = max(_clipped_mean(values), 0.0)
    # Light falls with the distance: what rises is another's, or noise.
    level = np.minimum.accumulate(level)
    middles = first_pix + _RING_PIX * (np.arange(len(level)) + 0.5)
    light = np.interp(distance, middles, level, right=0.0)
    return part, np.where(beyond, light, 0).astype(np.float32)


def _clipped_mean(values: Planes) -> float:
    ordered = np.sort(values)
    middle = float(np.median(ordered))
    spread = float(middle - ordered[int(0.1587 * len(ordered))])
    near = abs(ordered - middle) <= _CLIP * max(spread, 1e-6)
    return float(ordered[near].mean())
