"""The loops that fit stars, compiled with numba: one star after the other, on all images at once.

A sweep goes once over the stars (block Gauss-Seidel). Each is fitted with its neighbours taken off:
a flux in each band and one place on the reference, all in one linear step by the PSF's slopes; then
the residual images are brought up to date. Coordinates are 0-based; fluxes are rates (electrons a
second), which an image has for its exposure time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.star_light import (
    add_star,
    cell_of,
    place_on_image,
    psf_and_slopes,
    reach_of,
)

__all__ = ["fit_sweep", "forced_sweep"]


@compiled
def _half_widths(radius: int) -> Any:
    """How many pixels of each row of a stamp, left and right of its middle, are fitted."""
    half = np.empty(2 * radius + 1, dtype=np.int64)
    for j in range(2 * radius + 1):
        half[j] = int(math.sqrt((radius + 0.5) ** 2 - (j - radius) ** 2))
    return half


@compiled
def _beside(ix: int, iy: int, radius: int, ny: int, nx: int) -> bool:
    """Whether no pixel of a stamp is on the image."""
    return ix < -radius or iy < -radius or ix >= nx + radius or iy >= ny + radius


@compiled
def _flux_sums(
    weight: Any, residual: Any, ny: int, nx: int, ix: int, iy: int, half_width: Any, psf: Any
) -> Any:
    """Weighted sums over the pixels of a star: PSF squared, and PSF times residual."""
    side = psf.shape[0]
    r = side // 2
    pp = pd = 0.0
    for j in range(max(0, r - iy), min(side, ny - iy + r)):
        row = iy - r + j
        half = half_width[j]
        for i in range(max(r - half, r - ix), min(r + half + 1, nx - ix + r)):
            p, wp = psf[j, i], weight[row, ix - r + i] * psf[j, i]
            pp += wp * p
            pd += wp * residual[row, ix - r + i]
    return pp, pd


@compiled
def _place_sums(
    weight: Any,
    residual: Any,
    ny: int,
    nx: int,
    ix: int,
    iy: int,
    half_width: Any,
    psf: Any,
    along_x: Any,
    along_y: Any,
) -> Any:
    """Weighted sums of products of PSF p, its slopes gx and gy, and the residual d.

    In this order: pp, pd, p gx, p gy, gx gx, gx gy, gy gy, gx d, gy d.
    """
    side = psf.shape[0]
    r = side // 2
    pp = px = py = pd = gxx = gxy = gyy = gxd = gyd = 0.0
    for j in range(max(0, r - iy), min(side, ny - iy + r)):
        row = iy - r + j
        half = half_width[j]
        for i in range(max(r - half, r - ix), min(r + half + 1, nx - ix + r)):
            column = ix - r + i
            w = weight[row, column]
            d = residual[row, column]
            p, gx, gy = psf[j, i], along_x[j, i], along_y[j, i]
            pp += w * p * p
            pd += w * p * d
            px += w * p * gx
            py += w * p * gy
            gxx += w * gx * gx
            gxy += w * gx * gy
            gyy += w * gy * gy
            gxd += w * gx * d
            gyd += w * gy * d
    return pp, pd, px, py, gxx, gxy, gyy, gxd, gyd


@compiled
def _add_place_sums(sums: Any, at: Any, time: float, counts: float, band: Any, place: Any) -> None:
    """Add an image to a star's normal equations: through the map's slopes to the reference.

    `at` is the star's place on the image and the map's slopes, `band` the sums of its band (flux
    with flux, with x, with y, with the data), `place` those of x x, x y, y y, x data, y data.
    """
    pp, pd, px, py, gxx, gxy, gyy, gxd, gyd = sums
    xx, xy, yx, yy = at[2], at[3], at[4], at[5]
    band[0] += time * time * pp
    band[1] += time * counts * (px * xx + py * yx)
    band[2] += time * counts * (px * xy + py * yy)
    band[3] += time * pd
    c2 = counts * counts
    place[0] += c2 * (gxx * xx * xx + 2 * gxy * xx * yx + gyy * yx * yx)
    place[1] += c2 * (gxx * xx * xy + gxy * (xx * yy + xy * yx) + gyy * yx * yy)
    place[2] += c2 * (gxx * xy * xy + 2 * gxy * xy * yy + gyy * yy * yy)
    place[3] += counts * (gxd * xx + gyd * yx)
    place[4] += counts * (gxd * xy + gyd * yy)


@compiled
def _place_step(bands: Any, place: Any, gain: float, largest_step: float, covariance: Any) -> Any:
    """Step of a star's place with the fluxes of all bands eliminated; its covariance is set."""
    sxx, sxy, syy, bx, by = place
    for b in range(bands.shape[0]):
        ff, fx, fy, fd = bands[b]
        if ff > 0:
            sxx -= fx * fx / ff
            sxy -= fx * fy / ff
            syy -= fy * fy / ff
            bx -= fx * fd / ff
            by -= fy * fd / ff
    determinant = sxx * syy - sxy * sxy
    if not (sxx > 0 and syy > 0 and determinant > 1e-9 * sxx * syy):
        covariance[0] = covariance[1] = np.inf
        covariance[2] = 0.0
        return 0.0, 0.0
    covariance[0] = syy / determinant
    covariance[1] = sxx / determinant
    covariance[2] = -sxy / determinant
    dx = gain * (syy * bx - sxy * by) / determinant
    dy = gain * (sxx * by - sxy * bx) / determinant
    longest = max(abs(dx), abs(dy))
    if longest > largest_step:
        dx *= largest_step / longest
        dy *= largest_step / longest
    return dx, dy


@compiled
def _flux_steps(bands: Any, dx: float, dy: float, steps: Any, variance: Any) -> float:
    """Step of each band's flux when the place has moved; the largest in standard errors."""
    largest = 0.0
    for b in range(bands.shape[0]):
        ff, fx, fy, fd = bands[b]
        if ff > 0:
            steps[b] = (fd - fx * dx - fy * dy) / ff
            variance[b] = 1.0 / ff
            largest = max(largest, abs(steps[b]) * math.sqrt(ff))
        else:
            steps[b] = 0.0
            variance[b] = np.inf
    return largest


@compiled
def _move_star(
    residual: Any,
    ny: int,
    nx: int,
    splines: Any,
    cells: Any,
    cell_pix: Any,
    origin: Any,
    k: int,
    cell: int,
    middle: int,
    at: Any,
    dx: float,
    dy: float,
    old: float,
    new: float,
    r: int,
    work: Any,
) -> None:
    """Put a star's old light back to the residual of image k, and take its new light off.

    `cell` is that of the PSF at its old place, negative of a star that is off the image.
    """
    if cell < 0:
        return
    xk, yk = at[0], at[1]
    if dx == 0.0 and dy == 0.0:
        add_star(residual, ny, nx, splines[cell], middle, xk, yk, old - new, r, work)
        return
    add_star(residual, ny, nx, splines[cell], middle, xk, yk, old, r, work)
    xn = xk + at[2] * dx + at[3] * dy
    yn = yk + at[4] * dx + at[5] * dy
    moved_to = splines[cell_of(cells, cell_pix, origin, k, xn, yn)]
    add_star(residual, ny, nx, moved_to, middle, xn, yn, -new, r, work)


@compiled
def fit_sweep(
    residual: Any,
    weight: Any,
    shapes: Any,
    exptime: Any,
    band_of: Any,
    lattice: Any,
    knots: Any,
    splines: Any,
    cells: Any,
    cell_pix: Any,
    origin: Any,
    middle: int,
    profiles: Any,
    x: Any,
    y: Any,
    rate: Any,
    rate_variance: Any,
    place_covariance: Any,
    change: Any,
    order: Any,
    used: Any,
    fit_radius: int,
    faintest: Any,
    largest_step: float,
    gain: float,
) -> None:
    """Fit stars one after the other, in place.

    Parameters
    ----------
    residual : ndarray of float32, shape (k, ny, nx)
        Data without sky and all stars; brought up to date.
    weight : ndarray of float32, shape (k, ny, nx)
        One over the variance; 0 where a pixel is not fitted.
    shapes, exptime, band_of, lattice, knots, splines, cells, cell_pix, origin, middle, profiles
        See `hst_assets.photometry.psf.image_stack`.
    x, y : ndarray, shape (n,)
        Places on the reference; changed.
    rate, rate_variance : ndarray, shape (bands, n)
        Electrons a second; changed. The variance has the neighbours fixed and the place free.
    place_covariance : ndarray, shape (n, 3)
        Variances of x, of y and their covariance; changed unless places are held.
    change : ndarray, shape (n,)
        Largest change of this sweep in standard errors; changed.
    order : ndarray of int
        Indices of the stars to fit, in this order.
    used : ndarray of bool, shape (k, n)
        Which images decide of a star.
    fit_radius : int
        Pixels within so many of a star are fitted.
    faintest : ndarray, shape (k,)
        Light of a pixel that need not be taken off, electrons.
    largest_step : float
        Pixels of the reference that a star moves at most.
    gain : float
        Share of a place's computed step that is taken; 0: places are held.
    """
    n_images, n_bands = residual.shape[0], rate.shape[0]
    side = 2 * fit_radius + 1
    psf = np.empty((side, side), dtype=np.float32)
    along_x, along_y = np.empty_like(psf), np.empty_like(psf)
    work, at = np.empty((4, 4)), np.empty((n_images, 6))
    known = np.empty(n_images, dtype=np.int64)
    bands, place, steps = np.empty((n_bands, 4)), np.empty(5), np.empty(n_bands)
    half_width = _half_widths(fit_radius)
    for s in order:
        bands[:] = 0.0
        place[:] = 0.0
        for k in range(n_images):
            at[k] = place_on_image(lattice, knots, k, x[s], y[s])
            xk, yk = at[k, 0], at[k, 1]
            ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
            ny, nx = shapes[k, 0], shapes[k, 1]
            if _beside(ix, iy, fit_radius, ny, nx):
                known[k] = -1
                continue
            known[k] = cell_of(cells, cell_pix, origin, k, xk, yk)
            if not used[k, s]:
                continue
            psf_and_slopes(
                splines[known[k]], middle, xk, yk, ix, iy, fit_radius, psf, along_x, along_y, work
            )
            b, t = band_of[k], exptime[k]
            if gain > 0:
                sums = _place_sums(
                    weight[k], residual[k], ny, nx, ix, iy, half_width, psf, along_x, along_y
                )
                _add_place_sums(sums, at[k], t, rate[b, s] * t, bands[b], place)
            else:
                pp, pd = _flux_sums(weight[k], residual[k], ny, nx, ix, iy, half_width, psf)
                bands[b, 0] += t * t * pp
                bands[b, 3] += t * pd
        dx = dy = 0.0
        if gain > 0:
            dx, dy = _place_step(bands, place, gain, largest_step, place_covariance[s])
        change[s] = _flux_steps(bands, dx, dy, steps, rate_variance[:, s])
        if dx != 0.0 or dy != 0.0:
            variance = place_covariance[s]
            change[s] = max(change[s], math.sqrt(dx * dx / variance[0] + dy * dy / variance[1]))
        for k in range(n_images):
            b, t = band_of[k], exptime[k]
            old, new = rate[b, s] * t, (rate[b, s] + steps[b]) * t
            r = reach_of(profiles[k], max(abs(old), abs(new)), faintest[k], fit_radius + 1)
            _move_star(
                residual[k], shapes[k, 0], shapes[k, 1], splines, cells, cell_pix, origin, k,
                known[k], middle, at[k], dx, dy, old, new, r, work,
            )  # fmt: skip
        for b in range(n_bands):
            rate[b, s] += steps[b]
        x[s] += dx
        y[s] += dy


@compiled
def forced_sweep(
    residual: Any,
    weight: Any,
    k: int,
    shapes: Any,
    splines: Any,
    cells: Any,
    cell_pix: Any,
    origin: Any,
    middle: int,
    profiles: Any,
    xs: Any,
    ys: Any,
    counts: Any,
    variance: Any,
    order: Any,
    fit_radius: int,
    faintest: float,
) -> float:
    """Fit fluxes on one image, with all places fixed; the largest change in standard errors."""
    psf = np.empty((2 * fit_radius + 1, 2 * fit_radius + 1), dtype=np.float32)
    along_x, along_y = np.empty_like(psf), np.empty_like(psf)
    work, half_width = np.empty((4, 4)), _half_widths(fit_radius)
    ny, nx = shapes[k, 0], shapes[k, 1]
    largest = 0.0
    for s in order:
        xk, yk = xs[s], ys[s]
        ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
        variance[s] = np.inf
        if _beside(ix, iy, fit_radius, ny, nx):
            continue
        cell = cell_of(cells, cell_pix, origin, k, xk, yk)
        psf_and_slopes(
            splines[cell], middle, xk, yk, ix, iy, fit_radius, psf, along_x, along_y, work
        )
        pp, pd = _flux_sums(weight, residual, ny, nx, ix, iy, half_width, psf)
        if pp <= 0:
            continue
        variance[s] = 1.0 / pp
        step = pd / pp
        r = reach_of(
            profiles[k], max(abs(counts[s]), abs(counts[s] + step)), faintest, fit_radius + 1
        )
        add_star(residual, ny, nx, splines[cell], middle, xk, yk, -step, r, work)
        counts[s] += step
        largest = max(largest, abs(step) * math.sqrt(pp))
    return largest
