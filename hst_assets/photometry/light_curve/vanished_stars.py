"""How much light constant stars leave on a difference image, by the weights of its photometry.

The shape of an undersampled star on a drizzled image depends on where its exposures had their
pixels. This hardly changes a sum over a wide aperture, but it does change one with weights as
narrow as a star: each epoch then has an error of its own, however many photons there are. What
bright stars of the template leave on the difference measures this error for both epochs together,
including the effect of neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.imaging.star_photometry import Aperture, isolated_stars
from hst_assets.photometry.light_curve.stack_aperture import (
    StackAperture,
    Window,
    background,
    centred,
)

__all__ = ["left_of_stars"]

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Stars whose sums on the difference are known to so many standard errors of their light tell it,
#: the brightest, so many at most and at least; with fewer it is not known to a third of itself.
_LEAST_SNR, _MOST_STARS, _FEWEST_STARS = 50.0, 60, 8
#: Other bright stars are so much farther than the weights reach.
_CLEAR_ARCSEC = 0.15
#: Median of the absolute value of a Gaussian over its standard deviation.
_MEDIAN_OF_GAUSSIAN = 0.6745


def left_of_stars(
    difference: Image,
    error: Image,
    template: Image,
    usable: Mask,
    *,
    aperture: StackAperture,
    detector: Detector,
    noise_factor: Callable[[Floats], float],
) -> float:
    """Scatter of what constant stars leave, relative to their light, beyond their photons.

    Parameters
    ----------
    difference, error, template : ndarray, shape (ny, nx)
        Counts per second on the same pixels.
    usable : ndarray of bool, shape (ny, nx)
        Pixels with values in all of them that are not saturated.
    aperture : StackAperture
        The weights.
    detector : Detector
        Gives the width of a star.
    noise_factor : callable
        From weights to the factor by which neighbouring pixels' noise makes their sum's larger.

    Returns
    -------
    float
        About zero, by the median of the absolute values; NaN of fewer than 8 stars.
    """
    narrow = Aperture.for_stars(detector)
    apart = replace(narrow, inner=max(narrow.inner, aperture.radius_arcsec + _CLEAR_ARCSEC))
    left, errors, light = (np.where(usable, plane, 0.0) for plane in (difference, error, template))
    found: list[tuple[float, float]] = []
    for star in isolated_stars(template, usable, apart, aperture.scale_arcsec):
        place = centred(light, aperture, *star)
        window = None if place is None else aperture.window(*place, template.shape)
        if window is None:
            continue
        sums = _sums(left, errors, light, usable, window, noise_factor)
        if sums is not None and sums.light > _LEAST_SNR * sums.noise > 0:
            found.append((sums.left / sums.light, sums.noise / sums.light))
        if len(found) == _MOST_STARS:
            break
    if len(found) < _FEWEST_STARS:
        return math.nan
    shares, noise = np.array(found).T
    whole = float(np.median(np.abs(shares))) / _MEDIAN_OF_GAUSSIAN
    return math.sqrt(max(whole**2 - float(np.median(noise)) ** 2, 0.0))


@dataclass(frozen=True)
class _Sums:
    """Weighted sums at a star: on the difference, of its error, and on the template."""

    left: float
    noise: float
    light: float


def _sums(
    difference: Image,
    error: Image,
    template: Image,
    usable: Mask,
    window: Window,
    noise_factor: Callable[[Floats], float],
) -> _Sums | None:
    """The sums above the background; None where pixels are missing."""
    part = window.rows, window.columns
    here = usable[part]
    levels = background(difference, usable, window), background(template, usable, window)
    if levels[0] is None or levels[1] is None or not here[window.core].all():
        return None
    weights = np.where(here, window.weights, 0.0)
    return _Sums(
        left=float(np.sum(weights * (difference[part] - levels[0][0]))),
        noise=noise_factor(weights) * math.sqrt(float(np.sum((weights * error[part]) ** 2))),
        light=float(np.sum(weights * (template[part] - levels[1][0]))),
    )
