"""The cubic B-splines of a PSF at a place: weights and slopes, and the PSF on whole pixels.

Compiled with numba. Who fits stars has loops of its own over splines that are laid out for speed
(`hst_assets.photometry.psf.star_light`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING

__all__ = ["psf_stamp", "spline_slopes", "spline_weights"]

Floats = NDArray[np.float64]


@compiled
def spline_weights(fraction: float, value: Any) -> None:
    """Weights of the four coefficients about a place of a cubic B-spline.

    Parameters
    ----------
    fraction : float
        Of the distance between two knots, from the one before the place.
    value : ndarray, shape (4,)
        Filled.
    """
    u = fraction
    u2 = u * u
    u3 = u2 * u
    value[0] = (1 - 3 * u + 3 * u2 - u3) / 6
    value[1] = (3 * u3 - 6 * u2 + 4) / 6
    value[2] = (-3 * u3 + 3 * u2 + 3 * u + 1) / 6
    value[3] = u3 / 6


@compiled
def spline_slopes(fraction: float, slope: Any) -> None:
    """How `spline_weights` change with the fraction: slope (4,) is filled."""
    u = fraction
    u2 = u * u
    slope[0] = -(1 - 2 * u + u2) / 2
    slope[1] = (9 * u2 - 12 * u) / 6
    slope[2] = (-9 * u2 + 6 * u + 3) / 6
    slope[3] = u2 / 2


@compiled
def psf_stamp(
    coefs_cell: Floats,
    radius_pix: int,
    x: float,
    y: float,
    ix: int,
    iy: int,
    half: int,
    out: Floats,
) -> None:
    """The PSF of a star at x, y on the pixels about ix, iy.

    Parameters
    ----------
    coefs_cell : ndarray, shape (m, m)
        Coefficients of one cell of a `SplinePsf`.
    radius_pix : int
        As of `SplinePsf`: pixels farther from ix or iy are 0.
    x, y : float
        Place of the star.
    ix, iy : int
        The pixel that holds it.
    half : int
        Pixels of the stamp on each side of that.
    out : ndarray, shape (2 half + 1, 2 half + 1) or larger
        Filled.
    """
    n = coefs_cell.shape[0]
    wx, wy = np.empty(4), np.empty(4)
    u = (ix - x) * OVERSAMPLING + (n - 1) // 2
    v = (iy - y) * OVERSAMPLING + (n - 1) // 2
    first_u, first_v = math.floor(u), math.floor(v)
    spline_weights(u - first_u, wx)
    spline_weights(v - first_v, wy)
    for dy in range(-half, half + 1):
        row = first_v - 1 + OVERSAMPLING * dy
        for dx in range(-half, half + 1):
            column = first_u - 1 + OVERSAMPLING * dx
            inside = abs(dx) <= radius_pix and abs(dy) <= radius_pix
            inside = inside and 0 <= row <= n - 4 and 0 <= column <= n - 4
            total = 0.0
            if inside:
                for j in range(4):
                    line = 0.0
                    for i in range(4):
                        line += wx[i] * coefs_cell[row + j, column + i]
                    total += wy[j] * line
            out[dy + half, dx + half] = total
