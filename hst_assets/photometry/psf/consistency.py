"""Which stars are seen on one exposure only, though others of its epoch would show them.

Those are cosmic rays and hot pixels that no mask has: a detector's own defect moves over the sky
with the dithers. Exposures farther apart than `EPOCH_DAYS` are not asked: between them stars move,
and transients come.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.compiling import compiled
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.star_light import star_stamp

__all__ = ["EPOCH_DAYS", "core_rates", "is_seen", "seen_once"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

EPOCH_DAYS = 10.0
#: The light of a star's core, within so many pixels, is compared: a cosmic ray is no larger.
_CORE_PIX = 2
#: The one exposure exceeds the mean of the others by this, standard errors, where that mean is
#: below the second and has less than this share of its rate: of 10,000 stars, none is that far off
#: by noise, and none is by an error of the PSF.
_EXCESS_SIGMA, _OTHERS_SIGMA, _OTHERS_SHARE = 4.0, 2.0, 0.3
#: Seen in another band or epoch by more than this, a star is one.
_ELSEWHERE_SIGMA = 4.0


def core_rates(
    stack: ImageStack, residual: Planes, weight: Planes, x: Floats, y: Floats, counts_e: Floats
) -> tuple[Floats, Floats]:
    """Count rate of each star's core on each image, the others taken off, and its variance.

    Parameters
    ----------
    stack : ImageStack
        The images.
    residual, weight : ndarray of float32, shape (k, ny, nx)
        What is left of the images, and one over the variance.
    x, y : ndarray, shape (n,)
        Places on the reference.
    counts_e : ndarray, shape (k, n)
        Electrons that were taken off.

    Returns
    -------
    rate, variance : ndarray, shape (k, n)
        Electrons a second of the whole star; the variance is infinite where nothing is seen.
    """
    rate, variance = np.zeros(counts_e.shape), np.full(counts_e.shape, np.inf)
    optics = stack.optics
    _core_rates(
        residual, weight, stack.shapes, stack.exptime_s, optics.lattice, optics.knots,
        optics.splines, optics.cells, optics.cell_pix, optics.origin, optics.middle, x, y,
        counts_e, _CORE_PIX, rate, variance,
    )  # fmt: skip
    return rate, variance


@compiled
def _core_rates(
    residual: Any,
    weight: Any,
    shapes: Any,
    exptime: Any,
    lattice: Any,
    knots: Any,
    splines: Any,
    cells: Any,
    cell_pix: Any,
    origin: Any,
    middle: int,
    x: Any,
    y: Any,
    counts: Any,
    radius: int,
    rate: Any,
    variance: Any,
) -> None:
    side = 2 * radius + 1
    stamp = np.empty((3, side, side), dtype=np.float32)
    corner = np.empty(2, dtype=np.int64)
    work = np.empty((4, 4))
    for k in range(residual.shape[0]):
        ny, nx = shapes[k, 0], shapes[k, 1]
        for s in range(x.size):
            star_stamp(
                k, lattice, knots, splines, cells, cell_pix, origin, middle, x[s], y[s], radius,
                stamp, corner, work,
            )  # fmt: skip
            pp = pd = 0.0
            for j in range(side):
                row = corner[1] + j
                if row < 0 or row >= ny:
                    continue
                for i in range(max(0, -corner[0]), min(side, nx - corner[0])):
                    w = weight[k, row, corner[0] + i]
                    pp += w * stamp[0, j, i] ** 2
                    pd += w * stamp[0, j, i] * residual[k, row, corner[0] + i]
            if pp > 0.0:
                rate[k, s] = (counts[k, s] + pd / pp) / exptime[k]
                variance[k, s] = 1.0 / (pp * exptime[k] ** 2)


def seen_once(
    rate: Floats, variance: Floats, band_of: NDArray[np.int64], mjd: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which stars are no stars, and on which image what passes for them is.

    Parameters
    ----------
    rate, variance : ndarray, shape (k, n)
        As of `core_rates`.
    band_of, mjd : ndarray, shape (k,)
        Index of the band of each image, and the middle of its exposure (MJD).

    Returns
    -------
    false : ndarray of bool, shape (n,)
        Seen on one image, and neither on others of its band and epoch nor in another band or epoch.
    struck : ndarray of bool, shape (k, n)
        The image on which each of those is seen.
    """
    struck = np.zeros(rate.shape, dtype=bool)
    elsewhere = np.zeros(rate.shape[1], dtype=bool)
    weight = 1.0 / variance
    for group in _groups(band_of, mjd):
        hit, others = _exceeding(rate[group], weight[group])
        struck[group] = hit
        elsewhere |= ~hit.any(axis=0) & (others > _ELSEWHERE_SIGMA)
    struck[:, elsewhere] = False
    false: NDArray[np.bool_] = np.asarray(struck.any(axis=0))
    return false, struck


def _groups(band_of: NDArray[np.int64], mjd: Floats) -> list[NDArray[np.int64]]:
    """Images of one band and epoch."""
    groups = []
    for band in np.unique(band_of):
        members = np.flatnonzero(band_of == band)
        members = members[np.argsort(mjd[members], kind="stable")]
        groups += np.split(members, np.flatnonzero(np.diff(mjd[members]) > EPOCH_DAYS) + 1)
    return groups


def _exceeding(rate: Floats, weight: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Which rates exceed all others of a group, and the ratio of signal to noise of all."""
    total = weight.sum(axis=0)
    summed = (weight * rate).sum(axis=0)
    snr = summed / np.sqrt(np.where(total > 0, total, 1.0))
    rest = total - weight
    asked = (weight > 0) & (rest > 1e-6 * total)
    safe = np.where(asked, rest, 1.0)
    others = (summed - weight * rate) / safe
    noise = np.sqrt(1.0 / safe + 1.0 / np.where(asked, weight, 1.0))
    hit = asked & (rate - others > _EXCESS_SIGMA * noise)
    hit &= (others * np.sqrt(safe) < _OTHERS_SIGMA) & (others < _OTHERS_SHARE * rate)
    return np.asarray(hit), np.asarray(snr)


@compiled
def is_seen(good: Any, shapes: Any, xs: Any, ys: Any) -> Any:
    """Whether an image has a star's middle and most of the 3 x 3 pixels about it.

    Parameters
    ----------
    good : ndarray of bool, shape (k, ny, nx)
        Pixels that are fitted.
    shapes : ndarray of int, shape (k, 2)
        Rows and columns of each image.
    xs, ys : ndarray, shape (k, n)
        Places on the images.
    """
    seen = np.zeros(xs.shape[1], dtype=np.bool_)
    for s in range(xs.shape[1]):
        for k in range(xs.shape[0]):
            i, j = math.floor(xs[k, s] + 0.5), math.floor(ys[k, s] + 0.5)
            if i < 0 or j < 0 or i >= shapes[k, 1] or j >= shapes[k, 0] or not good[k, j, i]:
                continue
            n = n_good = 0
            for b in range(max(j - 1, 0), min(j + 2, shapes[k, 0])):
                for a in range(max(i - 1, 0), min(i + 2, shapes[k, 1])):
                    n += 1
                    n_good += good[k, b, a]
            if 3 * n_good >= 2 * n:
                seen[s] = True
                break
    return seen
