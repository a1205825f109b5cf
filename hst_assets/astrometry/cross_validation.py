"""Judge a fit by stars that had no part in it, when every star is needed for the fit.

The stars are divided into parts. For each part a fit is made anew from all the others, from the
search of the offset to the last clipping, and predicts where the stars of the part are. Chance
matches predict nothing; and the fit that was written must agree with those made without a part.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.astrometry import matching

__all__ = ["CrossValidation", "cross_validate", "parts_of"]

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What the fits without a part say.

    Attributes
    ----------
    found, partner : ndarray of int, shape (n,)
        Stars with a reference star within the tolerance of where a fit without them puts them;
        that reference star.
    residual : ndarray, shape (n, 2)
        Reference minus prediction, in pixels of the plane.
    drift : float
        How far the written fit is from those without a part, pixels of the plane: the median, over
        the parts, of the median distance over all stars that were found; NaN if there are none.
    """

    found: NDArray[np.intp]
    partner: NDArray[np.intp]
    residual: Points
    drift: float


def parts_of(n_stars: int, fraction: float, seed_text: str) -> NDArray[np.intp]:
    """Which part each star belongs to: parts of about `fraction` of them, the same every time.

    The division is drawn with a generator seeded by `seed_text` (the rootname), so that it does
    not follow brightness or place.
    """
    seed = int.from_bytes(hashlib.sha256(seed_text.encode()).digest()[:8], "big")
    n_parts = max(2, round(1 / fraction))
    return np.asarray(np.random.default_rng(seed).permutation(n_stars) % n_parts)


def cross_validate(
    before: Points,
    after: Points,
    reference: Points,
    part: NDArray[np.intp],
    geometry: matching.Geometry,
    *,
    search: float,
    radius: float,
) -> CrossValidation:
    """Predict each star from a fit without its part.

    Parameters
    ----------
    before, after : ndarray, shape (n, 2)
        The stars by the WCS they came with and by the written one, on a plane.
    reference : ndarray, shape (m, 2)
        The reference's stars on it.
    part : ndarray of int, shape (n,)
        The part of each star; see `parts_of`.
    geometry : {"shift", "rshift", "rscale", "general"}
        What a fit may change.
    search, radius : float
        Largest offset, and the matching tolerance, in pixels of the plane.
    """
    found, partner, residual = [], [], []
    motions = []
    for each in np.unique(part):
        inside = np.flatnonzero(part == each)
        motion = matching.find_motion(
            before[part != each], reference, geometry, search=search, radius=radius
        )
        if motion is None:
            continue
        predicted = motion(before[inside])
        a, b = matching.nearest(predicted, reference, radius)
        found.append(inside[a])
        partner.append(b)
        residual.append(reference[b] - predicted[a])
        if len(a):
            motions.append(motion)
    none = np.zeros(0, dtype=np.intp)
    stars = np.concatenate([none, *found])
    return CrossValidation(
        stars,
        np.concatenate([none, *partner]),
        np.concatenate([np.zeros((0, 2)), *residual]),
        _drift(motions, before[stars], after[stars]),
    )


def _drift(motions: list[matching.Motion], before: Points, after: Points) -> float:
    if not motions or len(before) == 0:
        return math.nan
    return float(
        np.median([np.median(np.hypot(*(motion(before) - after).T)) for motion in motions])
    )
