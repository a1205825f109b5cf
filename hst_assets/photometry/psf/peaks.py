"""Where stars are: peaks of the signal-to-noise ratio of all images together.

Each image is filtered with its PSF: of a star at a pixel, the best flux is ``num / den`` and its
variance ``1 / den``, neighbours apart. Both are brought to one lattice over the reference and added
up by band, weighted by exposure time.

Where pixels are wide for the PSF (WFC3/IR, WFPC2), the filter for a star in the middle of a pixel
sees three quarters of the signal-to-noise ratio of one between four pixels, and interpolation
between pixels takes more of it. There, stars are looked for at half pixels too, each with its own
filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.image_stack import ImageStack, Optics

__all__ = [
    "Lattice",
    "Matched",
    "filter_kernel",
    "matched_filter",
    "new_peaks",
    "phases_of_pixel",
]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Pixels on each side of the middle that the filter spans: more light than this is in the wings,
#: where neighbours are, too.
_FILTER_PIX = 4
#: Places between pixels have filters of their own if a star between four pixels would lose more
#: than this of its signal-to-noise ratio. By first PSFs, WFC3/IR loses 0.26 to 0.29, the wide
#: chips of WFPC2 0.26 to 0.35, its PC 0.19 to 0.22, WFC3/UVIS and ACS 0.14 to 0.17. With such
#: filters, UVIS would find 80 % instead of 78 % of the faintest stars, for 1.3 times the time.
_MOST_LOST = 0.2
#: Samples of a PSF's spline in a pixel.
_KNOTS_A_PIXEL = 4


@dataclass(frozen=True)
class Lattice:
    """Points over the reference at which stars are looked for.

    Attributes
    ----------
    x0, y0, step : float
        The first point and the distance of points, pixels of the reference.
    nx, ny : int
        Points in X and in Y.
    """

    x0: float
    y0: float
    step: float
    nx: int
    ny: int


@dataclass(frozen=True, eq=False)
class Matched:
    """What the filter says at each point of a lattice, for each band.

    Attributes
    ----------
    rate : ndarray of float32, shape (bands, ny, nx)
        Electrons a second of a star there.
    snr : ndarray of float32, shape (bands, ny, nx)
        Over its standard error; 0 where no image has good pixels.
    """

    rate: Planes
    snr: Planes

    @property
    def together(self) -> Planes:
        """One ratio for all bands: the larger of the best band's and of the sum's.

        The sum, divided by the root of their number, has the noise of one band: it is best for
        stars that are seen alike in all.
        """
        n_bands = len(self.snr)
        if n_bands == 1:
            only: Planes = self.snr[0]
            return only
        best: Planes = np.maximum(
            self.snr.max(axis=0), self.snr.sum(axis=0) / np.float32(np.sqrt(n_bands))
        )
        return best


@compiled
def _correlate(data: Any, weight: Any, kernel: Any, num: Any, den: Any) -> None:
    """Sums of kernel times weighted data, and of the kernel's square times weight."""
    ny, nx = data.shape
    r = kernel.shape[0] // 2
    num[:] = 0.0
    den[:] = 0.0
    product = np.empty(nx, dtype=np.float32)
    for line in range(ny):
        w = weight[line]
        d = data[line]
        for i in range(nx):
            product[i] = w[i] * d[i]
        for b in range(-r, r + 1):
            j = line - b
            if j < 0 or j >= ny:
                continue
            into, below = num[j], den[j]
            for a in range(-r, r + 1):
                p = kernel[b + r, a + r]
                if p == 0.0:
                    continue
                p2 = p * p
                first, last = max(0, -a), min(nx, nx - a)
                n = last - first
                t, q = into[first:last], below[first:last]
                pw, ww = product[first + a : last + a], w[first + a : last + a]
                for i in range(n):
                    t[i] += p * pw[i]
                    q[i] += p2 * ww[i]


@compiled
def _gather(
    num: Any,
    den: Any,
    ny: int,
    nx: int,
    lattice: Any,
    knots: Any,
    x0: float,
    y0: float,
    step: float,
    scale: float,
    fine: int,
    nearest: Any,
    total: Any,
    weight: Any,
) -> None:
    """Add an image's sums, `fine` in a pixel, to those of the lattice.

    Between the points of the sums, or those of the nearest pixel.
    """
    knot = lattice[2]
    for j in range(total.shape[0]):
        v = (y0 + step * j - lattice[1]) / knot
        b = min(max(int(v), 0), knots.shape[0] - 2)
        v -= b
        for i in range(total.shape[1]):
            u = (x0 + step * i - lattice[0]) / knot
            a = min(max(int(u), 0), knots.shape[1] - 2)
            u -= a
            x = (1 - v) * ((1 - u) * knots[b, a, 0] + u * knots[b, a + 1, 0]) + v * (
                (1 - u) * knots[b + 1, a, 0] + u * knots[b + 1, a + 1, 0]
            )
            y = (1 - v) * ((1 - u) * knots[b, a, 1] + u * knots[b, a + 1, 1]) + v * (
                (1 - u) * knots[b + 1, a, 1] + u * knots[b + 1, a + 1, 1]
            )
            if x < 0 or y < 0 or x >= nx - 1 or y >= ny - 1:
                continue
            if nearest:
                x, y = min(math.floor(x + 0.5), nx - 2), min(math.floor(y + 0.5), ny - 2)
            x, y = x * fine, y * fine
            m, n = int(x), int(y)
            f, g = x - m, y - n
            w00, w10, w01, w11 = (1 - f) * (1 - g), f * (1 - g), (1 - f) * g, f * g
            total[j, i] += scale * (
                w00 * num[n, m]
                + w10 * num[n, m + 1]
                + w01 * num[n + 1, m]
                + w11 * num[n + 1, m + 1]
            )
            weight[j, i] += (
                scale
                * scale
                * (
                    w00 * den[n, m]
                    + w10 * den[n, m + 1]
                    + w01 * den[n + 1, m]
                    + w11 * den[n + 1, m + 1]
                )
            )


def matched_filter(
    stack: ImageStack,
    residual: Planes,
    weight: Planes,
    lattice: Lattice,
    *,
    nearest: bool = False,
) -> Matched:
    """Filter all images with their PSF.

    Parameters
    ----------
    stack : ImageStack
        Maps, PSFs, exposure times and bands.
    residual : ndarray of float32, shape (k, ny, nx)
        What is left of the data, electrons.
    weight : ndarray of float32, shape (k, ny, nx)
        One over the variance; 0 of pixels that do not count.
    lattice : Lattice
        Where.
    nearest : bool, optional
        Points have the value of the nearest pixel of each image, whose noise is that of `snr`;
        values between pixels have less.
    """
    n_bands = len(stack.bands)
    total = np.zeros((n_bands, lattice.ny, lattice.nx), dtype=np.float32)
    summed = np.zeros_like(total)
    optics = stack.optics
    for k in range(len(stack)):
        fine = 1 if nearest else phases_of_pixel(stack, k)
        num, den = _sums(stack, k, residual[k], weight[k], fine)
        ny, nx = stack.shapes[k]
        _gather(
            num, den, ny, nx, optics.lattice, optics.knots[k],
            lattice.x0, lattice.y0, lattice.step, stack.exptime_s[k],
            fine, nearest, total[stack.band_of[k]], summed[stack.band_of[k]],
        )  # fmt: skip
    known = summed > 0
    rate = np.divide(total, summed, out=np.zeros_like(total), where=known)
    # In place: of half pixels there are four times as many. What is not known is 0 in `total`.
    np.sqrt(summed, out=summed)
    return Matched(rate, np.divide(total, summed, out=total, where=known))


def _sums(
    stack: ImageStack, k: int, residual: Planes, weight: Planes, fine: int
) -> tuple[Planes, Planes]:
    """Sums of an image for stars at its pixels, and at places between them: `fine` in a pixel."""
    ny, nx = residual.shape
    num = np.empty((ny * fine, nx * fine), dtype=np.float32)
    den = np.empty_like(num)
    if fine == 1:
        _correlate(residual, weight, filter_kernel(stack, k), num, den)
        return num, den
    of_phase = np.empty((2, ny, nx), dtype=np.float32)
    for py in range(fine):
        for px in range(fine):
            kernel = filter_kernel(stack, k, (py / fine, px / fine))
            _correlate(residual, weight, kernel, of_phase[0], of_phase[1])
            num[py::fine, px::fine], den[py::fine, px::fine] = of_phase
    return num, den


def phases_of_pixel(stack: ImageStack, k: int) -> int:
    """At how many places in a pixel of image k, along each axis, stars are looked for: 1 or 2."""
    on, between = (filter_kernel(stack, k, phase).astype(float) for phase in ((0, 0), (0.5, 0.5)))
    alike = np.sum(on * between) / np.sqrt(np.sum(on**2) * np.sum(between**2))
    return 2 if alike < 1 - _MOST_LOST else 1


def filter_kernel(stack: ImageStack, k: int, phase: tuple[float, float] = (0.0, 0.0)) -> Planes:
    """The PSF of image k in the middle of its cells, at whole pixels.

    Parameters
    ----------
    stack : ImageStack
        The images.
    k : int
        Which of them.
    phase : tuple of float, optional
        Where in its pixel the star lies, in Y and X: 0, 1/4, 1/2 or 3/4 from the middle on.
    """
    optics = stack.optics
    first, ny, nx = optics.cells[k]
    cell = int(first + (ny // 2) * nx + nx // 2)
    knots = (round(phase[0] * _KNOTS_A_PIXEL), round(phase[1] * _KNOTS_A_PIXEL))
    if (cell, *knots) not in optics.kernels:
        optics.kernels[cell, *knots] = _at_whole_pixels(optics, cell, knots)
    return optics.kernels[cell, *knots]


def _at_whole_pixels(optics: Optics, cell: int, knots: tuple[int, int]) -> Planes:
    m = optics.splines.shape[-1]
    n = _KNOTS_A_PIXEL
    whole = optics.splines[cell].transpose(2, 0, 3, 1).reshape(n * m, n * m).astype(float)
    # The spline at its own knots: the weights 1/6, 2/3, 1/6 in both directions.
    smooth = whole.copy()
    smooth[1:-1] = (whole[:-2] + 4 * whole[1:-1] + whole[2:]) / 6
    at_knots = smooth.copy()
    at_knots[:, 1:-1] = (smooth[:, :-2] + 4 * smooth[:, 1:-1] + smooth[:, 2:]) / 6
    # A star that lies further up is seen from further below.
    reach = n * _FILTER_PIX
    rows, columns = (
        slice(optics.middle - each - reach, optics.middle - each + reach + 1, n) for each in knots
    )
    kernel = at_knots[rows, columns]
    offset = np.arange(-_FILTER_PIX, _FILTER_PIX + 1)
    # About the pixel, wherever in it the star lies.
    inside = np.hypot(*np.meshgrid(offset, offset)) <= _FILTER_PIX + 0.5
    return np.where(inside, kernel, 0).astype(np.float32)


def new_peaks(
    matched: Matched,
    lattice: Lattice,
    *,
    threshold: float,
    apart: int = 1,
    starlight: Matched | None = None,
    least_share: float = 0.0,
    known: tuple[Floats, Floats] | None = None,
    least_distance_pix: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Peaks of the signal-to-noise ratio.

    Parameters
    ----------
    matched : Matched
        Of what is left of the data.
    lattice : Lattice
        Its points.
    threshold : float
        Least ratio.
    apart : int, optional
        A peak is the highest within so many points, in X and in Y.
    starlight : Matched, optional
        Of the light of the known stars: a peak must have at least `least_share` of it.
    least_share : float, optional
        See `starlight`. It keeps errors of the PSF from becoming stars.
    known : (ndarray, ndarray), optional
        X and Y of known stars on the reference.
    least_distance_pix : float, optional
        A peak nearer than this to a known star is none, pixels of the reference.

    Returns
    -------
    x, y : ndarray, shape (m,)
        On the reference, 0-based pixels, between the points of the lattice by a parabola.
    rate : ndarray, shape (bands, m)
        Electrons a second.
    """
    snr = matched.together
    j, i = np.nonzero((snr == maximum_filter(snr, 2 * apart + 1)) & (snr > threshold))
    i, j = np.clip(i, 1, lattice.nx - 2), np.clip(j, 1, lattice.ny - 2)
    dx = _vertex(snr[j, i - 1], snr[j, i], snr[j, i + 1])
    dy = _vertex(snr[j - 1, i], snr[j, i], snr[j + 1, i])
    x, y = lattice.x0 + lattice.step * (i + dx), lattice.y0 + lattice.step * (j + dy)
    rate = matched.rate[:, j, i].astype(float)
    wanted = np.ones(x.size, dtype=bool)
    if starlight is not None:
        light = starlight.rate[:, j, i]
        best = matched.snr[:, j, i].argmax(axis=0)
        at = np.arange(x.size)
        wanted &= rate[best, at] > least_share * np.maximum(light[best, at], 0)
    if known is not None and known[0].size and x.size:
        distance, _ = KDTree(np.column_stack(known)).query(np.column_stack([x, y]))
        wanted &= distance > least_distance_pix
    return x[wanted], y[wanted], np.maximum(rate[:, wanted], 0)


def _vertex(before: Planes, at: Planes, after: Planes) -> Floats:
    """Where a parabola through three points has its peak, in units of their distance."""
    curvature = before - 2 * at + after
    shift = np.where(
        curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, 1), 0
    )
    return np.clip(shift, -0.5, 0.5).astype(float)
