"""How well constant stars vanish from a difference under the weights that measure it.

Drizzling gives an undersampled star another shape by where its exposures had their pixels. A wide
aperture hardly sees that, weights as narrow as a star do: each epoch has its own error of a sum,
however many photons there are. What bright stars of the template leave on the difference tells it
for both epochs together, neighbours and all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.imaging.star_photometry import Aperture, isolated_stars
from hst_assets.photometry.light_curve.stack_aperture import StackAperture, background, centred

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
    filled = np.where(usable, template, 0.0)
    left, noise = [], []
    for x, y in isolated_stars(template, usable, apart, aperture.scale_arcsec):
        place = centred(filled, aperture, x, y)
        window = None if place is None else aperture.window(*place, template.shape)
        if window is None or len(left) == _MOST_STARS:
            continue
        part = window.rows, window.columns
        beneath = background(template, usable, window), background(difference, usable, window)
        if beneath[0] is None or beneath[1] is None or not usable[part][window.core].all():
            continue
        weights = np.where(usable[part], window.weights, 0.0)
        light = float(np.sum(weights * (filled[part] - beneath[0][0])))
        values = np.where(usable[part], difference[part] - beneath[1][0], 0.0)
        errors = np.where(usable[part], error[part], 0.0)
        own = noise_factor(weights) * math.sqrt(float(np.sum((weights * errors) ** 2)))
        if light > _LEAST_SNR * own > 0:
            left.append(float(np.sum(weights * values)) / light)
            noise.append(own / light)
    if len(left) < _FEWEST_STARS:
        return math.nan
    whole = float(np.median(np.abs(left))) / _MEDIAN_OF_GAUSSIAN
    return math.sqrt(max(whole**2 - float(np.median(noise)) ** 2, 0.0))
