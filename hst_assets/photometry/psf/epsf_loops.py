"""The loops over pixels of stars from which an effective PSF is made, compiled with numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_normal_equations", "star_models"]

_F = TypeVar("_F", bound=Callable[..., Any])
Floats = NDArray[np.float64]


def _compiled(function: _F) -> _F:
    try:
        return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep the code in
        return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]


@_compiled
def _spline(u: float, weights: Floats, slopes: Floats) -> None:
    """Weights of four cubic B-splines at a share u of the step behind the second, and slopes."""
    v = 1.0 - u
    weights[0] = v * v * v / 6.0
    weights[1] = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
    weights[2] = (3.0 * v * v * v - 6.0 * v * v + 4.0) / 6.0
    weights[3] = u * u * u / 6.0
    slopes[0] = -v * v / 2.0
    slopes[1] = (3.0 * u * u - 4.0 * u) / 2.0
    slopes[2] = (4.0 * v - 3.0 * v * v) / 2.0
    slopes[3] = u * u / 2.0


@_compiled
def star_models(
    coefficients: Floats,
    cells: NDArray[np.int64],
    dx: Floats,
    dy: Floats,
    steps: int,
    reach: float,
    models: Floats,
) -> None:
    """The PSF and its slopes at the pixels of stamps.

    Parameters
    ----------
    coefficients : ndarray (cells_y, cells_x, n, n)
        Of B-splines, the star at the middle.
    cells : ndarray (m, 2)
        Row and column of each star's cell.
    dx, dy : ndarray (m,)
        First pixel minus star.
    steps : int
        Coefficients a pixel.
    reach : float
        Beyond it, in X or in Y, all is 0, pixels.
    models : ndarray (3, m, side, side)
        Set: the PSF, and its derivatives by the star's X and Y.
    """
    middle = (coefficients.shape[2] - 1) // 2
    side = models.shape[2]
    bx, by, sx, sy = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    models[:] = 0.0
    for star in range(cells.shape[0]):
        surface = coefficients[cells[star, 0], cells[star, 1]]
        u, v = dx[star] * steps + middle, dy[star] * steps + middle
        column0, row0 = int(np.floor(u)), int(np.floor(v))
        _spline(u - column0, bx, sx)
        _spline(v - row0, by, sy)
        for j in range(side):
            if abs(dy[star] + j) > reach:
                continue
            row = row0 + j * steps - 1
            for i in range(side):
                if abs(dx[star] + i) > reach:
                    continue
                column = column0 + i * steps - 1
                value, slope_x, slope_y = 0.0, 0.0, 0.0
                for k in range(4):
                    line, line_slope = 0.0, 0.0
                    for q in range(4):
                        c = surface[row + k, column + q]
                        line += bx[q] * c
                        line_slope += sx[q] * c
                    value += by[k] * line
                    slope_x += by[k] * line_slope
                    slope_y += sy[k] * line
                models[0, star, j, i] = value
                models[1, star, j, i] = -slope_x * steps
                models[2, star, j, i] = -slope_y * steps


@_compiled
def add_normal_equations(
    terms: Floats,
    dx: Floats,
    dy: Floats,
    steps: int,
    reach: float,
    matrix_weights: Floats,
    vector_weights: Floats,
    matrix: Floats,
    vector: Floats,
) -> None:
    """Add stars to the normal equations of coefficients.

    Unknowns are ordered by row, column and term. The band below the diagonal is kept: entry
    (p, q), p >= q, of the matrix is ``matrix[q, p - q]``.

    Parameters
    ----------
    terms : ndarray (m, t)
        By which each term counts for a star.
    dx, dy : ndarray (m,)
        First pixel minus star.
    steps : int
        Coefficients a pixel.
    reach : float
        Pixels farther from the star, in X or in Y, are left out.
    matrix_weights, vector_weights : ndarray (m, side, side)
        Of a pixel, in the matrix and on the right side.
    matrix : ndarray (n n t, band)
        Added to.
    vector : ndarray (n, n, t)
        Added to.
    """
    n, n_terms = vector.shape[0], vector.shape[2]
    middle = (n - 1) // 2
    side = matrix_weights.shape[1]
    bx, by, slopes = np.empty(4), np.empty(4), np.empty(4)
    products = np.empty((16, 16))
    for star in range(terms.shape[0]):
        u, v = dx[star] * steps + middle, dy[star] * steps + middle
        column0, row0 = int(np.floor(u)), int(np.floor(v))
        _spline(u - column0, bx, slopes)
        _spline(v - row0, by, slopes)
        for k in range(16):
            for q in range(16):
                products[k, q] = by[k // 4] * bx[k % 4] * by[q // 4] * bx[q % 4]
        for j in range(side):
            if abs(dy[star] + j) > reach:
                continue
            row = row0 + j * steps - 1
            for i in range(side):
                weight = matrix_weights[star, j, i]
                if abs(dx[star] + i) > reach or weight <= 0.0:
                    continue
                column = column0 + i * steps - 1
                data = vector_weights[star, j, i]
                for q in range(16):
                    place = (row + q // 4) * n + column + q % 4
                    for t in range(n_terms):
                        low = place * n_terms + t
                        vector[row + q // 4, column + q % 4, t] += (
                            data * by[q // 4] * bx[q % 4] * terms[star, t]
                        )
                        for s in range(t, n_terms):
                            matrix[low, s - t] += (
                                weight * products[q, q] * terms[star, t] * terms[star, s]
                            )
                        for k in range(q + 1, 16):
                            above = ((row + k // 4) * n + column + k % 4) * n_terms
                            value = weight * products[k, q] * terms[star, t]
                            for s in range(n_terms):
                                matrix[low, above + s - low] += value * terms[star, s]
