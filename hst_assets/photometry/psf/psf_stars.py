"""Which stars an effective PSF is made of: bright, unsaturated, isolated, all over the chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["select_psf_stars"]

Floats = NDArray[np.float64]

#: Outliers in chi and sharpness are so many robust standard deviations from the median.
_CLIP = 3.0
#: With fewer stars their scatter is not known.
_MIN_FOR_SCATTER = 10
#: Regions of the chip along a side, from each of which stars are taken in turn.
_REGIONS = 5


def select_psf_stars(
    x: Floats,
    y: Floats,
    flux_e: Floats,
    snr: Floats,
    neighbour_fraction: Floats,
    saturated: NDArray[np.bool_],
    *,
    shape: tuple[int, int],
    chi: Floats | None = None,
    sharpness: Floats | None = None,
    max_stars: int = 150,
    min_snr: float = 30.0,
    max_neighbour_fraction: float = 0.5,
) -> NDArray[np.int64]:
    """Choose the stars of a PSF.

    The best of each of 5 x 5 regions of the chip are taken, then the second best and so on. A
    star is the better the more light it has, less twice what its neighbours have: their errors of
    subtraction are in its stamp.

    Parameters
    ----------
    x, y : ndarray (n,)
        Place on the chip, 0-based pixels.
    flux_e : ndarray (n,)
        Electrons.
    snr : ndarray (n,)
        Signal-to-noise ratio.
    neighbour_fraction : ndarray (n,)
        Light of neighbours, before they are subtracted, in units of the star's, in its core.
    saturated : ndarray of bool (n,)
        With a saturated pixel.
    shape : tuple of int
        (ny, nx) of the chip.
    chi, sharpness : ndarray (n,), optional
        Of the star's fit: outliers are not taken. Not finite is not known, and counts for nothing.
    max_stars : int, optional
        At most so many.
    min_snr : float, optional
        At least.
    max_neighbour_fraction : float, optional
        At most.

    Returns
    -------
    ndarray of int
        Indices, in the order of choice.
    """
    usable = ~np.asarray(saturated, dtype=bool) & (flux_e > 0) & (snr >= min_snr)
    usable &= neighbour_fraction <= max_neighbour_fraction
    usable &= (x >= -0.5) & (y >= -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)
    for quality, one_sided in ((chi, True), (sharpness, False)):
        if quality is not None:
            usable &= ~_outlying(quality, usable, one_sided=one_sided)
    index = np.flatnonzero(usable)
    goodness = flux_e[index] * (1.0 - 2.0 * neighbour_fraction[index])
    best_first = index[np.argsort(-goodness, kind="stable")]
    column = np.clip(x[best_first] / shape[1] * _REGIONS, 0, _REGIONS - 1).astype(int)
    row = np.clip(y[best_first] / shape[0] * _REGIONS, 0, _REGIONS - 1).astype(int)
    region = row * _REGIONS + column
    turn = np.zeros(len(region), dtype=int)
    for one in np.unique(region):
        turn[region == one] = np.arange(np.count_nonzero(region == one))
    chosen: NDArray[np.int64] = best_first[np.argsort(turn, kind="stable")][:max_stars]
    return chosen


def _outlying(quality: Floats, usable: NDArray[np.bool_], *, one_sided: bool) -> NDArray[np.bool_]:
    known = usable & np.isfinite(quality)
    if np.count_nonzero(known) < _MIN_FOR_SCATTER:
        return np.zeros(len(quality), dtype=bool)
    middle = np.median(quality[known])
    scatter = 1.4826 * np.median(np.abs(quality[known] - middle))
    far = quality - middle if one_sided else np.abs(quality - middle)
    outlying: NDArray[np.bool_] = known & (far > _CLIP * scatter)
    return outlying
