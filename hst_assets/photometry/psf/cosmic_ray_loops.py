"""The loops of the search for cosmic rays, compiled with numba.

The compiled code is kept beside this file or in the user's cache; where neither can be written,
each process compiles it again.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled_in_order

__all__ = ["excess_over", "grow", "neighbour_shares", "peaks_among", "seen_at"]

Reals = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int32]


@compiled_in_order
def _place(knots: NDArray[np.float64], step: float, x: int, y: int) -> tuple[float, float]:
    """Bilinear between knots (ny, nx, 2) that begin at pixel (0, 0)."""
    i = min(int(x / step), knots.shape[1] - 2)
    j = min(int(y / step), knots.shape[0] - 2)
    fx, fy = x / step - i, y / step - j
    a, b = (1 - fx) * (1 - fy), fx * (1 - fy)
    c, d = (1 - fx) * fy, fx * fy
    at_x = a * knots[j, i, 0] + b * knots[j, i + 1, 0]
    at_x += c * knots[j + 1, i, 0] + d * knots[j + 1, i + 1, 0]
    at_y = a * knots[j, i, 1] + b * knots[j, i + 1, 1]
    at_y += c * knots[j + 1, i, 1] + d * knots[j + 1, i + 1, 1]
    return at_x, at_y


@compiled_in_order
def _box(
    data: Reals, sky: Reals, usable: Mask, saturated: Mask, ix: int, iy: int
) -> tuple[int, float, float, bool]:
    """Of the 3 x 3 pixels about one: how many are usable, lowest, highest, any saturated."""
    n, low, high, burnt = 0, math.inf, -math.inf, False
    for j in range(iy - 1, iy + 2):
        for i in range(ix - 1, ix + 2):
            burnt |= saturated[j, i]
            if usable[j, i]:
                value = data[j, i] - sky[j, i]
                n += 1
                low = min(low, value)
                high = max(high, value)
    return n, low, high, burnt


@compiled_in_order
def seen_at(
    x: Indices,
    y: Indices,
    knots: NDArray[np.float64],
    step: float,
    planes: tuple[Reals, Reals, Mask, Mask],
    read_noise: float,
    scale: float,
    attenuation: float,
    slack: float,
) -> tuple[Reals, Reals, Reals]:
    """What another image shows at pixels of one.

    Parameters
    ----------
    x, y : ndarray of int (n,)
        The pixels.
    knots : ndarray (ny, nx, 2)
        X and Y on the other image of every `step`-th pixel of this image.
    step : float
        Distance of the knots, pixels.
    planes : tuple
        The other image's data, sky, usable and saturated pixels.
    read_noise, scale : float
        Of the other image, electrons; what its electrons are multiplied by.
    attenuation, slack : float
        See `hst_assets.photometry.psf.cosmic_rays`: peak of a star on the middle of a pixel by one
        between two pixels; share of the local range that is tolerated anyway.

    Returns
    -------
    level, tolerance, variance : ndarray (n,)
        Electrons above the sky, scaled. The level is NaN where nothing is seen, infinite where it
        is saturated.
    """
    data, sky, usable, saturated = planes
    ny, nx = data.shape
    n = x.size
    level = np.full(n, np.nan, np.float32)
    tolerance = np.zeros(n, np.float32)
    variance = np.zeros(n, np.float32)
    for k in range(n):
        u, v = _place(knots, step, x[k], y[k])
        if not (u >= 1 and v >= 1 and u < nx - 2 and v < ny - 2):
            continue
        count, low, high, burnt = _box(data, sky, usable, saturated, int(u + 0.5), int(v + 0.5))
        if burnt:
            level[k] = np.inf
            continue
        i, j = int(u), int(v)
        if count < 9:
            continue
        fx, fy = u - i, v - j
        value, squares = 0.0, 0.0
        for dj in range(2):
            for di in range(2):
                w = (fx if di else 1 - fx) * (fy if dj else 1 - fy)
                value += w * (data[j + dj, i + di] - sky[j + dj, i + di])
                squares += w * w
        noise = max(value + sky[j, i], 0.0) + read_noise**2
        # The range of noise alone, nine values, is 3 sigma.
        spread = math.sqrt(max((high - low) ** 2 - 9.0 * noise, 0.0))
        share = attenuation ** (4 * fx * (1 - fx) + 4 * fy * (1 - fy)) - 1.0 + slack
        level[k] = scale * value
        tolerance[k] = scale * share * spread
        variance[k] = scale * scale * squares * noise
    return level, tolerance, variance


@compiled_in_order
def excess_over(
    height: Reals,
    floor: Reals,
    level: Reals,
    tolerance: Reals,
    variance: Reals,
    weight: NDArray[np.float64],
    near: Mask,
    threshold: float,
) -> tuple[Reals, Reals, Mask]:
    """How far pixels stand out over what k other images show.

    Parameters
    ----------
    height, floor : ndarray (n,)
        Of the pixels: electrons above the sky, variance of sky and read noise.
    level, tolerance, variance : ndarray (k, n)
        From `seen_at`.
    weight : ndarray (k,)
        Of the images.
    near : ndarray of bool (k,)
        Images of the same epoch: where one of these shows the pixel, others do not count.
    threshold : float
        Standard deviations by which the limits of the images are ordered.

    Returns
    -------
    excess : ndarray (n,)
        Standard deviations; NaN where no image shows the pixel.
    shown : ndarray (n,)
        The level that it was compared with.
    far : ndarray of bool (n,)
        Seen in another epoch only.
    """
    n_images, n = level.shape
    excess = np.full(n, np.nan, np.float32)
    shown = np.zeros(n, np.float32)
    far = np.zeros(n, np.bool_)
    limit, total, order = np.empty(n_images), 0.0, np.empty(n_images, np.int64)
    for k in range(n):
        any_near = False
        for m in range(n_images):
            any_near |= near[m] and not math.isnan(level[m, k])
        count, total = 0, 0.0
        for m in range(n_images):
            if math.isnan(level[m, k]) or (any_near and not near[m]):
                continue
            expected = level[m, k] + tolerance[m, k]
            noise = floor[k] + max(expected, 0.0) + variance[m, k]
            limit[m] = expected + threshold * math.sqrt(noise)
            total += weight[m]
            at = count
            while at > 0 and limit[order[at - 1]] > limit[m]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = m
            count += 1
        if count == 0:
            continue
        far[k] = not any_near
        # The lower median by weight: of two the lower one, if it weighs no less than two thirds
        # of the other.
        at, below = 0, weight[order[0]]
        while below < 0.4 * total:
            at += 1
            below += weight[order[at]]
        m = order[at]
        if math.isinf(level[m, k]):
            excess[k], shown[k] = -np.inf, np.inf
            continue
        expected = level[m, k] + tolerance[m, k]
        # A median of several is less noisy than one of them.
        noise = variance[m, k] / max(1.0, 0.6 * count)
        noise += floor[k] + max(expected, 0.0)
        excess[k] = (height[k] - expected) / math.sqrt(noise)
        shown[k] = level[m, k]
    return excess, shown, far


@compiled_in_order
def grow(excess: Reals, seed: float, neighbour: float) -> Mask:
    """Pixels beyond one limit, and those beyond a lower one that touch them or such a pixel.

    Parameters
    ----------
    excess : ndarray (ny, nx)
        NaN is beyond none.
    seed, neighbour : float
        The limits.
    """
    ny, nx = excess.shape
    struck = np.zeros((ny, nx), np.bool_)
    stack = np.empty(ny * nx, np.int64)
    n = 0
    for y in range(ny):
        for x in range(nx):
            if excess[y, x] > seed:
                struck[y, x] = True
                stack[n] = y * nx + x
                n += 1
    while n > 0:
        n -= 1
        y, x = stack[n] // nx, stack[n] % nx
        for j in range(max(y - 1, 0), min(y + 2, ny)):
            for i in range(max(x - 1, 0), min(x + 2, nx)):
                if not struck[j, i] and excess[j, i] > neighbour:
                    struck[j, i] = True
                    stack[n] = j * nx + i
                    n += 1
    return struck


@compiled_in_order
def neighbour_shares(x: Indices, y: Indices, height: Reals, usable: Mask) -> NDArray[np.float32]:
    """Means of the two neighbours of pixels in four directions.

    Parameters
    ----------
    x, y : ndarray of int (n,)
        The pixels.
    height : ndarray (ny, nx)
        Electrons above the sky.
    usable : ndarray of bool (ny, nx)
        Pixels that count.

    Returns
    -------
    ndarray (n, 4)
        Along x, y and the two diagonals, in units of the pixel; infinite where it is not known.
    """
    ny, nx = height.shape
    shares = np.full((x.size, 4), np.inf, np.float32)
    steps = ((1, 0), (0, 1), (1, 1), (1, -1))
    for k in range(x.size):
        for d in range(4):
            dx, dy = steps[d]
            i, j, p, q = x[k] + dx, y[k] + dy, x[k] - dx, y[k] - dy
            if min(i, j, p, q) < 0 or max(i, p) >= nx or max(j, q) >= ny:
                continue
            if usable[j, i] and usable[q, p]:
                shares[k, d] = 0.5 * (height[j, i] + height[q, p]) / height[y[k], x[k]]
    return shares


@compiled_in_order
def peaks_among(found: Mask, height: Reals) -> Mask:
    """Found pixels that no other found one of the 5 x 5 pixels about them exceeds."""
    ny, nx = found.shape
    peaks = np.zeros((ny, nx), np.bool_)
    for y in range(ny):
        for x in range(nx):
            if not found[y, x]:
                continue
            highest = True
            for j in range(max(y - 2, 0), min(y + 3, ny)):
                for i in range(max(x - 2, 0), min(x + 3, nx)):
                    highest &= not (found[j, i] and height[j, i] > height[y, x])
            peaks[y, x] = highest
    return peaks
