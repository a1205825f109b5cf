"""The loops over pixels of stars from which an effective PSF is made, compiled with numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled_in_order

__all__ = ["add_normal_equations", "star_models"]

Floats = NDArray[np.float64]


@compiled_in_order
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


@compiled_in_order
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


@compiled_in_order
def add_normal_equations(
    n: int,
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
    n : int
        Coefficients along a side; an odd number, the star at the middle.
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
    vector : ndarray (n n t,)
        Added to.
    """
    n_terms = terms.shape[1]
    middle = (n - 1) // 2
    side = matrix_weights.shape[1]
    n_stars = terms.shape[0]
    # Unknowns of four columns follow each other in a row of the lattice, all terms of each.
    run = 4 * n_terms
    bx, slopes = np.empty(4), np.empty(4)
    by, along = np.empty((n_stars, 4)), np.empty((n_stars, run))
    first = np.empty(n_stars, np.int64)
    for star in range(n_stars):
        u, v = dx[star] * steps + middle, dy[star] * steps + middle
        column, row = int(np.floor(u)), int(np.floor(v))
        first[star] = ((row - 1) * n + column - 1) * n_terms
        _spline(u - column, bx, slopes)
        _spline(v - row, by[star], slopes)
        for q in range(run):
            along[star, q] = bx[q // n_terms] * terms[star, q % n_terms]
    # All stars of a pixel, then the next pixel: the part of the matrix stays in the processor.
    for j in range(side):
        for i in range(side):
            for star in range(n_stars):
                weight = matrix_weights[star, j, i]
                far = abs(dx[star] + i) > reach or abs(dy[star] + j) > reach
                if far or weight <= 0.0:
                    continue
                low = first[star] + (j * n + i) * steps * n_terms
                _add_pixel(
                    matrix, vector, low, n * n_terms, weight, vector_weights[star, j, i],
                    by[star], along[star],
                )  # fmt: skip


@compiled_in_order
def _add_pixel(
    matrix: Floats,
    vector: Floats,
    low: int,
    row_step: int,
    weight: float,
    data: float,
    y_weights: Floats,
    x_weights: Floats,
) -> None:
    """Add one pixel: `low` is its first unknown, `row_step` the unknowns in a row."""
    run = x_weights.size
    for r in range(4):
        for q in range(run):
            vector[low + q] += data * y_weights[r] * x_weights[q]
            line = matrix[low + q]
            value = weight * y_weights[r] * x_weights[q]
            for p in range(q, run):
                line[p - q] += value * y_weights[r] * x_weights[p]
            for s in range(r + 1, 4):
                next_value = value * y_weights[s]
                start = (s - r) * row_step - q
                for p in range(run):
                    line[start + p] += next_value * x_weights[p]
        low += row_step
