"""Pixels near stars that a cosmic ray hit, found once the stars are fitted.

Before the fit, a pixel on the flank of a bright star must be far off to be told from a PSF that is
not known yet. Afterwards it is what stands out of the residual of one exposure, beyond noise and
what the PSF may be wrong by, while the other exposures of the band and epoch have nothing there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from hst_assets.photometry.psf.consistency import EPOCH_DAYS
from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.star_light import places_on_images

__all__ = ["mask_struck"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]
Indices = NDArray[np.int64]

#: A pixel is struck beyond so many standard deviations, and those beside it beyond the second.
#: Of 1e7 pixels of noise, 3 are beyond the first.
_SEED_SIGMA, _NEIGHBOUR_SIGMA = 5.0, 2.0
#: Errors of the PSF as a share of the stars' light in a pixel.
_PSF_ERROR = 0.05
#: What any other exposure has there at most, standard deviations, within a pixel.
_ELSEWHERE_SIGMA = 2.5
#: Farther from every star a pixel spoils none.
_REACH_PIX = 6.0


def mask_struck(fit: FieldFit) -> int:
    """Mask pixels near stars that one exposure alone has too bright.

    Parameters
    ----------
    fit : FieldFit
        With its stars fitted; pixels of its stack are no longer good, and of what is left 0.

    Returns
    -------
    int
        Number of pixels that were masked.
    """
    if len(fit.stars) == 0 or len(fit.stack) < 2:
        return 0
    optics = fit.stack.optics
    places = places_on_images(optics.lattice, optics.knots, fit.stars.x, fit.stars.y)
    sigma = _sigma(fit)
    highest = [maximum_filter(plane, 3) for plane in sigma]
    struck = [_of_image(fit, k, sigma, highest, places) for k in range(len(fit.stack))]
    for k, mask in enumerate(struck):
        fit.stack.good[k] &= ~mask
        fit.residual_e[k][mask] = 0
    return int(sum(np.count_nonzero(mask) for mask in struck))


def _sigma(fit: FieldFit) -> Planes:
    """What is left, in standard deviations; 0 where a pixel is not good."""
    error = np.sqrt(fit.variance_e2() + (np.float32(_PSF_ERROR) * fit.model_e) ** 2)
    return np.where(fit.stack.good, fit.residual_e / error, np.float32(0))


def _of_image(
    fit: FieldFit, k: int, sigma: Planes, highest: list[Planes], places: tuple[Floats, Floats]
) -> NDArray[np.bool_]:
    """The struck pixels of an image."""
    stack = fit.stack
    struck = np.zeros(stack.good.shape[1:], dtype=bool)
    near_in_time = np.abs(stack.mjd - stack.mjd[k]) <= EPOCH_DAYS
    others = np.flatnonzero(near_in_time & (stack.band_of == stack.band_of[k]))
    others = others[others != k]
    rows, columns = np.nonzero(sigma[k] > _SEED_SIGMA)
    if not len(others) or not len(rows):
        return struck
    xs, ys = places
    known = np.flatnonzero(np.isfinite(xs[k] + ys[k]))
    if not len(known):
        return struck
    distance, index = KDTree(np.column_stack([xs[k], ys[k]])[known]).query(
        np.column_stack([columns, rows])
    )
    star = known[index]
    offset = np.column_stack([columns - xs[k, star], rows - ys[k, star]])
    asked = np.zeros(len(rows), dtype=np.int64)
    lone = distance <= _REACH_PIX
    for other in others:
        shown, seen = _shown_by(
            highest[other], stack.good[other], _turned(fit, k, other, offset),
            xs[other, star], ys[other, star],
        )  # fmt: skip
        asked += seen
        lone &= ~seen | (shown <= _ELSEWHERE_SIGMA)
    lone &= asked > 0
    struck[rows[lone], columns[lone]] = True
    beside: NDArray[np.bool_] = maximum_filter(struck, 3) & (sigma[k] > _NEIGHBOUR_SIGMA)
    return struck | beside


def _turned(fit: FieldFit, k: int, other: int, offset: Floats) -> Floats:
    """Offsets on an image as offsets on another, by the slopes of both maps in the middle."""
    slopes = _slopes(fit, k), _slopes(fit, other)
    turned: Floats = offset @ np.linalg.solve(slopes[0].T, slopes[1].T)
    return turned


def _slopes(fit: FieldFit, k: int) -> Floats:
    """Of X and Y on an image (rows) with X and Y on the reference (columns)."""
    knots, step = fit.stack.optics.knots[k], fit.stack.optics.lattice[2]
    j, i = knots.shape[0] // 2 - 1, knots.shape[1] // 2 - 1
    along, up = knots[j, i + 1] - knots[j, i], knots[j + 1, i] - knots[j, i]
    slopes: Floats = np.column_stack([along, up]) / step
    return slopes


def _shown_by(
    highest: Planes, good: NDArray[np.bool_], offset: Floats, x: Floats, y: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """What another image has at an offset from stars, and whether it has a good pixel there."""
    place = np.rint(np.column_stack([x, y]) + offset)
    ny, nx = good.shape
    inside = np.isfinite(place).all(axis=1) & (place >= 0).all(axis=1)
    inside &= (place[:, 0] < nx) & (place[:, 1] < ny)
    column, row = np.where(inside[:, None], place, 0).astype(np.int64).T
    seen = inside & good[row, column]
    return np.where(seen, highest[row, column], np.inf), seen
