"""What bright stars of a piece of the sky tell: stamps for the PSF, and each image's shift.

A stamp is the data less the sky and all other stars. An image's shift is how far its stars are from
where the common places lead to, which an alignment leaves at some hundredths of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.star_light import places_on_images, star_stamp
from hst_assets.photometry.psf.star_stamps import StarStamps

__all__ = ["FAINT_SNR", "BrightStars", "ShiftsOfStars", "bright_stars"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Least signal-to-noise ratio on an image.
_LEAST_SNR = 20.0
#: The same of stars of a tile with fewer than `_FEW` others, which may tell the width of the PSF
#: (`hst_assets.photometry.psf.prior_width`).
FAINT_SNR, _FEW = 7.0, 12
#: Stars of a tile, and of an image, that are looked at: the brightest.
_MOST_STARS = 150
#: A saturated pixel so near spoils a star.
_SATURATED_WITHIN = 5
_CORE_PIX = 3


@dataclass(frozen=True, eq=False)
class ShiftsOfStars:
    """How far m stars of an image are from their common places.

    Attributes
    ----------
    dx, dy, error : ndarray, shape (m,)
        Pixels of the chip; standard error in each coordinate.
    stars : ndarray of int, shape (m,)
        Their numbers, as of the stamps.
    """

    dx: Floats
    dy: Floats
    error: Floats
    stars: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BrightStars:
    """What a piece of the sky gives.

    Attributes
    ----------
    stamps : list of StarStamps
        For each image of the piece.
    snr, neighbour_share : list of ndarray
        For each stamp: signal-to-noise ratio, and light of others in the core over the star's.
    saturated : list of ndarray of bool
        Whether a saturated pixel is near.
    shifts : list of ShiftsOfStars
        For each image.
    n_found : int
        All stars that were fitted, the faint ones included.
    """

    stamps: list[StarStamps]
    snr: list[Floats]
    neighbour_share: list[Floats]
    saturated: list[NDArray[np.bool_]]
    shifts: list[ShiftsOfStars]
    n_found: int = 0

    def without_pixels(self) -> BrightStars:
        """All but the pixels of the stamps."""
        return replace(self, stamps=[stamps.without_pixels() for stamps in self.stamps])


def bright_stars(fit: FieldFit, *, first_star: int = 0) -> BrightStars:
    """Cut out the bright stars of a piece of the sky.

    Parameters
    ----------
    fit : FieldFit
        With its stars fitted.
    first_star : int, optional
        Number of its first star: stars of all pieces are told apart by number.
    """
    found = BrightStars([], [], [], [], [], len(fit.stars))
    xs, ys = places_on_images(
        fit.stack.optics.lattice, fit.stack.optics.knots, fit.stars.x, fit.stars.y
    )
    variance, counts = fit.variance_e2(), fit.counts()
    for k in range(len(fit.stack)):
        _of_image(fit, k, xs[k], ys[k], counts[k], variance[k], first_star, found)
    return found


def _of_image(
    fit: FieldFit,
    k: int,
    xs: Floats,
    ys: Floats,
    counts: Floats,
    variance: NDArray[np.float32],
    first_star: int,
    found: BrightStars,
) -> None:
    stack, optics = fit.stack, fit.stack.optics
    ny, nx = stack.shapes[k]
    b, t = stack.band_of[k], stack.exptime_s[k]
    snr = counts / (t * np.sqrt(fit.stars.rate_variance[b]))
    snr /= np.sqrt(np.count_nonzero(stack.band_of == b))
    inside = (xs > -0.5) & (ys > -0.5) & (xs < nx - 0.5) & (ys < ny - 0.5)
    chosen = np.flatnonzero(inside & (snr > _LEAST_SNR))
    if len(chosen) < _FEW:
        chosen = np.flatnonzero(inside & (snr > FAINT_SNR))
    chosen = chosen[np.argsort(-counts[chosen], kind="stable")][:_MOST_STARS]
    radius = optics.radius_pix
    side = 2 * radius + 1
    near = maximum_filter(stack.saturated[k, :ny, :nx], 2 * _SATURATED_WITHIN + 1)
    m = len(chosen)
    values = np.zeros((m, side, side), dtype=np.float32)
    noise = np.ones((m, side, side), dtype=np.float32)
    good = np.zeros((m, side, side), dtype=bool)
    corners = np.zeros((m, 2), dtype=np.int64)
    share, saturated = np.zeros(m), np.zeros(m, dtype=bool)
    shifts = np.full((m, 3), np.nan)
    stamp, work = np.empty((3, side, side), dtype=np.float32), np.empty((4, 4))
    offset = np.arange(side) - radius
    core = np.hypot(*np.meshgrid(offset, offset)) <= _CORE_PIX
    for at, s in enumerate(chosen):
        star_stamp(
            k, optics.lattice, optics.knots, optics.splines, optics.cells, optics.cell_pix,
            optics.origin, optics.middle, fit.stars.x[s], fit.stars.y[s], radius, stamp,
            corners[at], work,
        )  # fmt: skip
        x0, y0 = corners[at]
        rows, columns = slice(max(y0, 0), min(y0 + side, ny)), slice(max(x0, 0), min(x0 + side, nx))
        here = slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0)
        own = counts[s] * stamp[0][here]
        values[at][here] = fit.residual_e[k][rows, columns] + own
        noise[at][here] = variance[rows, columns]
        good[at][here] = stack.good[k][rows, columns]
        others = (fit.model_e[k][rows, columns] - own)[core[here]]
        share[at] = max(float(others.sum()), 0.0) / counts[s]
        saturated[at] = near[round(ys[s]), round(xs[s])]
        if not saturated[at] and snr[s] > _LEAST_SNR:
            weight = np.where(good[at] & core, 1 / noise[at].astype(float), 0)
            shifts[at] = _shift(values[at], weight, counts[s] * stamp)
    origin = optics.origin[k].astype(int)
    found.stamps.append(
        StarStamps(
            values,
            noise,
            good,
            xs[chosen] + origin[0],
            ys[chosen] + origin[1],
            corners[:, 0] + origin[0],
            corners[:, 1] + origin[1],
            counts[chosen],
            first_star + chosen,
        )
    )
    found.snr.append(snr[chosen])
    found.neighbour_share.append(share)
    found.saturated.append(saturated)
    known = np.isfinite(shifts).all(axis=1) & (share < 0.3)
    dx, dy, error = _on_chip(shifts[known], optics.knots[k], optics.lattice[2])
    found.shifts.append(ShiftsOfStars(dx, dy, error, first_star + chosen[known]))


def _shift(values: Planes, weight: Floats, model: Planes) -> Floats:
    """How far a star is from its place on the reference, by its slopes: dx, dy, mean error."""
    design = model.reshape(3, -1).astype(float)
    normal = (design * weight.ravel()) @ design.T
    right = (design * weight.ravel()) @ (values.ravel() - design[0])
    if not np.all(np.diag(normal) > 0) or np.linalg.cond(normal) > 1e12:
        return np.full(3, np.nan)
    covariance = np.linalg.inv(normal)
    step = covariance @ right
    return np.array([step[1], step[2], np.sqrt(0.5 * (covariance[1, 1] + covariance[2, 2]))])


def _on_chip(shifts: Floats, knots: Floats, step: float) -> tuple[Floats, Floats, Floats]:
    """The same in pixels of the chip, by the slopes of its map."""
    j, i = knots.shape[0] // 2 - 1, knots.shape[1] // 2 - 1
    along, up = (knots[j, i + 1] - knots[j, i]) / step, (knots[j + 1, i] - knots[j, i]) / step
    dx = shifts[:, 0] * along[0] + shifts[:, 1] * up[0]
    dy = shifts[:, 0] * along[1] + shifts[:, 1] * up[1]
    scale = np.sqrt(abs(along[0] * up[1] - along[1] * up[0]))
    return dx, dy, shifts[:, 2] * scale
