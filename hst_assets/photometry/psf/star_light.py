"""The light of stars on images, compiled with numba: where it falls, added and taken off.

Coordinates are 0-based; images and their PSFs are laid out as in
`hst_assets.photometry.psf.image_stack`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.spline_loops import spline_slopes, spline_weights

__all__ = [
    "add_star",
    "add_stars",
    "cell_of",
    "place_on_image",
    "places_on_images",
    "psf_and_slopes",
    "reach_of",
    "star_stamp",
]


@compiled
def place_on_image(lattice: Any, knots: Any, k: int, x: float, y: float) -> Any:
    """Where a star is on image k, and the slopes of that.

    In this order: xk, yk, dxk/dx, dxk/dy, dyk/dx, dyk/dy.
    """
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
def cell_of(cells: Any, cell_pix: Any, origin: Any, k: int, xk: float, yk: float) -> int:
    """The cell of image k's PSF that holds a place."""
    i = min(max(int((xk + origin[k, 0]) / cell_pix[k, 0]), 0), cells[k, 2] - 1)
    j = min(max(int((yk + origin[k, 1]) / cell_pix[k, 1]), 0), cells[k, 1] - 1)
    return int(cells[k, 0] + j * cells[k, 2] + i)


@compiled
def psf_and_slopes(
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
    spline_weights(u - iu, bx)
    spline_slopes(u - iu, dbx)
    spline_weights(v - iv, by)
    spline_slopes(v - iv, dby)
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
    xk, yk, xx, xy, yx, yy = place_on_image(lattice, knots, k, x, y)
    ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
    corner[0], corner[1] = ix - radius, iy - radius
    spline = splines[cell_of(cells, cell_pix, origin, k, xk, yk)]
    psf_and_slopes(spline, middle, xk, yk, ix, iy, radius, stamp[0], stamp[1], stamp[2], work)
    for j in range(2 * radius + 1):
        for i in range(2 * radius + 1):
            gx, gy = stamp[1, j, i], stamp[2, j, i]
            stamp[1, j, i] = gx * xx + gy * yx
            stamp[2, j, i] = gx * xy + gy * yy


@compiled
def add_star(
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
    bx, by = work[0], work[2]
    ix, iy = math.floor(xk + 0.5), math.floor(yk + 0.5)
    u = (ix - r - xk) * 4 + middle
    v = (iy - r - yk) * 4 + middle
    iu, iv = math.floor(u), math.floor(v)
    spline_weights(u - iu, bx)
    spline_weights(v - iv, by)
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
def reach_of(profile: Any, counts: float, faintest: float, smallest: int) -> int:
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
            xk, yk, _, _, _, _ = place_on_image(lattice, knots, k, x[s], y[s])
            r = reach_of(profiles[k], abs(flux), faintest[k], smallest)
            if xk < -r or yk < -r or xk >= nx + r or yk >= ny + r:
                continue
            spline = splines[cell_of(cells, cell_pix, origin, k, xk, yk)]
            add_star(images[k], ny, nx, spline, middle, xk, yk, flux, r, work)


@compiled
def places_on_images(lattice: Any, knots: Any, x: Any, y: Any) -> Any:
    """X and Y of stars on each image, two arrays of shape (k, n)."""
    k = knots.shape[0]
    xs, ys = np.empty((k, x.size)), np.empty((k, x.size))
    for at in range(k):
        for s in range(x.size):
            xs[at, s], ys[at, s], _, _, _, _ = place_on_image(lattice, knots, at, x[s], y[s])
    return xs, ys
