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

from hst_assets.photometry.psf.compiling import compiled

__all__ = ["add_stars", "fit_sweep", "forced_sweep", "places_on_images", "star_stamp"]


@compiled
def _place(lattice: Any, knots: Any, k: int, x: float, y: float) -> Any:
    """Where a star is on image k, and the slopes of that: xk, yk, dxk/dx, dxk/dy, dyk/dx, dyk/dy."""
    step = lattice[2]
    u, v = (x - lattice[0]) / step, (y - lattice[1]) / step
    i = min(max(math.floor(u), 0), knots.shape[2] - 2)
    j = min(max(math.floor(v), 0), knots.shape[1] - 2)
    u -= i
    v -= j
    ax, bx = knots[k, j, i, 0], knots[k, j, i + 1, 0]
    cx, dx = knots[k, j + 1, i, 0], knots[k, j + 1, i + 1, 0]
    ay, by = knots[k, j, i, 1], knots[k, j, i + 1, 1]
    cy, dy = knots[k, j + 1, i, 1], knots[k, j + 1, i + 1, 1]
    xk = (1 - v) * ((1 - u) * ax + u * bx) + v * ((1 - u) * cx + u * dx)
    yk = (1 - v) * ((1 - u) * ay + u * by) + v * ((1 - u) * cy + u * dy)
    xx = ((1 - v) * (bx - ax) + v * (dx - cx)) / step
    xy = ((1 - u) * (cx - ax) + u * (dx - bx)) / step
    yx = ((1 - v) * (by - ay) + v * (dy - cy)) / step
    yy = ((1 - u) * (cy - ay) + u * (dy - by)) / step
    return xk, yk, xx, xy, yx, yy


@compiled
def _weights(fraction: float, value: Any, slope: Any) -> None:
    """Cubic B-splines at a fraction of a knot's distance, and their slopes."""
    u = fraction
    u2 = u * u
    u3 = u2 * u
    value[0] = (1 - 3 * u + 3 * u2 - u3) / 6
    value[1] = (3 * u3 - 6 * u2 + 4) / 6
    value[2] = (-3 * u3 + 3 * u2 + 3 * u + 1) / 6
    value[3] = u3 / 6
    slope[0] = -(1 - 2 * u + u2) / 2
    slope[1] = (9 * u2 - 12 * u) / 6
    slope[2] = (-9 * u2 + 6 * u + 3) / 6
    slope[3] = u2 / 2


@compiled
def _cell(cells: Any, cell_pix: Any, origin: Any, k: int, xk: float, yk: float) -> int:
    """The cell of image k's PSF that holds a place."""
    i = min(max(int((xk + origin[k, 0]) / cell_pix[k, 0]), 0), cells[k, 2] - 1)
    j = min(max(int((yk + origin[k, 1]) / cell_pix[k, 1]), 0), cells[k, 1] - 1)
    return int(cells[k, 0] + j * cells[k, 2] + i)


@compiled
def _psf_and_slopes(
    spline: Any,
    middle: int,
    xk: float,
    yk: float,
    ix: int,
    iy: int,
    r: int,
    psf: Any,
    along_x: Any,
    along_y: Any,
    work: Any,
) -> None:
    """PSF of a star at (xk, yk) and its slopes with that place, at pixels ix ± r, iy ± r."""
    bx, dbx, by, dby = work[0], work[1], work[2], work[3]
    u = (ix - r - xk) * 4 + middle
    v = (iy - r - yk) * 4 + middle
    iu, iv = math.floor(u), math.floor(v)
    _weights(u - iu, bx, dbx)
    _weights(v - iv, by, dby)
    n = 2 * r + 1
    b0, b1, b2, b3 = np.float32(bx[0]), np.float32(bx[1]), np.float32(bx[2]), np.float32(bx[3])
    d0, d1, d2, d3 = np.float32(dbx[0]), np.float32(dbx[1]), np.float32(dbx[2]), np.float32(dbx[3])
    c0, c1, c2, c3 = iu - 1, iu, iu + 1, iu + 2
    for j in range(n):
        for i in range(n):
            psf[j, i] = 0.0
            along_x[j, i] = 0.0
            along_y[j, i] = 0.0
        for k in range(4):
            row = iv - 1 + k
            part, line = row & 3, (row >> 2) + j
            s0 = spline[part, c0 & 3, line, c0 >> 2 :]
            s1 = spline[part, c1 & 3, line, c1 >> 2 :]
            s2 = spline[part, c2 & 3, line, c2 >> 2 :]
            s3 = spline[part, c3 & 3, line, c3 >> 2 :]
            w, dw = np.float32(by[k]), np.float32(-4.0 * dby[k])
            wx = np.float32(-4.0 * by[k])
            for i in range(n):
                a = s0[i] * b0 + s1[i] * b1 + s2[i] * b2 + s3[i] * b3
                d = s0[i] * d0 + s1[i] * d1 + s2[i] * d2 + s3[i] * d3
                psf[j, i] += w * a
                along_y[j, i] += dw * a
                along_x[j, i] += wx * d


@compiled
def star_stamp(
    k: int,
    lattice: Any,
    knots: Any,
    splines: Any,
    cells: Any,
    cell_pix: Any,
    origin: Any,
    middle: int,
    x: float,
    y: float,
    radius: int,
    stamp: Any,
    corner: Any,
    work: Any,
) -> None:
    """PSF of a star on image k, and its slopes with the place on the reference: stamp (3, …).

    `corner` gets X and Y of the stamp's first pixel.
    """
    xk, yk, xx, xy, yx, yy = _place(lattice, knots, k, x, y)
    ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
    corner[0], corner[1] = ix - radius, iy - radius
    spline = splines[_cell(cells, cell_pix, origin, k, xk, yk)]
    _psf_and_slopes(spline, middle, xk, yk, ix, iy, radius, stamp[0], stamp[1], stamp[2], work)
    for j in range(2 * radius + 1):
        for i in range(2 * radius + 1):
            gx, gy = stamp[1, j, i], stamp[2, j, i]
            stamp[1, j, i] = gx * xx + gy * yx
            stamp[2, j, i] = gx * xy + gy * yy


@compiled
def _add_star(
    image: Any,
    ny: int,
    nx: int,
    spline: Any,
    middle: int,
    xk: float,
    yk: float,
    flux: float,
    r: int,
    work: Any,
) -> None:
    """Add a star's light to an image, within r pixels."""
    bx, dbx, by, dby = work[0], work[1], work[2], work[3]
    ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
    u = (ix - r - xk) * 4 + middle
    v = (iy - r - yk) * 4 + middle
    iu, iv = math.floor(u), math.floor(v)
    _weights(u - iu, bx, dbx)
    _weights(v - iv, by, dby)
    b0, b1, b2, b3 = np.float32(bx[0]), np.float32(bx[1]), np.float32(bx[2]), np.float32(bx[3])
    c0, c1, c2, c3 = iu - 1, iu, iu + 1, iu + 2
    first, last = max(0, r - ix), min(2 * r + 1, nx - ix + r)
    if last <= first:
        return
    n = last - first
    for j in range(max(0, r - iy), min(2 * r + 1, ny - iy + r)):
        target = image[iy - r + j, ix - r + first :]
        for k in range(4):
            row = iv - 1 + k
            part, line = row & 3, (row >> 2) + j
            s0 = spline[part, c0 & 3, line, (c0 >> 2) + first :]
            s1 = spline[part, c1 & 3, line, (c1 >> 2) + first :]
            s2 = spline[part, c2 & 3, line, (c2 >> 2) + first :]
            s3 = spline[part, c3 & 3, line, (c3 >> 2) + first :]
            w = np.float32(flux * by[k])
            for i in range(n):
                target[i] += w * (s0[i] * b0 + s1[i] * b1 + s2[i] * b2 + s3[i] * b3)


@compiled
def _reach(profile: Any, counts: float, faintest: float, smallest: int) -> int:
    """Radius to which a star's light is taken off: beyond it a pixel has less than `faintest`."""
    limit = faintest / max(counts, 1e-9)
    for radius in range(smallest, profile.size):
        if profile[radius] < limit:
            return radius
    return int(profile.size - 1)


@compiled
def add_stars(
    images: Any,
    shapes: Any,
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
    counts: Any,
    faintest: Any,
    smallest: int,
) -> None:
    """Add stars to images: counts (k, n) electrons on each image, negative to take them off."""
    work = np.empty((4, 4))
    for k in range(images.shape[0]):
        ny, nx = shapes[k, 0], shapes[k, 1]
        for s in range(x.size):
            flux = counts[k, s]
            if flux == 0.0:
                continue
            xk, yk, _, _, _, _ = _place(lattice, knots, k, x[s], y[s])
            r = _reach(profiles[k], abs(flux), faintest[k], smallest)
            if xk < -r or yk < -r or xk >= nx + r or yk >= ny + r:
                continue
            spline = splines[_cell(cells, cell_pix, origin, k, xk, yk)]
            _add_star(images[k], ny, nx, spline, middle, xk, yk, flux, r, work)


@compiled
def places_on_images(lattice: Any, knots: Any, x: Any, y: Any) -> Any:
    """X and Y of stars on each image, two arrays of shape (k, n)."""
    k = knots.shape[0]
    xs, ys = np.empty((k, x.size)), np.empty((k, x.size))
    for at in range(k):
        for s in range(x.size):
            xs[at, s], ys[at, s], _, _, _, _ = _place(lattice, knots, at, x[s], y[s])
    return xs, ys


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
    move: bool,  # noqa: FBT001 - compiled code has no keywords
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
    shapes, exptime, band_of, lattice, … profiles
        See `hst_assets.photometry.psf.image_stack`.
    x, y : ndarray, shape (n,)
        Places on the reference; changed.
    rate, rate_variance : ndarray, shape (bands, n)
        Electrons a second; changed. The variance has the neighbours fixed and the place free.
    place_covariance : ndarray, shape (n, 3)
        Variances of x, of y and their covariance; changed where the place is fitted.
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
    move : bool
        Whether the place is fitted, too.
    largest_step : float
        Pixels of the reference that a star moves at most.
    gain : float
        Share of the computed step that is taken.
    """
    n_images, n_bands = residual.shape[0], rate.shape[0]
    side = 2 * fit_radius + 1
    psfs = np.empty((n_images, side, side), dtype=np.float32)
    slopes_x = np.empty((n_images, side, side), dtype=np.float32)
    slopes_y = np.empty((n_images, side, side), dtype=np.float32)
    work = np.empty((4, 4))
    at = np.empty((n_images, 6))
    known = np.empty(n_images, dtype=np.int64)
    ff, fx, fy, bf = np.empty(n_bands), np.empty(n_bands), np.empty(n_bands), np.empty(n_bands)
    steps = np.empty(n_bands)
    half_width = np.empty(side, dtype=np.int64)
    for j in range(side):
        half_width[j] = int(math.sqrt((fit_radius + 0.5) ** 2 - (j - fit_radius) ** 2))
    for s in order:
        ff[:] = 0.0
        fx[:] = 0.0
        fy[:] = 0.0
        bf[:] = 0.0
        sxx = sxy = syy = bx = by = 0.0
        for k in range(n_images):
            known[k] = -1
            ny, nx = shapes[k, 0], shapes[k, 1]
            xk, yk, xx, xy, yx, yy = _place(lattice, knots, k, x[s], y[s])
            at[k, 0], at[k, 1] = xk, yk
            at[k, 2], at[k, 3], at[k, 4], at[k, 5] = xx, xy, yx, yy
            ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
            if (
                ix < -fit_radius
                or iy < -fit_radius
                or ix >= nx + fit_radius
                or iy >= ny + fit_radius
            ):
                continue
            cell = _cell(cells, cell_pix, origin, k, xk, yk)
            known[k] = cell
            if not used[k, s]:
                continue
            psf, along_x, along_y = psfs[k], slopes_x[k], slopes_y[k]
            _psf_and_slopes(
                splines[cell], middle, xk, yk, ix, iy, fit_radius, psf, along_x, along_y, work
            )
            b, t = band_of[k], exptime[k]
            counts = rate[b, s] * t
            pp = px = py = pd = gxx = gxy = gyy = gxd = gyd = 0.0
            for j in range(side):
                row = iy - fit_radius + j
                if row < 0 or row >= ny:
                    continue
                half = half_width[j]
                first = max(fit_radius - half, fit_radius - ix)
                last = min(fit_radius + half + 1, nx - ix + fit_radius)
                for i in range(first, last):
                    column = ix - fit_radius + i
                    w = weight[k, row, column]
                    d = residual[k, row, column]
                    p, gx, gy = psf[j, i], along_x[j, i], along_y[j, i]
                    pp += w * p * p
                    pd += w * p * d
                    if move:
                        px += w * p * gx
                        py += w * p * gy
                        gxx += w * gx * gx
                        gxy += w * gx * gy
                        gyy += w * gy * gy
                        gxd += w * gx * d
                        gyd += w * gy * d
            ff[b] += t * t * pp
            bf[b] += t * pd
            if move:
                # slopes with the place on the reference: through the map's own slopes
                fx[b] += t * counts * (px * xx + py * yx)
                fy[b] += t * counts * (px * xy + py * yy)
                c2 = counts * counts
                sxx += c2 * (gxx * xx * xx + 2 * gxy * xx * yx + gyy * yx * yx)
                sxy += c2 * (gxx * xx * xy + gxy * (xx * yy + xy * yx) + gyy * yx * yy)
                syy += c2 * (gxx * xy * xy + 2 * gxy * xy * yy + gyy * yy * yy)
                bx += counts * (gxd * xx + gyd * yx)
                by += counts * (gxd * xy + gyd * yy)
        dx = dy = 0.0
        if move:
            for b in range(n_bands):
                if ff[b] > 0:
                    sxx -= fx[b] * fx[b] / ff[b]
                    sxy -= fx[b] * fy[b] / ff[b]
                    syy -= fy[b] * fy[b] / ff[b]
                    bx -= fx[b] * bf[b] / ff[b]
                    by -= fy[b] * bf[b] / ff[b]
            determinant = sxx * syy - sxy * sxy
            if sxx > 0 and syy > 0 and determinant > 1e-9 * sxx * syy:
                dx = gain * (syy * bx - sxy * by) / determinant
                dy = gain * (sxx * by - sxy * bx) / determinant
                place_covariance[s, 0] = syy / determinant
                place_covariance[s, 1] = sxx / determinant
                place_covariance[s, 2] = -sxy / determinant
                longest = max(abs(dx), abs(dy))
                if longest > largest_step:
                    dx *= largest_step / longest
                    dy *= largest_step / longest
            else:
                place_covariance[s, :2] = np.inf
                place_covariance[s, 2] = 0.0
        moved = 0.0
        if dx != 0.0 or dy != 0.0:
            moved = math.sqrt(dx * dx / place_covariance[s, 0] + dy * dy / place_covariance[s, 1])
        largest = moved
        for b in range(n_bands):
            if ff[b] > 0:
                steps[b] = (bf[b] - fx[b] * dx - fy[b] * dy) / ff[b]
                rate_variance[b, s] = 1.0 / ff[b]
                largest = max(largest, abs(steps[b]) * math.sqrt(ff[b]))
            else:
                steps[b] = 0.0
                rate_variance[b, s] = np.inf
        change[s] = largest
        for k in range(n_images):
            if known[k] < 0:
                continue
            b, t = band_of[k], exptime[k]
            old = rate[b, s] * t
            new = (rate[b, s] + steps[b]) * t
            ny, nx = shapes[k, 0], shapes[k, 1]
            r = _reach(profiles[k], max(abs(old), abs(new)), faintest[k], fit_radius + 1)
            xk, yk = at[k, 0], at[k, 1]
            if dx == 0.0 and dy == 0.0:
                _add_star(
                    residual[k], ny, nx, splines[known[k]], middle, xk, yk, old - new, r, work
                )
            else:
                _add_star(residual[k], ny, nx, splines[known[k]], middle, xk, yk, old, r, work)
                xn = xk + at[k, 2] * dx + at[k, 3] * dy
                yn = yk + at[k, 4] * dx + at[k, 5] * dy
                cell = _cell(cells, cell_pix, origin, k, xn, yn)
                _add_star(residual[k], ny, nx, splines[cell], middle, xn, yn, -new, r, work)
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
    side = 2 * fit_radius + 1
    psf = np.empty((side, side), dtype=np.float32)
    along_x, along_y = np.empty_like(psf), np.empty_like(psf)
    work = np.empty((4, 4))
    ny, nx = shapes[k, 0], shapes[k, 1]
    largest = 0.0
    for s in order:
        xk, yk = xs[s], ys[s]
        ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
        variance[s] = np.inf
        if ix < -fit_radius or iy < -fit_radius or ix >= nx + fit_radius or iy >= ny + fit_radius:
            continue
        cell = _cell(cells, cell_pix, origin, k, xk, yk)
        _psf_and_slopes(
            splines[cell], middle, xk, yk, ix, iy, fit_radius, psf, along_x, along_y, work
        )
        pp = pd = 0.0
        for j in range(side):
            row = iy - fit_radius + j
            if row < 0 or row >= ny:
                continue
            half = int(math.sqrt((fit_radius + 0.5) ** 2 - (j - fit_radius) ** 2))
            first = max(fit_radius - half, fit_radius - ix)
            last = min(fit_radius + half + 1, nx - ix + fit_radius)
            for i in range(first, last):
                w = weight[row, ix - fit_radius + i]
                pp += w * psf[j, i] * psf[j, i]
                pd += w * psf[j, i] * residual[row, ix - fit_radius + i]
        if pp <= 0:
            continue
        variance[s] = 1.0 / pp
        step = pd / pp
        r = _reach(
            profiles[k], max(abs(counts[s]), abs(counts[s] + step)), faintest, fit_radius + 1
        )
        _add_star(residual, ny, nx, splines[cell], middle, xk, yk, -step, r, work)
        counts[s] += step
        largest = max(largest, abs(step) * math.sqrt(pp))
    return largest
