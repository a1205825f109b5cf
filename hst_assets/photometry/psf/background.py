"""The sky under the stars: clipped means of what is left of an image when its stars are taken off.

Of the residual, not of the data: an estimate from the data counts faint stars' light as sky where
they crowd (it doubled the bias of faint stars and the spurious ones in a study).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    convolve,
    maximum_filter,
    median_filter,
    spline_filter,
    uniform_filter,
)

from hst_assets.compiling import compiled

__all__ = ["fine_structure", "residual_sky", "without_local_level"]

Planes = NDArray[np.float32]

#: Side of a mesh, pixels.
MESH_PIX = 64
_CLIP = 2.5
#: Standard deviation of a normal distribution over that of what is left within 2.5 sigma.
_OF_CLIPPED = 1.08
_FEWEST = 30
#: Values of a mesh that are put in order for a first guess.
_FEW_IN_ORDER = 101
#: Finer meshes where there is structure, how significant it is there, and the least share of the
#: field that has some.
_FINE_MESHES_PIX, _FINE_SIGMA, _FEWEST_FINE = (32, 16, 8), 4.0, 0.02
_LOCAL_PIX = 21


@compiled
def _clipped(values: Any) -> tuple[float, float]:
    """Clipped mean and standard deviation, from a first guess by some of the values in order."""
    some = np.sort(values[:: max(values.size // _FEW_IN_ORDER, 1)])
    middle = some[some.size // 2]
    sigma = middle - some[int(some.size * 0.1587)]
    for _ in range(8):
        low, high = middle - _CLIP * sigma, middle + _CLIP * sigma
        n, total, squares = 0.0, 0.0, 0.0
        for value in values:
            inside = 1.0 if low <= value <= high else 0.0
            apart = (value - middle) * inside
            n += inside
            total += apart
            squares += apart * apart
        if n < 5:
            break
        mean = middle + total / n
        spread = math.sqrt(max(squares / n - (total / n) ** 2, 0.0)) * _OF_CLIPPED
        done = abs(mean - middle) < 1e-3 * sigma
        middle, sigma = mean, spread
        if done:
            break
    return middle, sigma


@compiled
def _mesh_means(residual: Any, good: Any, every: int, means: Any, errors: Any) -> None:
    """Clipped mean of each mesh and its error; NaN where too few are good.

    Of each row, one of `every` pixels counts.
    """
    ny, nx = residual.shape
    my, mx = means.shape
    values = np.empty((ny // my + 2) * (nx // mx + 2))
    for b in range(my):
        for a in range(mx):
            n = 0
            for j in range(b * ny // my, (b + 1) * ny // my):
                for i in range(a * nx // mx + j % every, (a + 1) * nx // mx, every):
                    if good[j, i]:
                        values[n] = residual[j, i]
                        n += 1
            if n < _FEWEST:
                means[b, a] = np.nan
                errors[b, a] = np.inf
                continue
            middle, sigma = _clipped(values[:n])
            means[b, a] = middle
            errors[b, a] = sigma / np.sqrt(n)


@compiled
def _between_meshes(means: Any, sky: Any) -> None:
    """Interpolate between the middles of meshes; beyond the outer ones it is constant."""
    ny, nx = sky.shape
    my, mx = means.shape
    for j in range(ny):
        v = min(max((j + 0.5) * my / ny - 0.5, 0.0), my - 1.0)
        b = min(int(v), max(my - 2, 0))
        above = min(b + 1, my - 1)
        g = v - b
        for i in range(nx):
            u = min(max((i + 0.5) * mx / nx - 0.5, 0.0), mx - 1.0)
            a = min(int(u), max(mx - 2, 0))
            right = min(a + 1, mx - 1)
            f = u - a
            sky[j, i] = (1 - g) * ((1 - f) * means[b, a] + f * means[b, right]) + g * (
                (1 - f) * means[above, a] + f * means[above, right]
            )


def residual_sky(residual: Planes, good: NDArray[np.bool_], *, mesh_pix: int = MESH_PIX) -> Planes:
    """The sky that is still in a residual image.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Data without sky and stars.
    good : ndarray of bool, shape (ny, nx)
        Pixels that count.
    mesh_pix : int, optional
        Side of a mesh, pixels; between their middles it is interpolated.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        To be added to the sky; 0 where nothing can be said.
    """
    means, _ = _means(residual, good, mesh_pix, every=3)
    if np.isnan(means).all():
        return np.zeros_like(residual)
    means = np.where(np.isnan(means), np.nanmedian(means), means)
    sky = np.empty_like(residual)
    _between_meshes(median_filter(means, 3, mode="nearest"), sky)
    return sky


def _means(residual: Planes, good: NDArray[np.bool_], mesh_pix: int, *, every: int) -> Any:
    ny, nx = residual.shape
    means = np.zeros((max(1, round(ny / mesh_pix)), max(1, round(nx / mesh_pix))))
    errors = np.zeros_like(means)
    _mesh_means(residual, good, every, means, errors)
    return means, errors


def fine_structure(residual: Planes, good: NDArray[np.bool_]) -> Planes | None:
    """Light in a residual image that is finer than the meshes of `residual_sky`: nebulosity.

    Meshes of 32, 16 and 8 pixels are asked one after the other for what significantly differs,
    together with the meshes around, from nothing. Between them it is interpolated by cubics. Light
    as narrow as stars is none of it.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Data without sky and stars.
    good : ndarray of bool, shape (ny, nx)
        Pixels that count.

    Returns
    -------
    ndarray of float32, shape (ny, nx), or None
        To be added to the sky; None if there is nothing.
    """
    found: Planes | None = None
    for mesh_pix in _FINE_MESHES_PIX:
        left = residual if found is None else residual - found
        means, errors = _means(left, good, mesh_pix, every=2 if mesh_pix > 8 else 1)
        if min(means.shape) < 4:
            continue
        known = np.isfinite(means)
        weight = np.where(known, 1 / np.maximum(errors, 1e-6) ** 2, 0)
        kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
        norm = np.maximum(convolve(weight, kernel, mode="nearest"), 1e-12)
        smooth = convolve(np.where(known, means, 0) * weight, kernel, mode="nearest") / norm
        noise = np.sqrt(convolve(weight, kernel**2, mode="nearest")) / norm
        there = maximum_filter(abs(smooth) > _FINE_SIGMA * noise, 3)
        # Some meshes of many are beyond the limit by chance, and by stars not found yet.
        if there.mean() < _FEWEST_FINE:
            if found is None:  # what is finer only are objects
                return None
            continue
        detail = np.where(there, np.where(known, means, smooth), 0)
        more = _cubic(detail, residual.shape)
        found = more if found is None else found + more
    return found


def _cubic(means: NDArray[np.float64], shape: tuple[int, ...]) -> Planes:
    """Values of meshes at all pixels, by cubic splines."""
    ny, nx = shape
    my, mx = means.shape
    coefficients = spline_filter(means, order=3, mode="nearest")
    rows = np.clip((np.arange(ny) + 0.5) * my / ny - 0.5, 0, my - 1)
    columns = np.clip((np.arange(nx) + 0.5) * mx / nx - 0.5, 0, mx - 1)
    # One direction after the other: the spline is a product.
    along = _cubic_weights(rows, my), _cubic_weights(columns, mx)
    values: Planes = (along[0] @ coefficients @ along[1].T).astype(np.float32)
    return values


def _cubic_weights(places: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Cubic B-splines of n knots at places, shape (places, n); beyond the ends the last counts."""
    first = np.minimum(np.floor(places).astype(int), n - 1)
    u = places - first
    shares = np.array(
        [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]
    )
    weights = np.zeros((len(places), n))
    for k in range(4):
        np.add.at(
            weights, (np.arange(len(places)), np.clip(first - 1 + k, 0, n - 1)), shares[k] / 6
        )
    return weights


def without_local_level(residual: Planes, weight: Planes, *, times: int = 2) -> Planes:
    """A residual image without the level about each pixel that is not of a star.

    Peaks of stars must stand out from this level. It is the mean over a square of `_LOCAL_PIX`
    pixels, whose values are clipped to within 3 standard deviations of 0. Of the level, a fifth of
    a pixel's noise is not subtracted: so small a level is not significant.

    Parameters
    ----------
    residual : ndarray of float32, shape (ny, nx)
        Data without sky and stars.
    weight : ndarray of float32, shape (ny, nx)
        One over the variance; 0 of pixels that do not count.
    times : int, optional
        Number of times that the level is measured and subtracted.
    """
    known = weight > 0
    noise = np.where(known, 1 / np.sqrt(np.maximum(weight, 1e-12)), 0).astype(np.float32)
    share = np.maximum(uniform_filter(known.astype(np.float32), _LOCAL_PIX, mode="constant"), 0.05)
    most, limit = 3 * noise, np.float32(0.2) * noise
    left = residual
    for _ in range(times):
        level = uniform_filter(np.clip(left, -most, most), _LOCAL_PIX, mode="constant") / share
        found = np.sign(level) * np.maximum(abs(level) - limit, 0)
        left = left - np.where(known, found, np.float32(0))
    return left
