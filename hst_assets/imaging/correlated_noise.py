"""How much of their noise neighbouring pixels of a drizzled image share.

They share native pixels, so that their scatter is smaller than the error that adds up in quadrature
by the ratio of `correlation_ratio`, and that of a sum over a small aperture by `aperture_factor`
(Casertano et al. 2000, AJ 120, 2747, appendix A; Fruchter & Hook 2002, PASP 114, 144, section 7).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "aperture_factor",
    "circular_aperture_factor",
    "correlation_ratio",
    "drop_ratio",
    "weighted_sum_factor",
]

#: Kernels for whose drops Casertano's formula holds, and the one without any overlap.
_SQUARE_DROPS = ("square", "turbo")


def drop_ratio(pixfrac: float, scale_arcsec: float, native_scale_arcsec: float) -> float:
    """Side of the drop over that of the product's pixel."""
    return pixfrac * native_scale_arcsec / scale_arcsec


def correlation_ratio(ratio: float, kernel: str = "square") -> float | None:
    """``R``: the error that adds up over the scatter of single pixels.

    Parameters
    ----------
    ratio : float
        Of drop and product pixel (`drop_ratio`).
    kernel : str, optional
        The drop's shape. A point shares nothing; for gaussian and lanczos3 there is no formula.

    Returns
    -------
    float or None
        ``1 / (1 - r/3)`` up to r = 1, ``r / (1 - 1/(3 r))`` above, for exposures at many
        sub-pixel positions.
    """
    return _over_block(ratio, 1.0, kernel)


def aperture_factor(ratio: float, n_pixels: float, kernel: str = "square") -> float | None:
    """Factor for the quadratic sum of ERR over a square of `n_pixels` pixels.

    ``1 - r / (3 sqrt(n))`` for squares wider than a drop: 1 for large ones. For a circle see
    `circular_aperture_factor`.
    """
    over = _over_block(ratio, math.sqrt(n_pixels), kernel)
    return None if over is None else 1.0 / over


def circular_aperture_factor(
    ratio: float, radius_pix: float, kernel: str = "square"
) -> float | None:
    """Factor for the quadratic sum of ERR over a circular aperture.

    Pixels that the circle cuts count with the fraction that is inside, as in photutils, for SCI and
    for ERR squared alike. The edge of such an aperture is smoother than that of a block of pixels,
    and the error of the sum smaller. The square of the factor is the integral of the squared
    weights of the aperture, after their convolution with the drop, over the sum of the weights, for
    exposures at many sub-pixel positions (the argument of Casertano et al. 2000, AJ 120, 2747,
    appendix A, for a weighted sum).

    Parameters
    ----------
    ratio : float
        Of drop and product pixel (`drop_ratio`).
    radius_pix : float
        Of the aperture, in product pixels.
    kernel : str, optional
        The drop's shape.

    Returns
    -------
    float or None
        None where there is no formula for the kernel.
    """
    from photutils.aperture import CircularAperture

    found = []
    for x, y in _PHASES:
        weights = CircularAperture((x, y), radius_pix).to_mask(method="exact").data
        variance = _variance_of_sum(ratio, weights, kernel)
        if variance is None:
            return None
        found.append(variance / float(np.sum(weights)))
    return math.sqrt(sum(found) / len(found))


def weighted_sum_factor(
    ratio: float, weights: NDArray[np.float64], kernel: str = "square"
) -> float | None:
    """Factor for the error of a weighted sum of pixels.

    The error is the root of the sum of weights squared times ERR squared; the argument is that of
    `circular_aperture_factor`.

    Parameters
    ----------
    ratio : float
        Of drop and product pixel (`drop_ratio`).
    weights : ndarray, shape (n, m)
        Of the pixels.
    kernel : str, optional
        The drop's shape.

    Returns
    -------
    float or None
        None where there is no formula for the kernel.
    """
    variance = _variance_of_sum(ratio, weights, kernel)
    return None if variance is None else math.sqrt(variance / float(np.sum(weights**2)))


def _variance_of_sum(ratio: float, weights: NDArray[np.float64], kernel: str) -> float | None:
    """Variance of a weighted sum, in that of the error of a pixel; None without a formula."""
    if kernel == "point":
        ratio = 0.0
    elif kernel not in _SQUARE_DROPS:
        return None
    blurred = _blurred(_blurred(weights, ratio).T, ratio)
    return float(np.sum(blurred**2)) / _FINE**2


#: Steps of a pixel for the integral over an aperture, and places of its centre on the pixel.
_FINE = 16
_PHASES = ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (0.25, 0.25), (0.5, 0.25), (0.5, 0.5))


def _blurred(rows: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """The mean over a drop's width about finely spaced places along each row."""
    n = rows.shape[1]
    margin = ratio / 2.0 + 1.0
    places = np.arange(-margin, n + margin, 1.0 / _FINE) + 0.5 / _FINE
    if ratio == 0:
        pixel = np.floor(places).astype(int)
        inside = (pixel >= 0) & (pixel < n)
        return np.where(inside, rows[:, np.clip(pixel, 0, n - 1)], 0.0)
    edges = np.arange(n + 1.0)
    total = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
    high, low = places + ratio / 2.0, places - ratio / 2.0
    means = [(np.interp(high, edges, row) - np.interp(low, edges, row)) / ratio for row in total]
    return np.array(means)


def _over_block(ratio: float, side_pix: float, kernel: str) -> float | None:
    if kernel == "point":
        return 1.0
    if kernel not in _SQUARE_DROPS:
        return None
    relative = ratio / side_pix
    if relative <= 1.0:
        return 1.0 / (1.0 - relative / 3.0)
    return relative / (1.0 - 1.0 / (3.0 * relative))
