"""Whether the stars of a fit demand all six linear terms.

A header's distortion may leave a skew, or one axis longer than the other: a real pair of ACS/HRC
exposures of 47 Tuc differs by 4.9e-4 of its y axis, 0.14 pixel at the edge of the overlap. Shift
and rotation cannot follow this; six terms can. But six terms also follow noise: so they are taken
only if they predict held-out stars better. And they follow the local slope of a residual
distortion, which is different beyond the stars of the fit: so these must span half of the exposure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hst_assets.astrometry import matching

__all__ = ["demand_six_terms"]

#: Six terms are not asked of fewer pairs.
_FEWEST_PAIRS = 20
#: How much they improve the sum of squares of predicted residuals, over the variance of one: three
#: more terms than shift and rotation gain as much by chance in one of a thousand fits that fit
#: (chi squared), and of predictions they lose by chance.
_LEAST_GAIN = 16.0
#: Below this, of the star that is moved the most but for one in twenty, nothing is gained (pixels).
_LEAST_DISPLACEMENT_PIX = 0.05
_CLIP_SIGMA = 3.0
#: The least share of the exposure's extent, on both axes, that the pairs span. With a residual
#: distortion of 0.1 pixel (quadratic, 4096 pixels), six terms by stars of a quarter of the extent
#: were taken in 41 of 100 simulated fits, and were off by 0.15 pixel over the exposure, rotation
#: and shift by 0.06; by stars of three eighths, in 87 (0.11 and 0.05).
_LEAST_SPAN = 0.5

Points = NDArray[np.float64]


def demand_six_terms(
    after: Points,
    reference: Points,
    part: NDArray[np.intp],
    geometry: matching.Geometry,
    *,
    tolerance: float,
) -> bool:
    """Whether six terms predict held-out stars better than a fit of a geometry, and by enough.

    Parameters
    ----------
    after : ndarray, shape (n, 2)
        The stars by the WCS that was fitted, on a plane.
    reference : ndarray, shape (m, 2)
        The reference's stars on it.
    part : ndarray of int, shape (n,)
        The part of each star; see `hst_assets.astrometry.cross_validation.parts_of`.
    geometry : {"shift", "rshift", "rscale", "general"}
        What the fit could change.
    tolerance : float
        Within which pairs count, pixels.
    """
    star, partner = matching.nearest(after, reference, tolerance)
    if geometry == "general" or len(star) < _FEWEST_PAIRS:
        return False
    here, there = after[star], reference[partner]
    good = _without_outliers(here, there)
    here, there, part = here[good], there[good], part[star][good]
    if len(here) < _FEWEST_PAIRS:
        return False
    if np.any(np.ptp(here, axis=0) < _LEAST_SPAN * np.ptp(after, axis=0)):
        return False
    six, few = (
        matching.fit_motion(here, there, "general"),
        matching.fit_motion(here, there, geometry),
    )
    displacement = float(np.percentile(np.hypot(*(six(here) - few(here)).T), 95))
    if not displacement >= _LEAST_DISPLACEMENT_PIX:
        return False
    predicted_by_six = _predicted(here, there, part, "general")
    predicted_by_few = _predicted(here, there, part, geometry)
    variance = predicted_by_six / (2 * len(here))
    return bool(predicted_by_few - predicted_by_six > _LEAST_GAIN * variance)


def _without_outliers(here: Points, there: Points) -> NDArray[np.bool_]:
    """Pairs within three sigma of a fit of six terms on both axes."""
    good = np.ones(len(here), dtype=bool)
    for _ in range(3):
        left = there - matching.fit_motion(here[good], there[good], "general")(here)
        limit = _CLIP_SIGMA * np.sqrt(np.mean(left[good] ** 2, axis=0))
        now = np.all(np.abs(left) <= limit, axis=1)
        if now.sum() < _FEWEST_PAIRS or (now == good).all():
            break
        good = now
    return good


def _predicted(
    here: Points, there: Points, part: NDArray[np.intp], geometry: matching.Geometry
) -> float:
    """Sum of squares of the residuals of stars by fits without their part."""
    total = 0.0
    for each in np.unique(part):
        inside = part == each
        motion = matching.fit_motion(here[~inside], there[~inside], geometry)
        total += float(np.sum((there[inside] - motion(here[inside])) ** 2))
    return total
